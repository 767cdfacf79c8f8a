"""Check that exported tasks are ordinary ONNX models: `patchtool export --onnx` against ONNX Runtime.

For every network there is one trained file of each kind: `patchtool train` makes those of
one network, on the images shared out among ten classes; the others are the model's own
parameters, moved a little (seeded), in the format that `train` writes. Each is exported. ONNX Runtime must load the models and agree with the runtime within 1e-4
of the score range on every image; all tasks of a backbone must share one file of
frozen weights, which is external, page-aligned and whole; `--from-onnx` must give
back the same patch, and take a model whose batch norms were folded into the filters;
the baseline `full` must import as a backbone of its own. The sizes of a bn patch and
of patches in half precision are checked too.
"""

import argparse
import json
import shutil
import struct
import sys
import tempfile
from pathlib import Path

from tests.parity import common
from tests.parity.common import Patchtool, PatchtoolError, require
from tests.parity.compare import SCORE_TOLERANCE, make_images

require("onnx")
from tests.parity import models
import numpy as np
import onnx
from onnx import numpy_helper

KINDS = ["head", "bn+head", "dw+head", "bn+dw+head", "full"]
CLASSES = 17  # of the trained tasks, others than the network's own
TRAINED = "mobilenet-v2-bn"  # the network whose tasks are really trained
TRAINED_CLASSES = 10
BATCH_MODE = ["bn+head", "full"]  # trained with batch norm in batch mode
PAGE = 4096
MOBILENET_V2_VALUES = 34_112  # scales and biases of MobileNetV2 1.0
OVERHEAD = 0.05  # of its bn patch over 4 bytes a value


class Site:
    """The parameters of one convolution or linear layer, as a trained file holds them."""

    def __init__(self, model, node, follower):
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        weights = values[node.input[1]]
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        self.is_depthwise = groups > 1
        # Graft's order within a filter is row, column, input channel.
        self.weights = (weights.transpose(0, 2, 3, 1) if weights.ndim == 4 else weights).reshape(len(weights), -1)
        self.bias = values[node.input[2]] if len(node.input) > 2 else None
        self.norm = [values[name] for name in follower.input[1:]] if follower is not None else None
        if follower is not None:
            self.epsilon = next(a.f for a in follower.attribute if a.name == "epsilon")


def read_sites(path):
    """The sites of an ONNX model, in order, each with the batch norm that follows it."""
    model = onnx.load(path)
    readers = {node.input[0]: node for node in model.graph.node}
    sites = []
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            reader = readers.get(node.output[0])
            is_norm = reader is not None and reader.op_type == "BatchNormalization"
            sites.append(Site(model, node, reader if is_norm else None))
    return sites


def trained_values(kind, sites, rng):
    """The tensors of a trained file, and its batch norms: everything that `kind` trains, a little off."""
    def moved(values):
        return (values * (1 + 0.05 * rng.standard_normal(values.shape))).astype("<f4")

    tensors, norms = {}, {}
    for index, site in enumerate(sites):
        is_head = index + 1 == len(sites)
        outputs = CLASSES if is_head else len(site.weights)
        if is_head or kind == "full" or "dw" in kind and site.is_depthwise:
            tensors[f"site.{index:03}.weights"] = moved(site.weights[:outputs])
        if not (is_head or kind == "full" or "bn" in kind):
            continue
        if site.norm is not None:
            parts = zip(["gamma", "beta", "mean", "var"], site.norm)
            norms[index] = {"name": "", "epsilon": site.epsilon}
        else:
            bias = np.zeros(outputs, "f4") if site.bias is None else site.bias[:outputs]
            # The head has a bias alone; other layers a scale as well.
            scale = np.ones(outputs, "f4")
            parts = [("scale", scale if is_head else moved(scale)), ("bias", bias + 0.01)]
        for part, values in parts:
            tensors[f"site.{index:03}.{part}"] = values.astype("<f4") if part == "scale" else moved(values)
    return tensors, norms


