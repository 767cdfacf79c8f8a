"""int8 side by side with ONNX Runtime: latency with one thread each, and top-1.

    ort-f32         the model as it is
    ort-s8, ort-u8  quantised by onnxruntime.quantization: Q/DQ pairs, s8 weights per channel,
                    activations of this type
    graft-f32       the backbone
    graft-int8      the int8 backbone of `patchtool quantize`, if --int8-backbone names one

ONNX Runtime is measured with both types because its fast one differs: u8 on x86,
where it leaves convolutions beside a residual sum in f32 if activations are s8.
All see the inputs that patchtool eval used. ONNX Runtime calibrates on the first
images of the data, and --accuracy counts all of them.
For latency they take turns (A B C ... A B C ...), so that a slow moment of the machine
hits all; the ratios are medians over the rounds. The data is a .tar of
INDEX_WORDNETID/image, where INDEX is the ImageNet class.
"""

import argparse
import contextlib
import io
import itertools
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from tests.parity import common
from tests.parity.common import Patchtool, PatchtoolError, fail, require
from tests.peers.accuracy import ort_accuracy, read_dumped
from tests.peers.latency import describe_cpu, graft_median_ms, ort_median_ms

require("onnx")
import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

METHODS = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile,
           "entropy": CalibrationMethod.Entropy}
ACTIVATIONS = {"s8": QuantType.QInt8, "u8": QuantType.QUInt8}
PAIRS = [("ort-s8", "ort-f32"), ("ort-u8", "ort-f32"), ("graft-f32", "ort-f32"), ("graft-int8", "graft-f32"),
         ("graft-int8", "ort-s8"), ("graft-int8", "ort-u8")]


class Calibration(CalibrationDataReader):
    """The calibration images as onnxruntime.quantization reads them: a range of them at a time."""

    def __init__(self, name, images):
        self.name, self.images = name, images
        self.set_range(0, len(images))

    def __len__(self):
        return len(self.images)

    def set_range(self, start_index, end_index):
        self.rest = iter(self.images[start_index:end_index])

    def get_next(self):
        image = next(self.rest, None)
        return None if image is None else {self.name: np.ascontiguousarray(image.transpose(2, 0, 1)[None])}


