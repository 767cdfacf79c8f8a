"""Compare int8 networks with ONNX Runtime, both ways.

onnxruntime.quantization quantises every network in the QDQ format; `patchtool import` must
score as ONNX Runtime does with the same model. `patchtool export --onnx` of the imported
backbone must be a model that ONNX Runtime scores as the runtime does, and that imports
again as a backbone with the very same scores. And a trained task, quantised by patchtool as a
patch for an int8 backbone, must be a model that ONNX Runtime scores as the runtime does.

The networks are tasks that `patchtool train` makes of the demo backbone, on real images:
their first guesses must agree. Networks of random weights (models.py) are there for their
operators: their scores tie and lie close together, so that only the scores are compared.

Int8 engines differ where a value lies just between two steps, a few in a million, and
then so do the layers behind; random weights make much of that, as they do of the gate of a
hard-swish, which ONNX Runtime rounds and Graft does not. So the measure is the mean
difference of a score in steps of the scores' scale.
"""

import argparse
import json
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.parity import common
from tests.parity.common import REPOSITORY, Patchtool, PatchtoolError, require
from tests.parity.compare import make_images

require("onnx")
from tests.parity import models
import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.preprocess import quant_pre_process

TASKS = ["fashion", "sign-digits"]
EPOCHS, RATE = 16, 5e-3  # of a task: enough for scores that differ
CALIBRATION = 60  # images of a task that scales are chosen by
AGREEMENT = 0.99  # least share of equal first guesses, of trained networks
STEPS = 0.5  # largest mean difference of a score, in steps of its scale
RANDOM_STEPS = 3.0  # likewise, of networks of random weights; the scores of another image are 8 to 17 away


class Reader(CalibrationDataReader):
    """Hands out calibration inputs."""

    def __init__(self, name, inputs):
        self.feeds = iter([{name: image.transpose(2, 0, 1)[None]} for image in inputs])

    def get_next(self):
        return next(self.feeds, None)


def dump_inputs(patchtool, backbone, images, folder):
    """The inputs that the runtime makes of images."""
    patchtool("run", "--backbone", backbone, "--dump-inputs", folder, *images)
    flat = [np.fromfile(path, "<f4") for path in sorted(folder.glob("*.f32"))]
    side = int(np.sqrt(flat[0].size / 3))
    return [values.reshape(side, side, 3) for values in flat]


def quantise(onnx_path, inputs, activations=QuantType.QInt8):
    """Quantise a float model as ONNX Runtime recommends, and return the path of the QDQ model."""
    prepared, quantised = (onnx_path.with_suffix(f".{word}.onnx") for word in ["prepared", "qdq"])
    quant_pre_process(str(onnx_path), str(prepared), skip_symbolic_shape=True)
    reader = Reader(common.ort_session(prepared).get_inputs()[0].name, inputs)
    quantize_static(str(prepared), str(quantised), reader, quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=activations, weight_type=QuantType.QInt8)
    return quantised


def step_of_scores(onnx_path):
    """The scale of a QDQ model's output."""
    graph = onnx.load(onnx_path).graph
    last = next(node for node in graph.node if graph.output[0].name in node.output)
    values = {tensor.name: tensor for tensor in graph.initializer}
    return float(numpy_helper.to_array(values[last.input[1]]))


def scores_of(patchtool, backbone, images, inputs, *patch):
    """The scores of all images; the inputs that they are of go to a folder."""
    report = patchtool("run", "--backbone", backbone, *patch, "--scores", "--dump-inputs", inputs, *images)
    scores = [np.array(result["scores"], np.float32) for result in report["results"]]
    if len(scores) != len(images):
        raise PatchtoolError(f"patchtool run gave {len(scores)} results for {len(images)} images")
    return scores


def compare(onnx_path, scores, inputs):
    """Share of equal first guesses, and mean difference of a score in steps."""
    session, step = common.ort_session(onnx_path), step_of_scores(onnx_path)
    side = common.input_resolution(session)
    expected = [common.ort_scores(session, common.read_dumped_input(inputs / f"{index:04}.f32", side))
                for index in range(len(scores))]
    equal = np.mean([a.argmax() == b.argmax() for a, b in zip(scores, expected)])
    return float(equal), float(np.mean([np.abs(a - b).mean() for a, b in zip(scores, expected)]) / step)


def judge(name, direction, onnx_path, scores, inputs, is_trained):
    """Compare scores with those of a model, print a line, return verdict and figures."""
    equal, difference = compare(onnx_path, scores, inputs)
    passed = difference <= STEPS and equal >= AGREEMENT if is_trained else difference <= RANDOM_STEPS
    print(f"{name:22} {direction}   top-1 equal {equal:6.1%} of {len(scores)}   {difference:5.2f} steps a score   "
          f"{'PASS' if passed else 'FAIL'}", flush=True)
    return passed, {"network": name, "direction": direction, "top1_equal": equal, "steps": difference}


