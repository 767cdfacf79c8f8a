"""LiteRT's models of an ONNX network, made by TensorFlow's own converter: f32, and int8 with weights per channel.

Run as a program of its own, since TensorFlow takes hundreds of megabytes and prints what it likes.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
from onnx import numpy_helper


def convolution(x, weights, bias, attributes):
    """TensorFlow pads as it names, or by an operator of its own, which LiteRT fuses again."""
    strides, pads = attributes["strides"], attributes["pads"]
    before, after = pads[:2], pads[2:]
    total = [max((-(-size // stride) - 1) * stride + kernel - size, 0)
             for size, stride, kernel in zip(x.shape[1:3], strides, weights.shape[2:])]
    if before == [all_of // 2 for all_of in total] and after == [all_of - all_of // 2 for all_of in total]:
        padding = "SAME"
    else:
        x, padding = tf.pad(x, [[0, 0], *zip(before, after), [0, 0]]), "VALID"
    if attributes["group"] == 1:
        x = tf.nn.conv2d(x, weights.transpose(2, 3, 1, 0), strides, padding)
    else:
        x = tf.nn.depthwise_conv2d(x, weights.transpose(2, 3, 0, 1), [1, *strides, 1], padding)
    return x if bias is None else x + bias


def network(graph, x):
    """The graph's scores for images of height, width, channel."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    values = {graph.input[0].name: x}
    for node in graph.node:
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        first, *rest = (values[name] if name in values else tensors[name] for name in node.input)
        match node.op_type:
            case "Conv":
                result = convolution(first, rest[0], rest[1] if rest[1:] else None, attributes)
            case "BatchNormalization":
                gamma, beta, mean, variance = rest
                scale = gamma / np.sqrt(variance + attributes["epsilon"])
                result = first * scale + (beta - mean * scale)
            case "Clip" if [limit.item() for limit in rest] == [0, 6]:
                result = tf.nn.relu6(first)
            case "Add":
                result = first + rest[0]
            case "GlobalAveragePool":
                result = tf.reduce_mean(first, [1, 2])
            case "Flatten":
                result = first
            case "Gemm":
                result = tf.matmul(first, rest[0].T) + rest[1]
            case operator:
                raise SystemExit(f"error: no {operator} in LiteRT's models")
        values[node.output[0]] = result
    return values[graph.output[0].name]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("calibration", type=Path, help="images as .npy: count, height, width, channel")
    parser.add_argument("f32", type=Path, help="where to write the f32 model")
    parser.add_argument("int8", type=Path, help="where to write the int8 model")
    arguments = parser.parse_args()
    images = np.load(arguments.calibration)
    graph = onnx.load(arguments.onnx).graph

    module = tf.Module()
    module.scores = tf.function(lambda image: network(graph, image),
                                input_signature=[tf.TensorSpec([1, *images.shape[1:]], tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.scores.get_concrete_function()], module)
    arguments.f32.write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    arguments.int8.write_bytes(converter.convert())


if __name__ == "__main__":
    main()