def quantize(session, images, activations, target, folder, arguments):
    """Write the model with Q/DQ pairs to `target`; `activations` is their type."""
    prepared = folder / "prepared.onnx"
    # Folds batch norm. Symbolic shapes are for models whose input has no fixed size.
    quant_pre_process(arguments.onnx, prepared, skip_symbolic_shape=True)
    options = {
        # Percentiles would else be of absolute values, which gives half of the range to what ReLU cuts off.
        "CalibTensorRangeSymmetric": False,
        # Histograms hold every activation of a stride in memory; the stride must divide the number of images.
        "CalibStridedMinMax": max(stride for stride in range(1, 11) if len(images) % stride == 0),
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress where our figures go
        quantize_static(prepared, target, Calibration(session.get_inputs()[0].name, images),
                        quant_format=QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8,
                        activation_type=ACTIVATIONS[activations],
                        calibrate_method=METHODS[arguments.method], extra_options=options)


def evaluate(patchtool, backbone, arguments, *flags):
    """Top-1 of Graft."""
    return patchtool("eval", "--backbone", backbone, "--data", arguments.data, *flags)["accuracy"]


def measure_latency(patchtool, sessions, backbones, arguments):
    """Let all take turns; returns median milliseconds and the median ratios of PAIRS."""
    rounds = []
    for _ in range(arguments.rounds):
        turn = {name: ort_median_ms(session, arguments.runs) for name, session in sessions.items()}
        turn |= {name: graft_median_ms(patchtool, backbone, arguments.runs) for name, backbone in backbones.items()}
        rounds.append(turn)
    latency = {name: statistics.median(turn[name] for turn in rounds) for name in rounds[0]}
    ratios = {f"{a} / {b}": statistics.median(turn[a] / turn[b] for turn in rounds)
              for a, b in PAIRS if a in latency and b in latency}
    return latency, ratios


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_common_flags(parser)
    parser.add_argument("--onnx", type=Path, required=True, help="the model, as ONNX, in f32")
    parser.add_argument("--backbone", type=Path, help="its backbone [imported from --onnx]")
    parser.add_argument("--int8-backbone", type=Path, metavar="B8", help="its int8 backbone [left out]")
    parser.add_argument("--data", type=Path, required=True, metavar="TAR", help="the images")
    parser.add_argument("--calibrate", type=int, default=100, metavar="N", help="calibrate on the first N [100]")
    parser.add_argument("--method", choices=METHODS, default="minmax", help="how ranges are chosen [minmax]")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the model of ort-s8 here")
    parser.add_argument("--latency", action="store_true", help="measure latency")
    parser.add_argument("--accuracy", action="store_true", help="measure top-1")
    parser.add_argument("--rounds", type=int, default=5, help="how often they take turns [5]")
    parser.add_argument("--runs", type=int, default=40, help="runs of each in a round [40]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    if not (arguments.latency or arguments.accuracy or arguments.keep):
        parser.error("nothing to do: --latency, --accuracy or --keep")
    if arguments.calibrate < 1:
        parser.error("--calibrate needs at least one image")
    if not arguments.data.is_file():
        fail(f"no data at {arguments.data}")
    return arguments


def run(patchtool, arguments, folder):
    """Quantise, measure what is asked for, print it and return it."""
    sessions = {"ort-f32": common.ort_session(arguments.onnx)}
    backbones = {"graft-f32": arguments.backbone or patchtool.import_onnx(
        arguments.onnx, folder / "model.backbone", arguments.mean, arguments.std)}
    resolution = common.input_resolution(sessions["ort-f32"])
    accuracy = {"graft-f32": evaluate(patchtool, backbones["graft-f32"], arguments, "--dump-inputs", folder / "inputs")}
    if arguments.int8_backbone:
        backbones["graft-int8"] = arguments.int8_backbone

    images = [image for _, image in itertools.islice(read_dumped(folder / "inputs", resolution), arguments.calibrate)]
    if len(images) < arguments.calibrate:
        fail(f"{arguments.data} has {len(images)} images, fewer than --calibrate {arguments.calibrate}")
    for activations in ACTIVATIONS:
        target = folder / f"{activations}.onnx"
        quantize(sessions["ort-f32"], images, activations, target, folder, arguments)
        sessions[f"ort-{activations}"] = common.ort_session(target)
    if arguments.keep:
        shutil.copyfile(folder / "s8.onnx", arguments.keep)

    result = {"network": arguments.onnx.stem, "method": arguments.method, "calibrated_on": len(images)}
    print(f"{result['network']}; ONNX Runtime calibrated on {len(images)} images, {arguments.method}")
    if arguments.latency:
        result["latency_ms"], result["ratios"] = measure_latency(patchtool, sessions, backbones, arguments)
        print(f"{describe_cpu()}; one thread; {arguments.rounds} rounds of {arguments.runs} runs")
        for name, latency in result["latency_ms"].items():
            print(f"{name:12} {latency:8.2f} ms")
        for pair, ratio in result["ratios"].items():
            print(f"{pair:24} {ratio:6.2f}")
    if arguments.accuracy:
        for name, session in sessions.items():
            accuracy[name] = float(ort_accuracy(session, read_dumped(folder / "inputs", resolution))[0])
        if arguments.int8_backbone:
            accuracy["graft-int8"] = evaluate(patchtool, arguments.int8_backbone, arguments)
        result["top1"] = accuracy
        for name, top1 in accuracy.items():
            print(f"{name:12} {100 * top1:8.2f} % top-1")
    return result


def main():
    arguments = parse_arguments()
    patchtool = Patchtool(arguments.patchtool)
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = run(patchtool, arguments, Path(folder))
        except PatchtoolError as error:
            fail(error)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
