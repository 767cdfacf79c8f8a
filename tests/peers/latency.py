"""Latency side by side with ONNX Runtime, one thread each.

The two take turns (A B A B ...), so that a slow moment of the machine hits both;
the ratio is the median over the rounds. ONNX Runtime keeps one warm session per
model; each round of Graft is one `patchtool bench`.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.parity import common
from tests.parity.common import Patchtool, PatchtoolError, fail

import numpy as np

CPU_FLAGS = ["avx2", "fma", "avx512f", "avx512_vnni", "asimd", "asimddp"]


def describe_cpu():
    """The processor's architecture, and the flags among its features that kernels are chosen by."""
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return f"{platform.machine()}: {' '.join(flag for flag in CPU_FLAGS if flag in words) or 'flags unknown'}"


def ort_median_ms(session, runs):
    """Median milliseconds of one run of a warm session."""
    entry = session.get_inputs()[0]
    feed = {entry.name: np.random.default_rng(1).normal(0, 0.5, entry.shape).astype("f4")}
    times = []
    for _ in range(runs + 3):
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[3:])


def graft_median_ms(patchtool, backbone, runs):
    """Median milliseconds that `patchtool bench` reports."""
    report = patchtool("bench", "--backbone", backbone, "--threads", 1, "--runs", runs)
    return report["latency_ms"]["median"]


def measure(patchtool, onnx_path, backbone, arguments):
    """Let both take turns; returns both medians and the median ratio."""
    session = common.ort_session(onnx_path)
    rounds = [(ort_median_ms(session, arguments.runs), graft_median_ms(patchtool, backbone, arguments.runs))
              for _ in range(arguments.rounds)]
    ort, graft = (statistics.median(column) for column in zip(*rounds))
    return ort, graft, statistics.median(graft / ort for ort, graft in rounds)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_common_flags(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--models-dir", type=Path, metavar="DIR", help="every *.onnx in this folder, imported first")
    which.add_argument("--onnx", type=Path, help="this one model")
    parser.add_argument("--backbone", type=Path, help="with --onnx: its backbone [imported from --onnx]")
    parser.add_argument("--rounds", type=int, default=5, help="how often the two take turns [5]")
    parser.add_argument("--runs", type=int, default=40, help="runs of each in a round [40]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    if arguments.backbone and not arguments.onnx:
        parser.error("--backbone needs --onnx")
    return arguments

LIMIT = 1.1  # most latency, relative to ONNX Runtime's


def main():
    arguments = parse_arguments()
    patchtool = Patchtool(arguments.patchtool)
    onnx_paths = [arguments.onnx] if arguments.onnx else sorted(arguments.models_dir.glob("*.onnx"))
    if not onnx_paths:
        fail(f"no *.onnx in {arguments.models_dir}")
    print(f"{describe_cpu()}; one thread; {arguments.rounds} rounds of {arguments.runs} runs")
    print(f"{'model':24} {'ORT ms':>8} {'Graft ms':>9} {'ratio':>6}")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for path in onnx_paths:
            try:
                backbone = arguments.backbone or patchtool.import_onnx(
                    path, Path(folder) / f"{path.stem}.backbone", arguments.mean, arguments.std)
                ort, graft, ratio = measure(patchtool, path, backbone, arguments)
            except PatchtoolError as error:
                fail(f"{path.stem}: {error}")
            print(f"{path.stem:24} {ort:8.2f} {graft:9.2f} {ratio:6.2f}", flush=True)
            results.append({"network": path.stem, "ort_ms": ort, "graft_ms": graft, "ratio": ratio})
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(row["ratio"] <= LIMIT for row in results) else 1


if __name__ == "__main__":
    sys.exit(main())