def write_trained(path, kind, sites, backbone_id, resolution, arguments):
    """Write a trained file: safetensors by hand, with the metadata that patchtool reads."""
    rng = np.random.default_rng(KINDS.index(kind))
    tensors, norms = trained_values(kind, sites, rng)
    mean, std = [(float(common.per_channel(text).ravel()[0]),) * 4 for text in (arguments.mean, arguments.std)]
    metadata = {
        "kind": kind, "name": f"task-{kind}", "tool": "parity",
        "backbone": {"name": "parity", "id": backbone_id},
        "input": {"height": resolution, "width": resolution, "channels": 3,
                  "mean": mean[:3] + (0.0,), "std": std[:3] + (1.0,), "resize": "crop:0.875:bicubic"},
        "labels": [f"class {index}" for index in range(CLASSES)], "batch_norms": norms,
    }
    header, data = {"__metadata__": {"graft": json.dumps(metadata)}}, b""
    for name in sorted(tensors):
        start = len(data)
        data += tensors[name].tobytes()
        header[name] = {"dtype": "F32", "shape": tensors[name].shape, "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def train(patchtool, kind, backbone, images, output):
    """Train a task of a few classes; where its batch norm may have a mean and variance of its own, it has."""
    data = output.parent / "classes"
    for index, image in enumerate(images):
        place = data / f"class {index % TRAINED_CLASSES}" / image.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            shutil.copy(image, place)
    mode = ["--batch-norm", "batch"] if kind in BATCH_MODE else []
    return patchtool("train", "--backbone", backbone, "--data", data, "--test", data, "--kind", kind,
                     "--epochs", 30, "--batch", 5, "--lr", 0.003, *mode, "-o", output)


def largest_error(patchtool, onnx_path, run, images, inputs):
    """The largest score error of a model in ONNX Runtime against `patchtool run RUN`."""
    report = patchtool("run", *run, "--scores", "--dump-inputs", inputs, *images)
    session = common.ort_session(onnx_path)
    errors = []
    for index, result in enumerate(report["results"]):
        used = common.read_dumped_input(inputs / f"{index:04}.f32", common.input_resolution(session))
        errors.append(common.score_error(np.array(result["scores"], np.float32), common.ort_scores(session, used)))
    if len(errors) != len(images):
        raise PatchtoolError(f"patchtool run gave {len(errors)} results for {len(images)} images")
    return np.max(errors)  # np.max keeps a NaN, and a NaN must fail


def external_problem(onnx_path, weights):
    """What is wrong with a model's external data, or None."""
    model = onnx.load(onnx_path, load_external_data=False)
    onnx.checker.check_model(str(onnx_path), full_check=True)
    places = [{entry.key: entry.value for entry in tensor.external_data}
              for tensor in model.graph.initializer if tensor.external_data]
    if not places or {place["location"] for place in places} != {weights.name}:
        return f"its external data is not in {weights.name} alone"
    if any(int(place["offset"]) % PAGE for place in places):
        return "its external data is not on page boundaries"
    if any(int(place["offset"]) + int(place["length"]) > weights.stat().st_size for place in places):
        return f"its external data ends behind {weights.name}"
    return None


def check_kind(patchtool, kind, name, backbone, sites, images, folder, arguments):
    """Export one task every way; returns the figures and the line to print. A PatchtoolError says what is wrong."""
    files = {suffix: folder / f"{name}-{kind}.{suffix}" for suffix in ["safetensors", "onnx", "patch", "again.patch"]}
    shown = patchtool("inspect", backbone)
    resolution = common.input_resolution(common.ort_session(folder / f"{name}.onnx"))
    if name == TRAINED:
        train(patchtool, kind, backbone, images, files["safetensors"])
    else:
        write_trained(files["safetensors"], kind, sites, shown["id"], resolution, arguments)
    export = ["export", files["safetensors"], "--backbone", backbone, "--onnx", files["onnx"]]
    if kind == "full":
        patchtool(*export)
        imported = patchtool.import_onnx(files["onnx"], folder / f"{name}-full.backbone", arguments.mean, arguments.std)
        run, size, sizes = ["--backbone", imported], "", {}
    else:
        written = patchtool(*export, "-o", files["patch"])
        patchtool("export", "--from-onnx", files["onnx"], "--backbone", backbone, "-o", files["again.patch"])
        patchtool("diff", files["patch"], files["again.patch"])
        problem = external_problem(files["onnx"], Path(written["weights"]))
        if problem:
            raise PatchtoolError(problem)
        run = ["--backbone", backbone, "--patch", files["patch"]]
        half = patchtool("export", files["safetensors"], "--backbone", backbone, "--f16",
                         "-o", folder / f"{kind}-half.patch")
        over = written["bytes"] / written["payload_bytes"] - 1
        size = f"patch {written['bytes']} B (payload + {over:.1%}), in f16 {half['bytes']} B"
        sizes = {"patch_bytes": written["bytes"], "half_bytes": half["bytes"]}
        if half["payload_bytes"] * 2 != written["payload_bytes"] or half["bytes"] > 0.52 * written["bytes"]:
            raise PatchtoolError(f"{size}: expected half of the bytes in f16")
    error = largest_error(patchtool, files["onnx"], run, images, folder / f"{name}-{kind}-inputs")
    onnx_bytes = files["onnx"].stat().st_size
    line = f"{error:9.1e} of the range   {onnx_bytes} B of ONNX   {size}"
    if not error <= SCORE_TOLERANCE:
        raise PatchtoolError(f"{line}: expected at most {SCORE_TOLERANCE}")
    return {"network": name, "kind": kind, "error": float(error), "onnx_bytes": onnx_bytes, **sizes}, line


def check_folded(patchtool, backbone, images, folder, arguments):
    """Whether a model whose exporter folded the batch norms into the filters, as PyTorch's does, gives a bn patch."""
    twin = models.build("mobilenet-v2-folded", folder, arguments.resolution, arguments.width, arguments.seed)
    model = onnx.load(twin)
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    for node in convolutions[2::5]:
        for name in node.input[1:]:
            scaled = numpy_helper.to_array(values[name]) * np.float32(1.3)
            values[name].CopyFrom(numpy_helper.from_array(scaled, name))
    onnx_path, patch = folder / "folded-task.onnx", folder / "folded-task.patch"
    onnx.save(model, onnx_path)
    kinds = patchtool("export", "--from-onnx", onnx_path, "--backbone", backbone, "-o", patch)["kinds"]
    run = ["--backbone", backbone, "--patch", patch]
    error = largest_error(patchtool, onnx_path, run, images, folder / "folded-task-inputs")
    passed = kinds == "bn" and error <= SCORE_TOLERANCE
    print(f"{'mobilenet-v2':22} folded      {error:9.1e} of the range   read as {kinds}   "
          f"{'PASS' if passed else 'FAIL'}", flush=True)
    return passed


def check_size(patchtool, backbone, folder):
    """Whether the scales and biases of MobileNetV2 take little more than their 4 bytes each."""
    written = patchtool("extract", "--kind", "bn", "--backbone", backbone, "-o", folder / "bn.patch")
    over = written["bytes"] / (4 * MOBILENET_V2_VALUES) - 1
    passed = over <= OVERHEAD
    print(f"{'mobilenet-v2':22} bn          {written['bytes']} B for {MOBILENET_V2_VALUES} values: + {over:.1%}   "
          f"{'PASS' if passed else 'FAIL'}", flush=True)
    return passed


def check_model(patchtool, name, images, folder, arguments):
    """Check every kind on one network; returns the verdicts, and the figures of those that passed."""
    folder = folder / name
    folder.mkdir()
    onnx_path = models.build(name, folder, arguments.resolution, arguments.width, arguments.seed)
    backbone = patchtool.import_onnx(onnx_path, folder / f"{name}.backbone", arguments.mean, arguments.std)
    sites, verdicts, figures = read_sites(onnx_path), [], []
    for kind in KINDS:
        try:
            found, line = check_kind(patchtool, kind, name, backbone, sites, images, folder, arguments)
            figures.append(found)
            verdicts.append(True)
        except (PatchtoolError, onnx.checker.ValidationError) as error:
            line = f"FAIL: {error}"
            verdicts.append(False)
        print(f"{name:22} {kind:11} {line}", flush=True)
    if name == "mobilenet-v2-bn":
        verdicts.append(check_folded(patchtool, backbone, images, folder, arguments))
    if name == "mobilenet-v2-bn" and arguments.width == 1.0:
        verdicts.append(check_size(patchtool, backbone, folder))
    weights = list(folder.glob("*.weights"))
    print(f"{name:22} {len(KINDS) - 1} tasks share {[path.name for path in weights]}", flush=True)
    return [*verdicts, len(weights) == 1], figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_common_flags(parser)
    models.add_model_flags(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    patchtool = Patchtool(arguments.patchtool)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_images(folder / "images")
        images = sorted((folder / "images").iterdir())
        checks = [check_model(patchtool, name, images, folder, arguments) for name in arguments.models]
    verdicts = [verdict for found, _ in checks for verdict in found]
    if arguments.json:
        figures = [row for _, found in checks for row in found]
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{sum(verdicts)} passed, {len(verdicts) - sum(verdicts)} failed")
    return 0 if verdicts and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
