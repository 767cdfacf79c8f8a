"""The Python wheel: what it takes to install, networks of timm as backbones, a batch beside ONNX Runtime, one call.

Runs in a Python that has the wheel, torch, timm and onnxruntime; the batch is EfficientNet-Lite0's, with random weights. The
two engines take turns (A B A B ...), and the ratio is the median over the rounds. What one call costs is the time of an
image that is run alone, less that of an image in a batch, on the demo's backbone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
import warnings
from pathlib import Path

from tests.parity import common
from tests.parity.common import REPOSITORY
from tests.peers.latency import describe_cpu

import graft
import numpy as np

DEMO = REPOSITORY / "tools" / "assets" / "demo"
EXPORTERS = ["dynamo", "torchscript"]
FAMILIES = [
    "mobilenetv1_100", "mobilenetv2_100", "mobilenetv3_small_100", "mobilenetv3_large_100", "mobilenetv4_conv_small",
    "efficientnet_lite0", "lcnet_050", "mnasnet_100", "hardcorenas_a", "fbnetc_100",
]


def seconds(work):
    """The time of a call, and what it returned."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def install(wheel, folder):
    """Seconds and megabytes of the wheel and NumPy in a new environment, and seconds of its demo."""
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    library = next((folder / "venv" / "lib").glob("python3*/site-packages"))
    size = lambda: sum(file.stat().st_size for file in library.rglob("*") if file.is_file()) / 1e6
    before = size()
    installed, _ = seconds(lambda: subprocess.run([programs / "pip", "install", "--quiet", wheel], check=True))
    demo, _ = seconds(lambda: subprocess.run([programs / "patchtool", "demo", "--quiet"], check=True, stdout=subprocess.DEVNULL))
    return {"wheel_mb": wheel.stat().st_size / 1e6, "install_s": installed, "installed_mb": size() - before, "demo_s": demo}


def used(name):
    """A network of timm with random weights, whose batch norms have seen something."""
    import timm
    import torch

    torch.manual_seed(1)
    model = timm.create_model(name, pretrained=False).train()
    with torch.no_grad():
        model(torch.randn(4, *model.pretrained_cfg["input_size"]) * 2 + 1)
    return model.eval()


def families(folder):
    """A row for each network: its input, the seconds of the one call and the difference from PyTorch, by exporter."""
    for name in FAMILIES:
        model, row = used(name), {"network": name}
        for exporter in EXPORTERS:
            took, backbone = seconds(lambda: graft.from_torch(model, folder / f"{name}.{exporter}", exporter=exporter))
            own = backbone.identity()
            row |= {"input": list(own.input_shape), "mean": list(own.mean), "std": list(own.std)}
            row[exporter] = {"s": took, "difference": graft.torch_difference(backbone, model, seed=2)}
        yield row


def batch(folder, images, rounds, threads):
    """Seconds of a batch through EfficientNet-Lite0, of pixels and of normalised values, and of ONNX Runtime."""
    import torch

    model, onnx = used("efficientnet_lite0"), folder / "lite0.onnx"
    torch.onnx.export(model, (torch.zeros(1, 3, 224, 224),), str(onnx), dynamo=False, input_names=["x"],
                      dynamic_axes={"x": {0: "N"}})
    backbone = graft.from_torch(model, folder / "lite0.backbone")
    own, session = backbone.identity(), graft.Session(backbone, threads=threads)
    peer = common.ort_session(onnx, threads)
    pixels = np.random.default_rng(1).integers(0, 256, (images, 224, 224, 3), np.uint8)
    values = (pixels - np.float32(own.mean)) / np.float32(own.std)
    planes = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    engines = {
        "pixels": lambda: session.run(own, pixels),
        "values": lambda: session.run(own, values),
        "onnxruntime": lambda: peer.run(None, {"x": planes})[0],
    }
    for run in engines.values():  # what a first call does once
        run()
    times, scores = {name: [] for name in engines}, {}
    for _ in range(rounds):
        for name, run in engines.items():
            took, scores[name] = seconds(run)
            times[name].append(took)
    ratio = lambda name: statistics.median(own / other for own, other in zip(times[name], times["onnxruntime"]))
    expected = scores["onnxruntime"]
    return {
        "images": images, "threads": threads, "seconds": {name: statistics.median(took) for name, took in times.items()},
        "ratio": {name: ratio(name) for name in ("pixels", "values")},
        "difference": float(np.abs(scores["values"] - expected).max() / np.abs(expected).max()),
    }


def call(calls=2000, rounds=9):
    """Microseconds of a call, beyond the run itself."""
    backbone = graft.Backbone.open(DEMO / "demo.backbone")
    patch, session = graft.Patch.open(DEMO / "fashion.patch", backbone), graft.Session(backbone)
    pixels = np.random.default_rng(1).integers(0, 256, (calls, *patch.input_shape), np.uint8)

    def alone():
        for image in pixels:
            session.run(patch, image)

    differences = [seconds(alone)[0] - seconds(lambda: session.run(patch, pixels))[0] for _ in range(rounds)]
    return {"call_us": 1e6 * statistics.median(differences) / calls}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="also install this wheel into a new environment")
    parser.add_argument("--images", type=int, default=1000, help="of the batch [1000]")
    parser.add_argument("--rounds", type=int, default=3, help="how often the engines take turns [3]")
    parser.add_argument("--threads", type=int, default=1, help="of both engines [1]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    warnings.simplefilter("ignore")  # of PyTorch's exporters
    print(f"{describe_cpu()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder, found = Path(name), {}
        if arguments.wheel:
            found["install"] = install(arguments.wheel.resolve(), folder)
            print("wheel {wheel_mb:.1f} MB; installed with NumPy in {install_s:.1f} s, {installed_mb:.0f} MB; "
                  "its demo {demo_s:.0f} s".format(**found["install"]), flush=True)
        found |= call()
        print(f"a call {found['call_us']:.1f} us", flush=True)
        found["batch"] = batch(folder, arguments.images, arguments.rounds, arguments.threads)
        print("{images} images, {threads} threads: {seconds}, of ONNX Runtime's time {ratio}, "
              "difference {difference:.1e}".format(**found["batch"]), flush=True)
        print(f"{'network':24} {'pixels':>9} {'mean':>16}" + "".join(f" {name:>12} s {'difference':>10}" for name in EXPORTERS))
        found["families"] = []
        for row in families(folder):
            print(f"{row['network']:24} {row['input'][0]:>4}x{row['input'][1]:<4} {'/'.join(f'{mean:.0f}' for mean in row['mean']):>16}"
                  + "".join(f" {row[name]['s']:14.1f} {row[name]['difference']:10.1e}" for name in EXPORTERS), flush=True)
            found["families"].append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if all(row[name]["difference"] < 1e-5 for row in found["families"] for name in EXPORTERS) else 1


if __name__ == "__main__":
    sys.exit(main())
