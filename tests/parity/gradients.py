"""Compare Graft's gradients of whole networks with PyTorch's, on the same batches.

Networks with random weights (models.py) are imported by patchtool; the runtime's
`gradients` example runs one training step on them: batch norm on batch statistics, or on
the network's own (`--fixed`), mean softmax cross-entropy. PyTorch runs the very ONNX graph in f64. Every gradient of every
site is compared: ||graft - torch|| / ||torch||.

An activation that rounds to the other side of a clamp lets or stops one value of the
gradient, and batch norm spreads it to all of its channel and all layers below: such a batch
is off by some per cent, in PyTorch's own f32 as well, which is measured beside. A wrong
gradient is wrong on every batch. So the lower quartile over the batches must be at most
1e-3, and every single batch at most 0.2.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.parity.common import REPOSITORY, Patchtool, PatchtoolError, fail, require

require("onnx", "torch")
from tests.parity import models
import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch.nn import functional

TOLERANCE = 1e-3  # of one gradient, relative to its norm: the lower quartile over the batches
BATCH_TOLERANCE = 0.2  # of one gradient in any batch
# The shift before another batch norm has no effect: its gradient is zero, and rounding is compared with this share of
# the usual norm of a gradient of its role.
FLOOR = 0.1
KINDS = {False: "bn+dw+dense+head", True: "fixed-bn+dw+dense+head"}  # by whether statistics are fixed
NETWORKS = ["mobilenet-v1", "mobilenet-v2-bn", "mobilenet-v2-folded", "mobilenet-v3-small", "efficientnet-lite0"]


class Site:
    """A convolution or linear layer with the affine map behind it, and what it is trained by."""

    def __init__(self, weights, bias):
        """Weights are [outputs][inputs][kh][kw], or [outputs][inputs]; `bias` is None before a batch norm."""
        self.weights, self.bias, self.gamma = weights, bias, None

    def gradients(self, is_head):
        """By name, in the order in which Graft writes them: weights are [outputs][kh][kw][inputs]."""
        gradient = self.weights.grad
        yield "weights", gradient.permute(0, 2, 3, 1) if gradient.ndim == 4 else gradient
        if is_head:
            yield "bias", self.bias.grad
            return
        # Where no batch norm follows, Graft trains a scale that starts at one: it moves all weights of a channel.
        scale = (gradient * self.weights).flatten(1).sum(1) if self.gamma is None else self.gamma.grad
        yield "gamma", scale
        yield "beta", self.bias.grad


class TorchNetwork:
    """An ONNX graph of models.py as PyTorch runs it in training."""

    def __init__(self, path, dtype, is_fixed):
        self.graph, self.dtype, self.is_fixed = onnx.load(str(path)).graph, dtype, is_fixed
        self.tensors = {tensor.name: torch.tensor(numpy_helper.to_array(tensor), dtype=dtype)
                        for tensor in self.graph.initializer}
        self.sites = []

    def parameter(self, name):
        return self.tensors[name].requires_grad_()

    def logits(self, images):
        """Scores of a batch in NCHW."""
        values = {self.graph.input[0].name: torch.tensor(images, dtype=self.dtype)}
        for node in self.graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            values[node.output[0]] = self.run(node, attributes, [values.get(name) for name in node.input])
        return values[self.graph.output[0].name]

    def run(self, node, attributes, inputs):
        """One node's result; `inputs` are None where initializers are meant."""
        x = inputs[0]
        match node.op_type:
            case "Conv":
                weights, bias = self.site(node.input)
                x = functional.pad(x, padding(x.shape[2], weights.shape[2], attributes))
                return functional.conv2d(x, weights, bias, attributes.get("strides", 1), groups=attributes.get("group", 1))
            case "Gemm":
                return functional.linear(x, *self.site(node.input))
            case "BatchNormalization":
                site = self.sites[-1]
                site.gamma, site.bias = self.parameter(node.input[1]), self.parameter(node.input[2])
                statistics = [self.tensors[name] for name in node.input[3:5]] if self.is_fixed else [None, None]
                return functional.batch_norm(x, *statistics, site.gamma, site.bias, not self.is_fixed,
                                             eps=attributes["epsilon"])
            case "Clip":
                return functional.relu6(x)
            case "Relu":
                return functional.relu(x)
            case "HardSwish":
                return functional.hardswish(x)
            case "HardSigmoid":
                return functional.hardsigmoid(x)
            case "Add":
                return x + inputs[1]
            case "Mul":
                return x * inputs[1]
            case "GlobalAveragePool":
                return x.mean((2, 3), keepdim=True)
            case "Flatten":
                return x.flatten(1)
        fail(f"models.py has a new operator that this script does not know: {node.op_type}")

    def site(self, names):
        """Note a site; returns its weights and bias."""
        weights = self.parameter(names[1])
        bias = self.parameter(names[2]) if len(names) > 2 else None
        self.sites.append(Site(weights, bias))
        return weights, bias

    def step(self, images, labels):
        """Logits and gradients of one batch, by the names that the example gives its files."""
        logits = self.logits(images)
        functional.cross_entropy(logits, torch.tensor(labels)).backward()
        found = {"logits": logits}
        for index, site in enumerate(self.sites):
            for name, gradient in site.gradients(is_head=index == len(self.sites) - 1):
                found[f"site.{index:03}.{name}"] = gradient
        return {name: value.detach().numpy().ravel().astype("f8") for name, value in found.items()}


