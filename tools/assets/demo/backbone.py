#!/usr/bin/env python3
"""Write the demo's untrained backbone: MobileNetV2 at width 0.35 for images of 48 pixels, as ONNX.

The strides are adapted to small images: where MobileNetV2 ends at 1/32 of its input,
this one ends at 1/8, 6x6 pixels. The last layer has 320 features, so that the
head of a patch stays small. Weights are random (He et al. 2015, seeded); every
BatchNormalization stays in the graph, scale 1 and shift 0, for training to start from.
"""

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "tests" / "parity"))
import models
import numpy as np
import onnx

SIDE = 48
CLASSES = 10
STEM = 16
FEATURES = 320
# Expansion, channels, repeats, stride of the first: MobileNetV2 (Sandler et al. 2018, table 2) x 0.35, other strides.
STAGES = [(1, 8, 1, 1), (6, 8, 2, 1), (6, 16, 3, 2), (6, 24, 4, 2), (6, 32, 3, 1), (6, 56, 3, 1), (6, 112, 1, 1)]


class Untrained(models.Network):
    """A network whose batch norms have seen nothing yet."""

    def statistics(self, raw):
        ones, zeros = np.ones(raw.shape[1], "f4"), np.zeros(raw.shape[1], "f4")
        return ones, zeros, zeros, ones


def backbone(seed):
    """The ONNX model."""
    net = Untrained(SIDE, seed=seed)
    x = net.unit(net.input, STEM, 3, 2, "Clip")
    for expansion, outputs, repeats, stride in STAGES:
        for repeat in range(repeats):
            x = net.inverted_residual(x, x.sample.shape[1] * expansion, outputs, 3, stride if repeat == 0 else 1)
    x = net.unit(x, FEATURES, activation="Clip")
    return net.model(net.linear(net.flatten(net.mean(x)), CLASSES))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="ONNX file to write")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random weights [1]")
    arguments = parser.parse_args()
    onnx.save(backbone(arguments.seed), str(arguments.output))


if __name__ == "__main__":
    main()
