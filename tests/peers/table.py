"""One table of Graft beside OpenVINO, ONNX Runtime and LiteRT: what a user of any of them would compare.

Networks of MobileNetV2's and EfficientNet-Lite0's shape with random weights, in f32 and int8, on 1 and 2 threads, at 96 and
224 pixels. Whether an engine computes the network, and in the dtype that it should, is checked before it is timed. Each is
in a process of its own, on as many processors as threads; they take turns, so that a slow moment of the machine hits all.
Figures are medians over the rounds, ratios are to Graft's.

    latency     milliseconds of an inference, from an input in memory (Graft: bytes, others: f32) to scores
    load        of opening the model (Graft: with the digest of every byte checked; OpenVINO: out of its cache)
    open+run    of that, whatever else an inference needs, and the first one
    1 2 5 20    MB of memory for so many tasks: a model each; in Graft one backbone with its arena, and a patch each
    switch      microseconds that a frame takes longer if the one before was another task's
    scores      how far they are from Graft's f32 ones: largest difference in f32, correlation in int8

--isa limits engines that can be limited to an instruction set: Graft (GRAFT_KERNELS) and OpenVINO (ONEDNN_MAX_CPU_ISA).
--sweep shows instead how GMAC/s depend on the size of MobileNetV2, by width and pixels, on one thread.
"""

import argparse
import contextlib
import functools
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from tests.parity.common import Patchtool, PatchtoolError, fail
from tests.peers.contestants import ISAS, TASKS, open_contestant, pinned
from tests.peers.latency import describe_cpu
from tests.peers.prepare import NETWORKS, PEERS, prepare

WIDTHS = [0.35, 0.5, 0.75, 1.0, 1.4]
RESOLUTIONS = [96, 128, 160, 192, 224, 288]
PACKAGES = ["onnxruntime", "openvino", "nncf", "ai-edge-litert", "tensorflow-cpu", "tensorflow"]


def median(turns, key):
    return statistics.median(turn[key] for turn in turns)


@functools.cache
def leave_out(name, error):
    """Say it once."""
    print(f"{name} is left out: {error}", file=sys.stderr)


def open_all(patchtool, network, dtype, threads, tasks, arguments, stack):
    """The contestants that can run here, by name; none for an instruction set that Graft has no kernels for."""
    found = {}
    for isa in ["", *arguments.isa]:
        for engine in network.files:
            name = f"{engine} {isa}".strip()
            try:
                contestant = open_contestant(patchtool, engine, network, dtype, threads, isa, tasks)
            except PatchtoolError as error:
                leave_out(name, str(error))
                if engine == "graft":
                    break
                continue
            if contestant:
                found[name] = stack.enter_context(contextlib.closing(contestant))
    return found


def compare(patchtool, network, dtype, threads, tasks, rounds, arguments):
    """The figures of all engines on one network, by name."""
    with contextlib.ExitStack() as stack, pinned(threads):
        contestants = open_all(patchtool, network, dtype, threads, tasks, arguments, stack)
        rounds = [{name: contestant.take_turn(arguments.runs) for name, contestant in contestants.items()}
                  for _ in range(rounds)]
    figures = {}
    for name, contestant in contestants.items():
        graft = " ".join(["graft", *name.split()[1:]])
        own, its = contestant.figures, contestants[graft].figures
        figures[name] = {
            **own, "latency_ms": median([turn[name] for turn in rounds], "latency_ms"),
            "switch_us": median([turn[name] for turn in rounds], "switch_us"),
            "ratios": {"latency": statistics.median(turn[name]["latency_ms"] / turn[graft]["latency_ms"] for turn in rounds),
                       "load": own["load_ms"] / its["load_ms"],
                       "open_and_run": own["open_and_run_ms"] / its["open_and_run_ms"],
                       "memory": own["memory"][str(tasks[-1])] / its["memory"][str(tasks[-1])]}}
    return figures


def show(title, found):
    """A block of the table."""
    print(f"\n{title:40} {'latency':>8} {'x':>6} {'load':>8} {'x':>6} {'open+run':>8} {'x':>6} "
          + " ".join(f"{tasks:6}" for tasks in TASKS) + f" {'x':>6} {'switch':>8}  scores")
    for name, figures in found.items():
        x = {key: f"{value:6.{2 if value < 100 else 0}f}" for key, value in figures["ratios"].items()}
        print(f"  {name:38} {figures['latency_ms']:8.2f} {x['latency']} {figures['load_ms']:8.2f} {x['load']} "
              f"{figures['open_and_run_ms']:8.2f} {x['open_and_run']} "
              + " ".join(f"{figures['memory'][str(tasks)] / 1e6:6.1f}" for tasks in TASKS)
              + f" {x['memory']} {figures['switch_us']:8.1f}  {figures['check']}")
    for graft in [name for name in found if name.startswith("graft")]:
        others = {name: figures["ratios"]["latency"] for name, figures in found.items()
                  if name.split()[1:] == graft.split()[1:] and name != graft}
        if others:
            fastest = min(others, key=others.get)
            print(f"  {graft} takes {1 / others[fastest]:.2f} of the time of the fastest other, {fastest}")
    sys.stdout.flush()


