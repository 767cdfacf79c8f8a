"""What the tests share: the demo's files, and pictures of them."""

import pathlib

import numpy
import pytest

import graft

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEMO = ROOT / "tools/assets/demo"
SNEAKER = ROOT / "tests/cases/images/fashion/sneaker.png"


@pytest.fixture
def backbone():
    return graft.Backbone.open(DEMO / "demo.backbone")


@pytest.fixture
def fashion(backbone):
    return graft.Patch.open(DEMO / "fashion.patch", backbone)


@pytest.fixture
def digits(backbone):
    return graft.Patch.open(DEMO / "sign-digits.patch", backbone)


@pytest.fixture
def pictures():
    """Noise of the demo's input size."""
    random = numpy.random.default_rng(1)
    return random.integers(0, 256, (12, 48, 48, 3), dtype=numpy.uint8)
