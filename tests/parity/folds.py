"""Compare quantised networks of random operators with ONNX Runtime.

A quantiser leaves out a ReLU or Clip where saturation does its work, so nothing may be folded
past a Q/DQ pair that stands for one. Small networks of random layers, each with random
activations, batch norms, factors and summands behind it, are quantised by ONNX Runtime's
`quantize_static`, with and without its preprocessing, with int8 and uint8 activations, with
clamps that are left out (asymmetric activations) and that stay (symmetric ones). Each import must be
refused with a hint, or score as ONNX Runtime does without optimisation: within a few steps of
the scores, or, where the import says that it leaves rounding out, within two percent of
their range.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.parity.common import Patchtool, require

require("onnx")
from tests.parity import models
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.preprocess import quant_pre_process
from PIL import Image

SIDE = 12
IMAGES = 12
NETWORKS = 80
STEPS = 2.0  # largest mean difference of a score, in steps of its scale
TOLD = 0.02  # likewise, as a share of the scores' range, where the import says that rounding is left out
LEAST = 0.25  # of the networks that must be imported: refusing all is no answer
NORMALISATION = ["--mean", "127", "--std", "64", "--resize", "stretch:bilinear"]


class Network(models.Network):
    """A random network: layers, and behind each a few random operators."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.tensors, self.channels = [], [], 3

    def behind(self, x, shape):
        """Up to three random operators on `x`, whose values for the channels have this shape."""
        rng, channels = self.rng, self.channels
        each = lambda low, high: rng.uniform(low, high, channels)
        operators = {
            "Relu": lambda: self.node("Relu", [x]),
            "Relu6": lambda: self.node("Clip", [x, np.float32(0), np.float32(6)]),
            "Clip": lambda: self.node("Clip", [x, np.float32(rng.choice([-1, -0.5])), np.float32(rng.choice([0.5, 1]))]),
            "Min": lambda: self.node("Min", [x, np.float32(1)]),
            "Max": lambda: self.node("Max", [np.float32(0), x]),
            "HardSigmoid": lambda: self.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5),
            "BatchNormalization": lambda: self.node("BatchNormalization", [
                x, each(0.5, 2), each(-1, 1), each(-0.5, 0.5), each(0.5, 2)]),
            "factors": lambda: self.node("Mul", [x, each(0.5, 2).reshape(shape)]),
            "summands": lambda: self.node("Add", [x, each(-1, 1).reshape(shape)]),
            "factor": lambda: self.node("Mul", [x, np.float32(rng.uniform(0.5, 2))]),
            "summand": lambda: self.node("Add", [x, np.float32(rng.uniform(-1, 1))]),
        }
        for _ in range(rng.integers(0, 4)):
            name = str(rng.choice(list(operators)))
            # A vector has no BatchNormalization in some versions of ONNX Runtime's quantiser.
            x = operators[name]() if len(shape) == 3 or name != "BatchNormalization" else x
        return x

    def convolution(self, x):
        rng = self.rng
        kind = rng.choice(["conv", "depthwise", "pointwise"])
        outputs = self.channels if kind == "depthwise" else int(rng.integers(4, 9))
        depth, size = (1 if kind == "depthwise" else self.channels), (1 if kind == "pointwise" else 3)
        weights = rng.normal(0, 1.5 / np.sqrt(depth * size * size), (outputs, depth, size, size))
        inputs = [x, weights, *([rng.normal(0, 0.3, outputs)] if rng.random() < 0.5 else [])]
        group = self.channels if kind == "depthwise" else 1
        self.channels = outputs
        return self.node("Conv", inputs, pads=[size // 2] * 4, kernel_shape=[size, size], group=group)

    def pool(self, x):
        pool = self.rng.choice(["MaxPool", "AveragePool", "none", "none"])
        return x if pool == "none" else self.node(pool, [x], kernel_shape=[2, 2], strides=[2, 2])

    def save(self, path):
        x = "input"
        for _ in range(self.rng.integers(1, 4)):
            x = self.behind(self.convolution(x), (self.channels, 1, 1))
        x = self.behind(self.pool(x), (self.channels, 1, 1))
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        for outputs in [int(self.rng.integers(4, 9)), 5][self.rng.integers(0, 2):]:
            weights = self.rng.normal(0, 1.5 / np.sqrt(self.channels), (outputs, self.channels))
            x = self.node("Gemm", [x, weights, self.rng.normal(0, 0.3, outputs)], transB=1)
            self.channels = outputs
            x = self.behind(x, (1, outputs)) if outputs != 5 else x
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
        scores = helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 5])
        graph = helper.make_graph(self.nodes, "random", [image], [scores], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


class Reader(CalibrationDataReader):
    """Hands out calibration inputs."""

    def __init__(self, inputs):
        self.feeds = iter([{"input": image} for image in inputs])

    def get_next(self):
        return next(self.feeds, None)


def quantise(path, inputs, rng):
    """The model in the QDQ format, in one of the ways that people call the quantiser."""
    prepared, quantised = path.with_suffix(".prepared.onnx"), path.with_suffix(".qdq.onnx")
    if rng.random() < 0.3:
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    else:
        prepared = path
    activations = [QuantType.QInt8, QuantType.QUInt8][rng.integers(0, 2)]
    quantize_static(str(prepared), str(quantised), Reader(inputs), quant_format=QuantFormat.QDQ,
                    per_channel=bool(rng.integers(0, 2)), activation_type=activations, weight_type=QuantType.QInt8,
                    extra_options={"ActivationSymmetric": bool(rng.random() < 0.25)})
    return quantised


def expected_scores(path, inputs):
    """What the nodes of the model compute, one after the other."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.array([session.run(None, {"input": image})[0].ravel() for image in inputs])


def step_of_scores(path):
    """The scale of the scores; none where they are float."""
    graph = onnx.load(path).graph
    last = next(node for node in graph.node if graph.output[0].name in node.output)
    values = {tensor.name: tensor for tensor in graph.initializer}
    return float(numpy_helper.to_array(values[last.input[1]])) if last.op_type == "DequantizeLinear" else None


def judge(patchtool, path, images, inputs, folder):
    """Verdict and a line on one quantised model."""
    backbone = folder / "m.backbone"
    command = [patchtool.binary, "import", path, "-o", backbone, "--force", *NORMALISATION]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode == 2 and "\nhint: " in done.stderr:
        return "refused", done.stderr.splitlines()[0]
    if done.returncode != 0:
        return "FAIL", done.stderr.strip()
    report = patchtool("run", "--backbone", backbone, "--scores", *images)
    scores = np.array([result["scores"] for result in report["results"]])
    expected = expected_scores(path, inputs)
    difference, spread = np.abs(scores - expected).mean(), expected.max() - expected.min()
    is_told = "rounding" in done.stderr
    bound = TOLD * spread if is_told else STEPS * step_of_scores(path)
    line = f"{difference / spread:.4f} of the range, bound {bound / spread:.4f}{', rounding told' if is_told else ''}"
    return ("right" if difference <= bound else "FAIL"), line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patchtool", metavar="PATH", help="the binary [target/release/patchtool, then the PATH]")
    parser.add_argument("--networks", type=int, default=NETWORKS, metavar="N", help=f"random networks [{NETWORKS}]")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first network [1]")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the models that failed here")
    parser.add_argument("--verbose", action="store_true", help="a line for every network, not only for failures")
    arguments = parser.parse_args()
    patchtool = Patchtool(arguments.patchtool)
    verdicts = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rng = np.random.default_rng(arguments.seed)
        images = [folder / f"{index:02}.png" for index in range(IMAGES)]
        for image in images:
            coarse = Image.fromarray(rng.integers(0, 256, (3, 3, 3), "u1"))
            Image.fromarray(np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))).save(image)
        pixels = [np.asarray(Image.open(image), np.float32).transpose(2, 0, 1)[None] for image in images]
        inputs = [(image - np.float32(127)) / np.float32(64) for image in pixels]
        for seed in range(arguments.seed, arguments.seed + arguments.networks):
            path = folder / f"{seed}.onnx"
            Network(seed).save(path)
            quantised = quantise(path, inputs, np.random.default_rng(seed))
            verdict, line = judge(patchtool, quantised, images, inputs, folder)
            verdicts.append(verdict)
            if verdict == "FAIL" and arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                (arguments.keep / quantised.name).write_bytes(quantised.read_bytes())
            if verdict == "FAIL" or arguments.verbose:
                print(f"network {seed}: {verdict}: {line}", flush=True)
    right, refused, failed = (verdicts.count(verdict) for verdict in ["right", "refused", "FAIL"])
    is_enough = right >= LEAST * len(verdicts)
    print(f"{right} networks score as ONNX Runtime does, {refused} were refused"
          f"{'' if is_enough else ': too few are imported'}")
    print(f"{right} passed, {failed + (not is_enough)} failed")
    return 0 if is_enough and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