def padding(size, kernel, attributes):
    """Padding as functional.pad takes it: left, right, top, bottom."""
    if attributes.get("auto_pad", b"NOTSET") == b"SAME_UPPER":
        stride = attributes["strides"][0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return [total // 2, total - total // 2] * 2
    top, left, bottom, right = attributes.get("pads", [0] * 4)
    return [left, right, top, bottom]


def graft_step(example, backbone, images, labels, kinds, folder):
    """What the runtime's example writes for one batch, by file name without .f32."""
    inputs, classes, output = folder / "inputs.f32", folder / "labels.txt", folder / "gradients"
    np.ascontiguousarray(images.transpose(0, 2, 3, 1), "<f4").tofile(inputs)
    classes.write_text("\n".join(map(str, labels)))
    done = subprocess.run([example, backbone, inputs, classes, kinds, output], capture_output=True, text=True)
    if done.returncode != 0:
        raise PatchtoolError(f"gradients (status {done.returncode}): {done.stderr.strip()}")
    return {path.stem: np.fromfile(path, "<f4").astype("f8") for path in sorted(output.iterdir())}


def relative_errors(found, expected):
    """Per tensor ||found - expected|| / ||expected||; infinite where the tensor is missing or of another size."""
    norms = {name: np.linalg.norm(value) for name, value in expected.items()}
    roles = {name: name.split(".")[-1] for name in expected}
    usual = {role: np.median([norms[name] for name in norms if roles[name] == role]) for role in roles.values()}
    return np.array([np.linalg.norm(found[name] - value) / max(norms[name], FLOOR * usual[roles[name]])
                     if name in found and found[name].shape == value.shape else np.inf
                     for name, value in expected.items()])


def measure(name, patchtool, arguments, folder):
    """Errors of Graft and of PyTorch in f32, [batch][tensor], and the tensors' names."""
    path = models.build(name, folder, arguments.resolution, arguments.width, arguments.seed)
    backbone = patchtool.import_onnx(path, folder / f"{name}.backbone", mean="0", std="1")
    rng = np.random.default_rng(arguments.seed)
    graft, torch_f32 = [], []
    for _ in range(arguments.batches):
        images = models.synthetic_images(rng, arguments.batch, arguments.resolution)
        labels = rng.integers(0, models.CLASSES, arguments.batch)
        expected = TorchNetwork(path, torch.float64, arguments.fixed).step(images, labels)
        found = graft_step(arguments.gradients, backbone, images, labels, KINDS[arguments.fixed], folder)
        if unknown := found.keys() - expected.keys():
            raise PatchtoolError(f"gradients wrote {', '.join(sorted(unknown))}, which PyTorch does not know")
        graft.append(relative_errors(found, expected))
        torch_f32.append(relative_errors(TorchNetwork(path, torch.float32, arguments.fixed).step(images, labels), expected))
    return np.array(graft), np.array(torch_f32), list(expected)


def compare(name, patchtool, arguments, folder):
    """Measure one network, print its line, and return the figures with the verdict."""
    graft, torch_f32, tensors = measure(name, patchtool, arguments, folder)
    quartile = np.quantile(graft, 0.25, axis=0, method="lower")
    figures = {
        "tensors": len(tensors),
        "median": float(np.median(graft)),
        "worst": float(quartile.max()),
        "worst_torch_f32": float(np.quantile(torch_f32, 0.25, axis=0, method="lower").max()),
        "worst_batch": float(graft.max()),
        "worst_batch_torch_f32": float(torch_f32.max()),
    }
    figures["passed"] = bool(figures["worst"] <= TOLERANCE and figures["worst_batch"] <= BATCH_TOLERANCE)
    print(f"{name:22}{figures['tensors']:8}{figures['median']:10.1e}{figures['worst']:10.1e}"
          f"{figures['worst_torch_f32']:10.1e}{figures['worst_batch']:10.1e}{figures['worst_batch_torch_f32']:10.1e}"
          f"   {'PASS' if figures['passed'] else 'FAIL'}", flush=True)
    if not figures["passed"]:
        for index in np.argsort(-quartile)[:10]:
            print(f"    {tensors[index]:20} {quartile[index]:9.1e}   worst batch {graft[:, index].max():.1e}")
    return figures


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patchtool", metavar="PATH", help="the binary [target/release/patchtool, then the PATH]")
    parser.add_argument("--gradients", type=Path, metavar="PATH",
                        default=REPOSITORY / "target" / "release" / "examples" / "gradients",
                        help="the runtime's example [target/release/examples/gradients]")
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=NETWORKS, metavar="NAME",
                        help=f"which networks, of {', '.join(NETWORKS)} [all]")
    parser.add_argument("--resolution", type=int, default=48, help="input height and width [48]")
    parser.add_argument("--width", type=float, default=0.25, help="width multiplier [0.25]")
    parser.add_argument("--batch", type=int, default=4, help="images of a batch [4]")
    parser.add_argument("--batches", type=int, default=5, help="how many batches [5]")
    parser.add_argument("--fixed", action="store_true", help="batch norm on the network's own statistics")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights, images and labels [1]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    if not arguments.gradients.is_file():
        fail(f"no {arguments.gradients}; "
             "hint: cargo build --release -p graft-runtime --features gradient --example gradients")
    return arguments


def main():
    arguments = parse_arguments()
    patchtool = Patchtool(arguments.patchtool)
    print(f"{'':30}{'relative error':>18}  (quartile: lower quartile over {arguments.batches} batches, worst tensor)")
    print(f"{'network':22}{'tensors':>8}{'median':>10}{'quartile':>10}{'PyTorch':>10}{'batch':>10}{'PyTorch':>10}")
    results = {}
    for name in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            try:
                results[name] = compare(name, patchtool, arguments, Path(folder))
            except PatchtoolError as error:
                print(f"{name:22} FAIL: {error}")
                results[name] = {"passed": False}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    passed = sum(figures["passed"] for figures in results.values())
    print(f"{passed} passed, {len(results) - passed} failed")
    return 0 if passed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
