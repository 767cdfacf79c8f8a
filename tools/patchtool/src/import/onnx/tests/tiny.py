"""Writes tiny.onnx: a small valid model with every operator that the importer reads."""

import os

import numpy as np
from onnx import TensorProto, checker, helper, save

rng = np.random.default_rng(0)


def weight(name, *dims):
    values = rng.normal(size=dims).astype(np.float32).flatten().tolist()
    return helper.make_tensor(name, TensorProto.FLOAT, dims, values)


def ints(name, *values):
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def scalar(name, value):
    return helper.make_tensor(name, TensorProto.FLOAT, [], [value])


n = helper.make_node
nodes = [
    n("Transpose", ["x"], ["nchw"], perm=[0, 3, 1, 2]),
    n("Sub", ["nchw", "mean"], ["image"]),
    n("Constant", [], ["sides"], value_ints=[0, 0, 0, 0, 0, 0, 1, 1]),
    n("Reshape", ["sides", "pairs"], ["matrix"]),
    n("Transpose", ["matrix"], ["turned"], perm=[1, 0]),
    n("Slice", ["turned", "zero", "end", "zero", "one"], ["sliced"]),
    n("Transpose", ["sliced"], ["back"], perm=[1, 0]),
    n("Cast", ["back"], ["cast"], to=TensorProto.INT64),
    n("Reshape", ["cast", "minus"], ["pads"]),
    n("Pad", ["image", "pads"], ["padded"], mode="constant"),
    n("Conv", ["padded", "w0"], ["c0"], strides=[2, 2], kernel_shape=[3, 3]),
    n("BatchNormalization", ["c0", "g", "b", "m", "v"], ["n0"], epsilon=0.001),
    n("Add", ["n0", "three"], ["p"]),
    n("Clip", ["p", "low", "six"], ["q"]),
    n("Mul", ["n0", "q"], ["r"]),
    n("Div", ["r", "six"], ["h"]),
    n("Conv", ["h", "dw"], ["d"], group=4, pads=[1, 1, 1, 1], strides=[1, 1], dilations=[1, 1]),
    n("Relu", ["d"], ["dr"]),
    n("GlobalAveragePool", ["dr"], ["se"]),
    n("Shape", ["point"], ["point_shape"], start=0, end=1),
    n("Expand", ["low", "point_shape"], ["point_bias"]),
    n("Conv", ["se", "point", "point_bias"], ["gate_in"]),
    n("HardSigmoid", ["gate_in"], ["gate"], alpha=0.2, beta=0.5),
    n("Mul", ["gate", "dr"], ["gated"]),
    n("Add", ["gated", "h"], ["sum"]),
    n("HardSwish", ["sum"], ["hs"]),
    n("MaxPool", ["hs"], ["mp"], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
    n("AveragePool", ["mp"], ["ap"], kernel_shape=[2, 2], strides=[2, 2]),
    n("ReduceMean", ["ap"], ["mean4"], axes=[2, 3], keepdims=1),
    n("Shape", ["mean4"], ["shape"]),
    n("Gather", ["shape", "zero"], ["batch"], axis=0),
    n("Concat", ["batch", "minus"], ["row"], axis=0),
    n("Reshape", ["mean4", "row"], ["vector"]),
    n("Gemm", ["vector", "fc0", "fb0"], ["f0"], transB=1),
    n("Unsqueeze", ["f0", "two"], ["u"]),
    n("Squeeze", ["u", "two"], ["s"]),
    n("Flatten", ["s"], ["flat"], axis=1),
    n("Dropout", ["flat"], ["drop"]),
    n("MatMul", ["drop", "fc1"], ["mm"]),
    n("Add", ["mm", "fb1"], ["logits"]),
    n("Softmax", ["logits"], ["soft"], axis=-1),
    n("Identity", ["soft"], ["y"]),
]
positive = helper.make_tensor("v", TensorProto.FLOAT, [4], [0.5, 1.0, 1.5, 2.0])
initialisers = [
    weight("mean", 3, 1, 1), weight("w0", 4, 3, 3, 3), weight("g", 4), weight("b", 4), weight("m", 4), positive,
    weight("dw", 4, 1, 3, 3), weight("point", 4, 4, 1, 1), weight("fc0", 6, 4), weight("fb0", 6), weight("fc1", 6, 5),
    weight("fb1", 5), scalar("three", 3.0), scalar("low", 0.0), scalar("six", 6.0), ints("pairs", -1, 2),
    ints("minus", -1), ints("zero", 0), ints("end", 2**63 - 1), ints("one", 1), ints("two", 2),
]
graph = helper.make_graph(
    nodes, "tiny",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 9, 9, 3])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
    initialisers,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
save(model, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tiny.onnx"))