def table(patchtool, arguments):
    """Print all blocks, and return their figures."""
    results = []
    print("milliseconds; MB of memory for so many tasks; microseconds of a switch; x: of Graft's")
    for name, resolution in itertools.product(arguments.networks, arguments.resolutions):
        with tempfile.TemporaryDirectory() as folder:
            network = prepare(patchtool, name, resolution, arguments.peers, Path(folder))
            for dtype, threads in itertools.product(arguments.dtypes, arguments.threads):
                found = compare(patchtool, network, dtype, threads, TASKS, arguments.rounds, arguments)
                show(f"{name}, {resolution} px, {dtype}, threads: {threads}", found)
                results += [{"network": name, "resolution": resolution, "dtype": dtype, "threads": threads,
                             "engine": engine, **figures} for engine, figures in found.items()]
    return results


def sweep(patchtool, arguments):
    """Print GMAC/s by width and resolution, and return them. Networks take turns, too, as they are compared with each other."""
    rounds = {}
    with tempfile.TemporaryDirectory() as folder:
        networks = {}
        for size in itertools.product(WIDTHS, RESOLUTIONS):
            path = Path(folder) / "-".join(map(str, size))
            path.mkdir()
            networks[size] = prepare(patchtool, "mobilenet-v2", size[1], arguments.peers, path, size[0])
        for _, size, dtype in itertools.product(range(arguments.rounds), networks, arguments.dtypes):
            for engine, figures in compare(patchtool, networks[size], dtype, 1, TASKS[:1], 1, arguments).items():
                rounds.setdefault((engine, dtype, size), []).append(figures)
    results = [{"engine": engine, "dtype": dtype, "width": size[0], "resolution": size[1], "macs": networks[size].macs,
                "latency_ms": median(turns, "latency_ms"), "gmacs": networks[size].macs / median(turns, "latency_ms") / 1e6}
               for (engine, dtype, size), turns in rounds.items()]
    show_sweep(results)
    return results


def show_sweep(results):
    print("GMAC/s and share of the best, MobileNetV2 by width and pixels, one thread")
    for engine, dtype in dict.fromkeys((row["engine"], row["dtype"]) for row in results):
        gmacs = {(row["width"], row["resolution"]): row["gmacs"] for row in results
                 if (row["engine"], row["dtype"]) == (engine, dtype)}
        best, worst = max(gmacs.values()), min(gmacs, key=gmacs.get)
        print(f"\n{engine} {dtype}".ljust(17) + "".join(f"{resolution:14}" for resolution in RESOLUTIONS))
        for width in WIDTHS:
            cells = [gmacs.get((width, resolution), math.nan) for resolution in RESOLUTIONS]
            print(f"{width:16.2f}" + "".join(f"{cell:8.1f} {cell / best:5.0%}" for cell in cells))
        print(f"lowest: {gmacs[worst] / best:.0%} of the best, at width {worst[0]} and {worst[1]} px")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patchtool", metavar="PATH", help="the binary [target/release/patchtool, then the PATH]")
    parser.add_argument("--sweep", action="store_true", help="GMAC/s by width and pixels")
    parser.add_argument("--peers", nargs="*", choices=PEERS, metavar="ENGINE",
                        help=f"which engines beside Graft, of {', '.join(PEERS)} [all, with --sweep none]")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--resolutions", nargs="+", type=int, default=[96, 224], metavar="PX")
    parser.add_argument("--dtypes", nargs="+", choices=["f32", "int8"], default=["f32", "int8"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--isa", nargs="+", choices=list(ISAS)[1:], default=[], help="also limited to these instruction sets")
    parser.add_argument("--rounds", type=int, default=5, help="how often they take turns [5]")
    parser.add_argument("--runs", type=int, default=30, help="runs of each in a round [30]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    if arguments.peers is None:
        arguments.peers = [] if arguments.sweep else PEERS
    return arguments


def main():
    arguments = parse_arguments()
    patchtool = Patchtool(arguments.patchtool)
    versions = [f"{package} {metadata.version(package)}" for package in PACKAGES if any(metadata.distributions(name=package))]
    print(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC; {describe_cpu()}; {os.cpu_count()} processors; "
          f"{arguments.rounds} rounds of {arguments.runs} runs\n{patchtool.version()}, {', '.join(versions)}")
    try:
        results = (sweep if arguments.sweep else table)(patchtool, arguments)
    except PatchtoolError as error:
        fail(error)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
