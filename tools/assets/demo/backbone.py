"""Write the demo's untrained backbone: a small MobileNetV2 for images of 48 pixels, as ONNX.

It has the blocks of MobileNetV2 and about the size of its 0.35 variant, with strides for
small images: where MobileNetV2 ends at 1/32 of its input, this one ends at 1/8, 6x6 pixels.
The last layer has 320 features, so that the head of a patch stays small. Weights are random
(He et al. 2015, seeded); every BatchNormalization stays in the graph, scale 1 and shift 0,
for training to start from.
"""

import argparse
from pathlib import Path

from tests.parity import models
import numpy as np
import onnx

SIDE = 48
CLASSES = 10
STEM = 16
FEATURES = 320
# Expansion, channels, repeats, stride of the first, as in table 2 of MobileNetV2 (Sandler et al. 2018). Channels are
# multiples of 8, and at 24x24 pixels 16: on 8 it learns far worse for the same time.
STAGES = [(1, 16, 1, 1), (3, 16, 2, 1), (6, 24, 3, 2), (6, 32, 4, 2), (6, 56, 3, 1), (6, 80, 2, 1)]


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