def check(patchtool, name, onnx_path, images, normalisation, is_trained):
    """Import, export and import again; print a line for each direction, return verdicts and figures."""
    backbone, exported, again = (onnx_path.with_suffix(f".{word}") for word in ["int8", "exported.onnx", "again"])
    arguments = [*normalisation, "--force"]
    patchtool("import", onnx_path, "-o", backbone, *arguments)
    patchtool("export", "--backbone", backbone, "--onnx", exported, "--force")
    onnx.checker.check_model(str(exported), full_check=True)
    patchtool("import", exported, "-o", again, *arguments)
    inputs = onnx_path.with_suffix(".inputs")
    scores = scores_of(patchtool, backbone, images, inputs)
    scores_again = scores_of(patchtool, again, images, onnx_path.with_suffix(".inputs-again"))
    verdicts, figures = [], []
    for direction, path in [("import", onnx_path), ("export", exported)]:
        passed, found = judge(name, direction, path, scores, inputs, is_trained)
        verdicts.append(passed)
        figures.append(found)
    same = np.mean([np.array_equal(a, b) for a, b in zip(scores, scores_again)])
    print(f"{name:22} again    {same:.1%} of {len(images)} with the same scores   {'PASS' if same == 1 else 'FAIL'}",
          flush=True)
    return [*verdicts, same == 1], figures


def unpack(name, folder):
    """The images of one of the demo's archives."""
    with tarfile.open(REPOSITORY / "tools" / "assets" / "demo" / f"{name}.tar") as archive:
        archive.extractall(folder / name, filter="data")
    return sorted(path for path in (folder / name).rglob("*") if path.is_file())


def check_task(patchtool, task, folder):
    """Train a task of the demo backbone, and check its model."""
    assets = REPOSITORY / "tools" / "assets" / "demo"
    backbone, trained, onnx_path = assets / "demo.backbone", folder / f"{task}.safetensors", folder / f"{task}.onnx"
    patchtool("train", "--backbone", backbone, "--data", assets / f"{task}-train.tar",
              "--test", assets / f"{task}-test.tar", "--kind", "bn+head", "--epochs", EPOCHS,
              "--lr", RATE, "-o", trained)
    patchtool("export", trained, "--backbone", backbone, "--onnx", onnx_path)
    images, others = unpack(f"{task}-test", folder), unpack(f"{task}-train", folder)
    chosen = others[::max(1, len(others) // CALIBRATION)]
    inputs = dump_inputs(patchtool, backbone, chosen, folder / f"{task}-calibration")
    normalisation = ["--mean", 127, "--std", 64, "--resize", "stretch:bicubic"]
    verdicts, figures = check(patchtool, task, quantise(onnx_path, inputs), images + others, normalisation, True)
    passed, found = check_patch(patchtool, task, trained, images + others, folder)
    return [*verdicts, passed], [*figures, found]


def check_patch(patchtool, task, trained, images, folder):
    """Quantise the demo backbone and a trained task, and check the task's model."""
    assets = REPOSITORY / "tools" / "assets" / "demo"
    calibrate = ["--calibrate", assets / f"{task}-train.tar"]
    backbone, patch, model = (folder / f"{task}.patchtool.{word}" for word in ["backbone", "patch", "onnx"])
    patchtool("quantize", assets / "demo.backbone", *calibrate, "-o", backbone)
    patchtool("export", trained, "--backbone", backbone, *calibrate, "-o", patch, "--onnx", model)
    onnx.checker.check_model(str(model), full_check=True)
    inputs = folder / f"{task}.patchtool.inputs"
    scores = scores_of(patchtool, backbone, images, inputs, "--patch", patch)
    return judge(task, "patch ", model, scores, inputs, True)


def check_network(patchtool, name, images, folder, arguments):
    """Check a network of random weights."""
    onnx_path = models.build(name, folder, arguments.resolution, arguments.width, arguments.seed)
    backbone = patchtool.import_onnx(onnx_path, folder / f"{name}.backbone", arguments.mean, arguments.std)
    inputs = dump_inputs(patchtool, backbone, images, folder / f"{name}-calibration")
    normalisation = ["--mean", arguments.mean, "--std", arguments.std, "--resize", "crop:0.875:bicubic"]
    return check(patchtool, name, quantise(onnx_path, inputs), images, normalisation, False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_common_flags(parser)
    models.add_model_flags(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    patchtool = Patchtool(arguments.patchtool)
    verdicts, figures = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_images(folder / "images")
        images = sorted((folder / "images").iterdir())
        tasks = [(task, lambda task: check_task(patchtool, task, folder)) for task in TASKS]
        networks = [(name, lambda name: check_network(patchtool, name, images, folder, arguments))
                    for name in arguments.models]
        for name, run in tasks + networks:
            try:
                passed, found = run(name)
            except (PatchtoolError, onnx.checker.ValidationError) as error:
                print(f"{name:22} FAIL: {error}", flush=True)
                passed, found = [False], []
            verdicts += passed
            figures += found
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{sum(verdicts)} passed, {len(verdicts) - sum(verdicts)} failed")
    return 0 if verdicts and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
