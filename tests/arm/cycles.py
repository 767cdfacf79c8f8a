"""Cycles that blocks would take on a core, by llvm-mca's model of it.

A block that branches to itself costs what an iteration of many costs, any other one its reciprocal throughput. All loads
find their line in the first cache, no branch is missed: a figure that changes with the code, not a time.
"""

import json
import re
import shutil
import subprocess
import sys

LLVM_MCA = shutil.which("llvm-mca-19")
ITERATIONS = 100
BRANCH = re.compile(r"(b|bl|b\.\w+|cbn?z .*|tbn?z .*)[ ,]+0x[0-9a-f]+$")


def is_loop(block):
    """Whether a block ends with a branch to its own start."""
    last, back = block.words[-1], len(block.words) - 1
    if last >> 24 == 0x54 or last >> 25 & 0x3F == 0x1A:  # b.cond, cbz and cbnz
        return last >> 5 & 0x7FFFF == -back & 0x7FFFF
    if last >> 25 & 0x3F == 0x1B:  # tbz and tbnz
        return last >> 5 & 0x3FFF == -back & 0x3FFF
    return last >> 26 == 0x05 and last & 0x3FFFFFF == -back & 0x3FFFFFF


def assembly(lines):
    """A block for the assembler: branches go to a label, data among the instructions is left out."""
    kept = [BRANCH.sub(lambda branch: branch[0].rsplit("0x", 1)[0] + "start", line) for line in lines
            if not line.startswith((".inst", "udf"))]
    return "\n".join(kept) or "nop"


def model(blocks, disassembly, core):
    """The cycles of one execution of each block on `core`, an -mcpu of LLVM."""
    source = ["start:"]
    for number, block in enumerate(blocks):
        source += [f"# LLVM-MCA-BEGIN {number}", assembly(disassembly[block]), "# LLVM-MCA-END"]
    command = [LLVM_MCA, "--mtriple=aarch64", f"-mcpu={core}", "-mattr=+dotprod,+i8mm", f"-iterations={ITERATIONS}",
               "--all-views=0", "--summary-view", "--json"]
    done = subprocess.run(command, input="\n".join(source), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {LLVM_MCA} failed: {done.stderr.strip()}")
    regions = {int(region["Name"]): region["SummaryView"] for region in json.loads(done.stdout)["CodeRegions"]}
    return {block: regions[number]["TotalCycles"] / ITERATIONS if is_loop(block) else regions[number]["BlockRThroughput"]
            for number, block in enumerate(blocks)}
