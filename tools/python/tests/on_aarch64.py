"""The wheel in a Python for AArch64, which QEMU runs: scores beside those of another machine, and the program in the wheel.

    on_aarch64.py F32.json INT8.json        as `patchtool run --json --scores` printed them there

int8 scores are the same bits, f32 ones differ by at most 1e-4 of their range. Ends with "N passed, N failed".
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy

import graft

DEMO = pathlib.Path("tools/assets/demo")
MOST = 1e-4


def patchtool(*arguments):
    """The exit status and output of what the console script calls, in a process of its own."""
    command = [*os.environ["EMULATOR"].split(), sys.executable, "-c", "from graft._program import main; main()", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return done.returncode, done.stdout


def checks(files):
    """What is right, and whether it is."""
    version = patchtool("--version")
    yield f"patchtool --version: {version}", version == (0, f"patchtool {graft.__version__}\n")
    for folder, file in zip((DEMO, DEMO / "int8"), files, strict=True):
        backbone = graft.Backbone.open(folder / "demo.backbone")
        session, largest, own = graft.Session(backbone, threads=2), 0.0, []
        results = json.loads(pathlib.Path(file).read_text())["results"]
        patches = {name: graft.Patch.open(folder / name, backbone) for name in {row["patch"] for row in results}}
        for row in results:
            patch, expected = patches[row["patch"]], numpy.array(row["scores"], numpy.float32)
            own.append(session.run(patch, patch.preprocess(row["image"])))
            largest = max(largest, numpy.abs(own[-1] - expected).max() / numpy.ptp(expected))
        is_right = largest == 0 if backbone.dtype == "int8" else largest <= MOST
        yield f"{backbone.dtype}: scores of {len(results)} images and patches differ by {largest:.1e} of their range", is_right
        arguments = ["--json", "--scores", "-b", backbone.path, f"--patch={patches[results[0]['patch']].path}", results[0]["image"]]
        status, output = patchtool("run", *arguments)
        printed = json.loads(output)["results"][0]["scores"]
        yield f"patchtool run: status {status}", status == 0 and numpy.array_equal(numpy.float32(printed), own[0])


def main():
    passed = failed = 0
    for what, is_right in checks(sys.argv[1:]):
        print(what if is_right else f"FAILED: {what}", flush=True)
        passed, failed = passed + is_right, failed + (not is_right)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
