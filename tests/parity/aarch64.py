"""Pairs of patches that were made on two machines: their values must be the same but for rounding.

Sums of a generator, and of training, may be in another order on another machine. Ends with
"N passed, N failed".
"""

import argparse
import json
import subprocess
import sys

MOST = 1e-4  # largest difference of a value


def difference(patchtool, left, right):
    """How many tables two patches have, and the largest difference of a value."""
    done = subprocess.run([patchtool, "diff", "--json", left, right], capture_output=True, text=True)
    if done.returncode > 1:  # 1: they differ
        sys.exit(done.stderr.strip())
    found = json.loads(done.stdout)
    if found["other"] or any(row["max_difference"] is None for row in found["differing"]):
        sys.exit(f"{left} and {right} differ in more than values: {found}")
    return found["compared"], max((row["max_difference"] for row in found["differing"]), default=0.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patchtool", required=True, metavar="PATH")
    parser.add_argument("patches", nargs="+", metavar="PATCH", help="one, then the one that is to be the same")
    arguments = parser.parse_args()
    passed = failed = 0
    for left, right in zip(arguments.patches[::2], arguments.patches[1::2], strict=True):
        tables, largest = difference(arguments.patchtool, left, right)
        print(f"{right}: {tables} tables, largest difference {largest:.1e}")
        if tables > 0 and largest <= MOST:
            passed += 1
        else:
            failed += 1
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
