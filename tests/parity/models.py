"""Build MobileNet-style ONNX models with random weights, for the parity tests.

The topologies, channel counts and paddings are the real ones; only the weights are
random (seeded). Each layer is also computed in NumPy on a few synthetic images
while the graph grows, so that batch norm gets the statistics it would have after
training: activations stay in range through all layers and the clamps do clip.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

from tests.parity.common import require

require("numpy", "onnx")
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
CLASSES = 1000


class Value(NamedTuple):
    """A tensor of the graph: its name, and what it holds for the synthetic images."""
    name: str
    sample: np.ndarray


ACTIVATIONS = {
    "Clip": lambda x: np.clip(x, 0, 6),
    "Relu": lambda x: np.maximum(x, 0),
    "HardSigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
}


def synthetic_images(rng, count, resolution):
    """Images around zero that vary at a coarse and a fine scale."""
    coarse = rng.normal(0, 0.5, (count, 3, 4, 4))
    step = np.arange(resolution) * 4 // resolution
    return (coarse[:, :, step][:, :, :, step] + rng.normal(0, 0.3, (count, 3, resolution, resolution))).astype("f4")


def convolve(x, weights, stride, before, after):
    """The plain convolution; depthwise if the weights have one input channel and x has more."""
    kernel = weights.shape[2]
    x = np.pad(x, ((0, 0), (0, 0), (before, after), (before, after)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]
    if weights.shape[1] != x.shape[1]:
        return np.einsum("nchwij,cij->nchw", windows, weights[:, 0])
    return np.tensordot(windows, weights, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)


class Network:
    """An ONNX graph under construction. One method per building block."""

    def __init__(self, resolution, width=1.0, seed=1, padding="symmetric", epsilon=1e-5, fold=False):
        """`padding` is "symmetric" (PyTorch), "same" (TensorFlow, explicit) or "auto" (TensorFlow, SAME_UPPER).

        With `fold`, batch norm goes into the weights; the same seed gives the same network either way.
        """
        self.rng = np.random.default_rng(seed)
        self.width, self.padding, self.epsilon, self.fold = width, padding, epsilon, fold
        self.nodes, self.tensors = [], []
        self.input = Value("input", synthetic_images(self.rng, 4, resolution))

    def channels(self, base):
        """`base` channels scaled by the width, as a multiple of 8."""
        return max(8, int(base * self.width + 4) // 8 * 8)

    def node(self, operator, inputs, **attributes):
        """Add a node; arrays among the inputs become initializers. Returns the output's name."""
        output = f"{operator}_{len(self.nodes)}"
        names = [i if isinstance(i, str) else self.initializer(f"{output}_{at}", i) for at, i in enumerate(inputs)]
        self.nodes.append(helper.make_node(operator, names, [output], output, **attributes))
        return output

    def initializer(self, name, array):
        self.tensors.append(numpy_helper.from_array(np.asarray(array, "f4"), name))
        return name

    def he(self, *shape):
        """Random weights that keep the variance through a ReLU."""
        return self.rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype("f4")

    def pads(self, size, kernel, stride):
        """Padding before and after, and the attributes that ask for it."""
        if self.padding == "symmetric":
            before = after = kernel // 2
        else:
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            before, after = total // 2, total - total // 2
        attributes = {"auto_pad": "SAME_UPPER"} if self.padding == "auto" else {"pads": [before, before, after, after]}
        return before, after, attributes

    def activate(self, x, operator):
        limits = [np.float32(0), np.float32(6)] if operator == "Clip" else []
        slope = {"alpha": 1 / 6, "beta": 0.5} if operator == "HardSigmoid" else {}
        return Value(self.node(operator, [x.name, *limits], **slope), ACTIVATIONS[operator](x.sample))

    def unit(self, x, outputs, kernel=1, stride=1, activation=None, depthwise=False):
        """Convolution, batch norm, activation: the block that everything here is made of."""
        inputs, size = x.sample.shape[1:3]
        weights = self.he(outputs, 1 if depthwise else inputs, kernel, kernel)
        before, after, attributes = self.pads(size, kernel, stride)
        attributes.update(strides=[stride] * 2, kernel_shape=[kernel] * 2, group=inputs if depthwise else 1)
        raw = convolve(x.sample, weights, stride, before, after)

        gamma, beta, mean, variance = self.statistics(raw)
        scale = gamma / np.sqrt(variance + self.epsilon)
        bias = beta - mean * scale
        if self.fold:
            name = self.node("Conv", [x.name, weights * scale[:, None, None, None], bias], **attributes)
        else:
            convolution = self.node("Conv", [x.name, weights], **attributes)
            name = self.node("BatchNormalization", [convolution, gamma, beta, mean, variance], epsilon=self.epsilon)
        y = Value(name, raw * scale[:, None, None] + bias[:, None, None])
        return self.activate(y, activation) if activation else y

    def statistics(self, raw):
        """Batch-norm parameters for an output: its own mean and variance, a little off, as after training."""
        count = raw.shape[1]
        mean, variance = raw.mean((0, 2, 3)), raw.var((0, 2, 3)) + 1e-3
        mean = mean + self.rng.normal(0, 0.1, count) * np.sqrt(variance)
        parameters = (self.rng.uniform(0.5, 3.0, count), self.rng.normal(0, 0.5, count),
                      mean, variance * self.rng.uniform(0.7, 1.4, count))
        return [parameter.astype("f4") for parameter in parameters]

    def add(self, x, y):
        return Value(self.node("Add", [x.name, y.name]), x.sample + y.sample)

    def separable(self, x, outputs, stride):
        """MobileNetV1's block: depthwise, then pointwise."""
        x = self.unit(x, x.sample.shape[1], 3, stride, "Clip", depthwise=True)
        return self.unit(x, outputs, activation="Clip")

    def inverted_residual(self, x, expanded, outputs, kernel, stride, activation="Clip", squeeze=False):
        """MobileNetV2's block, with V3's squeeze-excite: expand, depthwise, project, shortcut."""
        inputs = x.sample.shape[1]
        y = self.unit(x, expanded, activation=activation) if expanded != inputs else x
        y = self.unit(y, expanded, kernel, stride, activation, depthwise=True)
        y = self.squeeze_excite(y) if squeeze else y
        y = self.unit(y, outputs)
        return self.add(y, x) if stride == 1 and inputs == outputs else y

    def squeeze_excite(self, x):
        """Scale each channel by a gate computed from the mean of all channels."""
        channels = x.sample.shape[1]
        squeezed = max(8, (channels // 4 + 4) // 8 * 8)
        gate = self.mean(x)
        gate = self.activate(self.pointwise(gate, squeezed), "Relu")
        gate = self.activate(self.pointwise(gate, channels), "HardSigmoid")
        return Value(self.node("Mul", [gate.name, x.name]), gate.sample * x.sample)

    def pointwise(self, x, outputs):
        """A 1x1 convolution with a bias and without batch norm."""
        weights, bias = self.he(outputs, x.sample.shape[1], 1, 1), self.rng.normal(0, 0.5, outputs).astype("f4")
        return Value(self.node("Conv", [x.name, weights, bias], kernel_shape=[1, 1]),
                     convolve(x.sample, weights, 1, 0, 0) + bias[:, None, None])

    def mean(self, x):
        return Value(self.node("GlobalAveragePool", [x.name]), x.sample.mean((2, 3), keepdims=True))

    def flatten(self, x):
        return Value(self.node("Flatten", [x.name]), x.sample.reshape(len(x.sample), -1))

    def linear(self, x, outputs):
        weights, bias = self.he(outputs, x.sample.shape[1]), self.rng.normal(0, 0.1, outputs).astype("f4")
        return Value(self.node("Gemm", [x.name, weights, bias], transB=1), x.sample @ weights.T + bias)

    def model(self, scores):
        """The finished model, with `scores` as its output."""
        self.nodes[-1].output[0] = "scores"
        shape = [1, *self.input.sample.shape[1:]]
        graph = helper.make_graph(
            self.nodes, "graft", [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, scores.sample.shape[1]])], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def classify(net, x):
    """The usual end: mean over the image, one linear layer."""
    return net.model(net.linear(net.flatten(net.mean(x)), CLASSES))


def mobilenet_v1(**options):
    """MobileNetV1 with TensorFlow's padding, left to the runtime by auto_pad."""
    net = Network(padding="auto", epsilon=1e-3, **options)
    x = net.unit(net.input, net.channels(32), 3, 2, "Clip")
    for outputs, stride in [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
                            *[(512, 1)] * 5, (1024, 2), (1024, 1)]:
        x = net.separable(x, net.channels(outputs), stride)
    return classify(net, x)


def inverted_residuals(net, x, plan):
    """MobileNetV2's body; `plan` has a row (expansion, channels, repeats, stride, kernel) per stage."""
    for expansion, outputs, repeats, stride, kernel in plan:
        for repeat in range(repeats):
            x = net.inverted_residual(x, x.sample.shape[1] * expansion, net.channels(outputs), kernel,
                                      stride if repeat == 0 else 1)
    return x


def mobilenet_v2(**options):
    """torchvision's MobileNetV2."""
    net = Network(**options)
    x = net.unit(net.input, net.channels(32), 3, 2, "Clip")
    x = inverted_residuals(net, x, [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3),
                                    (6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3)])
    return classify(net, net.unit(x, net.channels(1280), activation="Clip"))


