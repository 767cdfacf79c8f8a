"""Top-1 and top-5 on an ImageNet sample, three ways.

    graft           patchtool eval: its own preprocessing, its own network
    ort+graft       ONNX Runtime, fed with the inputs that patchtool eval used
    ort+pil         ONNX Runtime, fed by PIL (bicubic resize, centre crop)

graft against ort+graft tells about the network, ort+graft against ort+pil about
the preprocessing. The data is a .tar of INDEX_WORDNETID/image, where INDEX is the
ImageNet class.
"""

import argparse
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.parity import common
from tests.parity.common import Patchtool, PatchtoolError, fail

import numpy as np
from PIL import Image


def read_dataset(path):
    """Yield (label, image) in the order of the paths, which is the order of patchtool eval."""
    with tarfile.open(path) as archive:
        members = sorted((member for member in archive if member.isfile()), key=lambda member: member.name)
        for member in members:
            label = int(Path(member.name).parent.name.split("_")[0])
            yield label, Image.open(archive.extractfile(member))


def read_dumped(folder, resolution):
    """Yield (label, input) from what `patchtool eval --dump-inputs` wrote."""
    labels = (folder / "labels.txt").read_text().splitlines()
    for index, label in enumerate(labels):
        yield int(label.split()[0]), common.read_dumped_input(folder / f"{index:04}.f32", resolution)


def ort_accuracy(session, inputs):
    """Top-1 and top-5 of ONNX Runtime on (label, input) pairs."""
    hits = []
    for label, image in inputs:
        # Scores of a quantised model do tie: the first class wins, as in patchtool eval.
        order = np.argsort(-common.ort_scores(session, image), kind="stable")
        hits.append((label == order[0], label in order[:5]))
    if not hits:
        fail("the data set has no images")
    return np.mean(hits, 0)


def graft_accuracy(patchtool, session, arguments):
    """(graft, ort+graft): both see the same inputs."""
    resolution = common.input_resolution(session)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        backbone = arguments.backbone or patchtool.import_onnx(
            arguments.onnx, folder / "model.backbone", arguments.mean, arguments.std)
        report = patchtool("eval", "--backbone", backbone, "--data", arguments.data, "--dump-inputs", folder / "inputs")
        expected = [label for label, _ in read_dataset(arguments.data)]
        dumped = [label for label, _ in read_dumped(folder / "inputs", resolution)]
        if dumped != expected:
            fail("labels.txt of patchtool eval does not match the data set", status=1)
        fed_by_graft = ort_accuracy(session, read_dumped(folder / "inputs", resolution))
    return np.array([report["accuracy"], report.get("top5", np.nan)]), fed_by_graft


def pil_accuracy(session, arguments):
    """ort+pil."""
    resolution = common.input_resolution(session)
    return ort_accuracy(session, ((label, common.preprocess(image, resolution, arguments.mean, arguments.std))
                                  for label, image in read_dataset(arguments.data)))

# Most points of top-1 between two rows: the engine on one input, and the preprocessing in one engine.
LIMITS = {("graft", "ort+graft"): 0.4, ("ort+graft", "ort+pil"): 0.5}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_common_flags(parser)
    parser.add_argument("--onnx", type=Path, required=True, help="the model, as ONNX")
    parser.add_argument("--backbone", type=Path, help="its backbone [imported from --onnx]")
    parser.add_argument("--data", type=Path, required=True, metavar="TAR", help="the images")
    parser.add_argument("--only-pil", action="store_true", help="only ort+pil, which needs no patchtool")
    arguments = parser.parse_args()
    if not arguments.data.is_file():
        fail(f"no data at {arguments.data}")

    session = common.ort_session(arguments.onnx)
    rows = {}
    if not arguments.only_pil:
        try:
            rows["graft"], rows["ort+graft"] = graft_accuracy(Patchtool(arguments.patchtool), session, arguments)
        except PatchtoolError as error:
            fail(error)
    rows["ort+pil"] = pil_accuracy(session, arguments)

    print(f"{'':12} {'top-1 %':>8} {'top-5 %':>8}")
    for name, figures in rows.items():
        print(f"{name:12} " + " ".join(f"{100 * figure:8.2f}" for figure in figures))
    is_within = True
    for (a, b), limit in LIMITS.items() if not arguments.only_pil else []:
        points = 100 * (rows[a] - rows[b])
        is_within &= abs(points[0]) <= limit
        print(f"{a} - {b}: {points[0]:+.2f} points top-1 (limit {limit}), {points[1]:+.2f} top-5")
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
