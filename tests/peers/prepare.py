"""The same network with random weights for each engine, in f32 and int8, each int8 made by the engine's own tools."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.parity import models
from tests.parity.common import REPOSITORY
from tests.parity.int8 import dump_inputs, quantise, unpack

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType

NETWORKS = {"mobilenet-v2": "mobilenet-v2-folded", "lite0": "efficientnet-lite0"}
CALIBRATION = 16  # images that int8 is calibrated with; latency does not depend on them


class Network(NamedTuple):
    """A network as files."""
    files: dict  # {engine: {dtype: path}}
    photo: Path  # an image
    image: Path  # the input that Graft makes of it, as .npy
    macs: int
    folder: Path


def macs(path):
    """Multiply-adds of an ONNX network's convolutions and linear layers."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    shapes = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
              for value in [*graph.value_info, *graph.output]}
    return int(sum(np.prod(weights[node.input[1]]) * np.prod(shapes[node.output[0]][2:])
                   for node in graph.node if node.op_type in ("Conv", "Gemm")))


def for_graft(patchtool, backbone):
    int8 = backbone.with_suffix(".int8")
    photos = REPOSITORY / "tools" / "assets" / "demo" / "fashion-test.tar"
    patchtool("quantize", backbone, "--calibrate", photos, "--calibration-images", CALIBRATION, "-o", int8)
    return {"f32": backbone, "int8": int8}


def for_onnxruntime(path, inputs):
    """Optimised for this machine once, as it is: loading the file then optimises nothing."""
    found = {"f32": path, "int8": quantise(path, inputs, QuantType.QUInt8)}
    for dtype, source in found.items():
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        found[dtype] = path.with_suffix(f".optimised-{dtype}.onnx")
        options.optimized_model_filepath = str(found[dtype])
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return found


def for_openvino(path, inputs):
    import nncf
    import openvino
    nncf.set_log_level("ERROR")
    model = openvino.convert_model(path)
    found = {dtype: path.with_suffix(f".{dtype}.xml") for dtype in ["f32", "int8"]}
    openvino.save_model(model, found["f32"], compress_to_fp16=False)
    with contextlib.redirect_stdout(io.StringIO()):  # it draws its progress where our table goes
        quantised = nncf.quantize(model, nncf.Dataset([image.transpose(2, 0, 1)[None] for image in inputs]))
    openvino.save_model(quantised, found["int8"], compress_to_fp16=False)
    return found


def for_litert(path, inputs):
    calibration = path.with_suffix(".npy")
    np.save(calibration, np.stack(inputs))
    found = {dtype: path.with_suffix(f".{dtype}.tflite") for dtype in ["f32", "int8"]}
    done = subprocess.run([sys.executable, "-m", "tests.peers.litert", path, calibration, found["f32"], found["int8"]],
                          capture_output=True, text=True, cwd=REPOSITORY)
    if done.returncode != 0:
        print(f"litert is left out: {(done.stderr.strip().splitlines() or ['?'])[-1]}", file=sys.stderr)
        return {}
    return found


PEERS = {"onnxruntime": for_onnxruntime, "openvino": for_openvino, "litert": for_litert}


def prepare(patchtool, network, resolution, peers, folder, width=1.0):
    """Write a network for Graft and its peers into a folder."""
    path, backbone = models.build(NETWORKS[network], folder, resolution, width), folder / "graft.backbone"
    patchtool.import_onnx(path, backbone, "127", "128")
    photos = unpack("fashion-test", folder)
    photos = photos[::len(photos) // CALIBRATION][:CALIBRATION]
    inputs, image = dump_inputs(patchtool, backbone, photos, folder / "inputs"), folder / "image.npy"
    np.save(image, inputs[0])
    files = {"graft": for_graft(patchtool, backbone), **{peer: PEERS[peer](path, inputs) for peer in peers}}
    return Network({engine: found for engine, found in files.items() if found}, photos[0], image, macs(path), folder)
