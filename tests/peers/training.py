"""Seconds and memory of a training step, side by side with PyTorch.

MobileNetV2 at width 1.0, batches of 32 images of 96 pixels, ten classes, plain SGD. The two
take turns (A B A B ...), each turn a process of its own, so that a slow moment of the
machine hits both and the peak of memory is that of training alone; the ratio is the median
over the rounds.

    head        the last layer on features that are computed once: what is left of a step
    bn+head     scale and bias of every batch norm, on batch statistics
    fixed-bn+head   the same on the backbone's statistics, as `patchtool train` does by default
    dw+head     depthwise filters, batch norm as it is
    full        everything

PyTorch gets frozen weights that want no gradient, and its faster memory layout of the two.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.parity import common
from tests.parity.common import REPOSITORY, Patchtool, PatchtoolError, fail, require
from tests.peers.latency import describe_cpu

require("torch", "torchvision", "onnx")
from tests.parity import models

CLASSES = 10
KINDS = {"head": "head", "bn+head": "bn+head", "fixed-bn+head": "fixed-bn+head", "dw+head": "dw+head",
         "full": "bn+dw+dense+head"}
LIMIT = 1.0  # most time of a step of bn+head, relative to PyTorch's


def peak_memory():
    """Largest memory of this process so far, in bytes, where Linux tells."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def torch_network(kind):
    """MobileNetV2 with what `kind` freezes frozen, ready for training."""
    import torch
    import torchvision
    from torch import nn

    if kind == "head":
        return nn.Linear(1280, CLASSES)
    torch.manual_seed(1)
    network = torchvision.models.mobilenet_v2(num_classes=CLASSES)
    network.classifier[0].p = 0.0
    network.train()
    trained = kind.split("+")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_("bn" in trained or "fixed-bn" in trained or kind == "full")
            module.train("bn" in trained or kind == "full")
        elif isinstance(module, nn.Conv2d):
            module.requires_grad_(kind == "full" or "dw" in trained and module.groups > 1)
    return network


def torch_steps(kind, layout, arguments):
    """Run PyTorch's steps in this process; returns what the runtime's example prints."""
    import torch

    torch.set_num_threads(arguments.threads)
    memory_format = torch.channels_last if layout == "channels-last" else torch.contiguous_format
    shape = (arguments.batch, 1280) if kind == "head" else (arguments.batch, 3, arguments.resolution, arguments.resolution)
    network, inputs = torch_network(kind), torch.randn(shape)
    if kind != "head":
        network, inputs = network.to(memory_format=memory_format), inputs.to(memory_format=memory_format)
    labels = torch.arange(arguments.batch) % CLASSES
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    times = []
    for _ in range(arguments.steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
        times.append(1e3 * (time.perf_counter() - start))
    return {"median_ms": statistics.median(times), "peak_rss_bytes": peak_memory()}


def run(command, threads):
    """Run a measuring process and return the JSON that it prints."""
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"{Path(command[0]).name} (status {done.returncode}): {done.stderr.strip()}")
    return json.loads(done.stdout)


def torch_turn(kind, layout, arguments):
    return run([sys.executable, "-m", "tests.peers.training", "--torch", kind, "--layout", layout,
                "--resolution", arguments.resolution, "--batch", arguments.batch, "--steps", arguments.steps,
                "--threads", arguments.threads], arguments.threads)


def graft_turn(kind, backbone, arguments):
    return run([arguments.step, backbone, arguments.resolution, arguments.batch, KINDS[kind], arguments.steps],
               arguments.threads)


def measure(kind, backbone, arguments):
    """Let both take turns; returns medians, the median ratio and the peaks of memory."""
    layouts = {layout: torch_turn(kind, layout, arguments)["median_ms"] for layout in ["contiguous", "channels-last"]}
    layout = min(layouts, key=layouts.get)
    rounds = [(torch_turn(kind, layout, arguments), graft_turn(kind, backbone, arguments))
              for _ in range(arguments.rounds)]
    torch, graft = zip(*rounds)
    return {
        "torch_ms": statistics.median(turn["median_ms"] for turn in torch),
        "graft_ms": statistics.median(turn["median_ms"] for turn in graft),
        "ratio": statistics.median(b["median_ms"] / a["median_ms"] for a, b in rounds),
        "torch_rss_bytes": max(turn["peak_rss_bytes"] for turn in torch),
        "graft_rss_bytes": max(turn["peak_rss_bytes"] for turn in graft),
        "torch_layout": layout,
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_common_flags(parser)
    parser.add_argument("--step", type=Path, metavar="PATH",
                        default=REPOSITORY / "target" / "release" / "examples" / "step",
                        help="the runtime's example [target/release/examples/step]")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND",
                        help=f"what is trained, of {', '.join(KINDS)} [all]")
    parser.add_argument("--resolution", type=int, default=96, help="input height and width [96]")
    parser.add_argument("--batch", type=int, default=32, help="images of a step [32]")
    parser.add_argument("--steps", type=int, default=10, help="steps of each in a round [10]")
    parser.add_argument("--rounds", type=int, default=5, help="how often the two take turns [5]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of each [all]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--torch", choices=KINDS, help=argparse.SUPPRESS)  # one turn of PyTorch, in its own process
    parser.add_argument("--layout", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.torch and not arguments.step.is_file():
        fail(f"no {arguments.step}; hint: cargo build --release -p graft-runtime --features gradient --example step")
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.torch:
        print(json.dumps(torch_steps(arguments.torch, arguments.layout, arguments)))
        return 0

    print(f"{describe_cpu()}; {arguments.threads} threads; batch {arguments.batch}, {arguments.resolution} px; "
          f"{arguments.rounds} rounds of {arguments.steps} steps")
    print(f"{'kind':14} {'PyTorch ms':>11} {'Graft ms':>9} {'ratio':>6} {'PyTorch MB':>11} {'Graft MB':>9}")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        model = models.build("mobilenet-v2-bn", folder, arguments.resolution)
        try:
            backbone = Patchtool(arguments.patchtool).import_onnx(
                model, Path(folder) / "v2.backbone", arguments.mean, arguments.std)
        except PatchtoolError as error:
            fail(error)
        for kind in arguments.kinds:
            row = results[kind] = measure(kind, backbone, arguments)
            print(f"{kind:14} {row['torch_ms']:11.2f} {row['graft_ms']:9.2f} {row['ratio']:6.2f} "
                  f"{row['torch_rss_bytes'] / 1e6:11.0f} {row['graft_rss_bytes'] / 1e6:9.0f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": arguments.threads, "batch": arguments.batch,
                                              "resolution": arguments.resolution, "kinds": results}, indent=1) + "\n")
    return 0 if results.get("bn+head", {"ratio": 0})["ratio"] <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
