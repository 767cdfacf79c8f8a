"""Import every network with `--verify`: tract, which shares nothing with the importer, judges.

The networks of random weights (models.py) are imported in floats, and quantised by
onnxruntime.quantization in the QDQ format with int8 and with uint8 activations, and judged
on synthetic images. Random weights leave many products between two steps, where engines
round otherwise: quantised networks are judged with a tolerance of 3 steps in place of the
default, which trained ones meet, and that alone decides. Where tract cannot run a model its reason is printed; such
models are counted apart, and are errors unless CANNOT names them.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.parity import common
from tests.parity.common import Patchtool, PatchtoolError, require
from tests.parity.compare import make_images
from tests.parity.int8 import dump_inputs, quantise

require("onnx")
from tests.parity import models
from onnxruntime.quantization import QuantType

FORMATS = {"f32": None, "QDQ s8": QuantType.QInt8, "QDQ u8": QuantType.QUInt8}
INT8_TOLERANCE = 3  # steps of the scores' scale in the mean
CANNOT = {}  # (network, format): why tract is known not to run it


def judge(patchtool, onnx_path, backbone, images, arguments, *tolerance):
    """The verdict of an import, with why there is none in place of it."""
    try:
        report = patchtool("import", onnx_path, "-o", backbone, "--verify", images, "--mean", arguments.mean,
                           "--std", arguments.std, "--resize", "crop:0.875:bicubic", "--force", *tolerance,
                           may_say_no=True)
        return report["verify"], None
    except PatchtoolError as error:
        return None, str(error)


def row(name, form, verdict, why):
    """Print a line of the table and return whether it passed, failed or could not be judged."""
    if why:
        outcome = "cannot" if "tract cannot" in why and (name, form) in CANNOT else "failed"
        figures = why
    else:
        outcome = "passed" if verdict["passed"] else "failed"
        steps = "" if verdict["mean_steps"] is None else f"   {verdict['mean_steps']:.2f} steps in the mean"
        figures = (f"{verdict['max_relative']:8.1e} of the range   top-1 equal {verdict['equal_top1']:6.1%} "
                   f"of {verdict['images']}{steps}")
    print(f"{name:22} {form:7} {outcome:7} {figures}", flush=True)
    return outcome


def check(patchtool, name, images, folder, arguments):
    """Judge a network in every format; the outcomes and figures."""
    onnx_path = models.build(name, folder, arguments.resolution, arguments.width, arguments.seed)
    backbone, inputs = folder / f"{name}.backbone", None
    outcomes, figures = [], []
    for form, activations in FORMATS.items():
        path, tolerance = onnx_path, []
        if activations is not None:
            if inputs is None:
                patchtool.import_onnx(onnx_path, backbone, arguments.mean, arguments.std)
                inputs = dump_inputs(patchtool, backbone, sorted(images.iterdir()), folder / f"{name}-inputs")
            path, tolerance = quantise(onnx_path, inputs, activations), ["--tolerance", INT8_TOLERANCE]
        verdict, why = judge(patchtool, path, folder / f"{name}.judged", images, arguments, *tolerance)
        outcomes.append(row(name, form, verdict, why))
        figures.append({"network": name, "format": form, "outcome": outcomes[-1], "verify": verdict, "why": why})
    return outcomes, figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_common_flags(parser)
    models.add_model_flags(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    patchtool = Patchtool(arguments.patchtool)
    outcomes, figures = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_images(folder / "images")
        for name in arguments.models:
            found, more = check(patchtool, name, folder / "images", folder, arguments)
            outcomes += found
            figures += more
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    passed, failed, cannot = (outcomes.count(outcome) for outcome in ["passed", "failed", "cannot"])
    print(f"{passed} passed, {failed} failed, {cannot} that tract cannot judge")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