def mobilenet_v3_small(**options):
    """torchvision's MobileNetV3-small: (kernel, expanded, channels, squeeze-excite, activation, stride) per block."""
    net = Network(epsilon=1e-3, **options)
    x = net.unit(net.input, net.channels(16), 3, 2, "HardSwish")
    for kernel, expanded, outputs, squeeze, activation, stride in [
            (3, 16, 16, True, "Relu", 2), (3, 72, 24, False, "Relu", 2), (3, 88, 24, False, "Relu", 1),
            (5, 96, 40, True, "HardSwish", 2), (5, 240, 40, True, "HardSwish", 1), (5, 240, 40, True, "HardSwish", 1),
            (5, 120, 48, True, "HardSwish", 1), (5, 144, 48, True, "HardSwish", 1), (5, 288, 96, True, "HardSwish", 2),
            (5, 576, 96, True, "HardSwish", 1), (5, 576, 96, True, "HardSwish", 1)]:
        x = net.inverted_residual(x, net.channels(expanded), net.channels(outputs), kernel, stride, activation, squeeze)
    x = net.flatten(net.mean(net.unit(x, net.channels(576), activation="HardSwish")))
    return net.model(net.linear(net.activate(net.linear(x, net.channels(1024)), "HardSwish"), CLASSES))


