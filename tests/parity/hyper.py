"""Generators of every kind: patchtool and ONNX Runtime must make the same of the same file and support set.

    python -m tests.parity.hyper FOLDER    what `cargo run --example generators FOLDER` wrote
"""

import argparse
import json
import sys
from pathlib import Path

from tests.parity.common import fail, require

require("numpy", "onnx", "onnxruntime")
import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-4


def one_hot(columns, count):
    """Rows with a one in these columns."""
    return np.eye(count, dtype=np.float32)[list(columns)]


def feeds(session, run):
    """The inputs of a model for a support set, by name."""
    shapes = {node.name: node.shape for node in session.get_inputs()}
    columns = shapes["labels"][1]
    unknown = columns - 1
    labels = [unknown if label is None else label for label in run["labels"]]
    first = next(iter(shapes))
    values = {
        first: np.array(run["images"], np.float32).reshape([len(labels), *shapes[first][1:]]),
        "labels": one_hot(labels, columns),
        "classes": one_hot(range(run["classes"]), columns),
    }
    for index, weights in enumerate(run["start"]):
        name = f"start.{index}"
        values[name] = np.array(weights, np.float32).reshape(shapes[name])
    return values


def difference(found, expected):
    """Largest difference, relative to the largest value."""
    found, expected = np.asarray(found, np.float32), expected.ravel()
    if found.shape != expected.shape or not np.isfinite(found).all():
        return np.inf
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6))


def check(path):
    """Largest difference of one generator over its support sets."""
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    worst = 0.0
    for run in json.loads(path.with_suffix(".json").read_text()):
        outputs = session.run(names, feeds(session, run))
        if sorted(names) != sorted(run["outputs"]):
            fail(f"{path.name}: outputs {sorted(run['outputs'])}, expected {sorted(names)}", status=1)
        worst = max(worst, *(difference(run["outputs"][name], value) for name, value in zip(names, outputs)))
    return worst


def main():
    """Compare every generator of the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    paths = sorted(parser.parse_args().folder.glob("*.hyper"))
    if not paths:
        fail("no generators; hint: cargo run --release -p patchtool --example generators FOLDER")
    differences = {path.stem: check(path) for path in paths}
    for name, worst in differences.items():
        print(f"{name:<12} {worst:.1e}")
    if max(differences.values()) > TOLERANCE:
        fail(f"patchtool and ONNX Runtime differ by more than {TOLERANCE}", status=1)


if __name__ == "__main__":
    sys.exit(main())