def efficientnet_lite0(**options):
    """EfficientNet-Lite0: V2's blocks with TensorFlow's padding, asymmetric where the stride is 2."""
    net = Network(padding="same", epsilon=1e-3, **options)
    x = net.unit(net.input, net.channels(32), 3, 2, "Clip")
    x = inverted_residuals(net, x, [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
                                    (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)])
    return classify(net, net.unit(x, net.channels(1280), activation="Clip"))


MODELS = {
    "mobilenet-v1": mobilenet_v1,
    "mobilenet-v2-bn": mobilenet_v2,
    "mobilenet-v2-folded": lambda **options: mobilenet_v2(fold=True, **options),
    "mobilenet-v3-small": mobilenet_v3_small,
    "efficientnet-lite0": efficientnet_lite0,
}


def build(name, folder, resolution, width=1.0, seed=1):
    """Write one model as FOLDER/NAME.onnx and return the path."""
    path = Path(folder) / f"{name}.onnx"
    onnx.save(MODELS[name](resolution=resolution, width=width, seed=seed), str(path))
    return path


def add_model_flags(parser):
    """The flags that say which models to build, and how."""
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME",
                        help=f"which models, of {', '.join(MODELS)} [all]")
    parser.add_argument("--resolution", type=int, default=96, help="input height and width [96]")
    parser.add_argument("--width", type=float, default=1.0, help="width multiplier [1.0]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random weights [1]")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write (made if missing)")
    add_model_flags(parser)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.models:
        print(build(name, arguments.folder, arguments.resolution, arguments.width, arguments.seed))


if __name__ == "__main__":
    main()
