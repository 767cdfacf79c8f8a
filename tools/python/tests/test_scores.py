"""Scores are those of `patchtool run`, to the bit, in whatever way the images are given."""

import json
import pathlib
import subprocess
import sys

import numpy
import pytest
from numpy.testing import assert_array_equal

import graft
from conftest import DEMO, ROOT, SNEAKER

PATCHTOOL = pathlib.Path(sys.executable).with_name("patchtool")
PICTURES = sorted((ROOT / "tests/cases/images").glob("*/*.png"))


def patchtool_run(backbone, patches, pictures):
    """The scores and probabilities that the program prints, by picture and patch."""
    command = [PATCHTOOL, "run", "--json", "--scores", "--top", "1", "--backbone", backbone]
    command += [f"--patch={patch}" for patch in patches] + list(pictures)
    return json.loads(subprocess.check_output(command))["results"]


@pytest.mark.parametrize("folder", ["", "int8"])
def test_scores_are_those_of_patchtool_run(folder):
    path = DEMO / folder / "demo.backbone"
    backbone = graft.Backbone.open(path)
    patches = [graft.Patch.open(DEMO / folder / name, backbone) for name in ("fashion.patch", "sign-digits.patch")]
    session = graft.Session(backbone)
    results = iter(patchtool_run(path, [patch.path for patch in patches], PICTURES))
    assert len(PICTURES) > 3
    for picture in PICTURES:
        for patch in patches:
            expected = next(results)
            scores = session.run(patch, patch.preprocess(picture))
            assert_array_equal(scores, numpy.array(expected["scores"], numpy.float32))
            top = expected["top"][0]
            assert patch.labels[scores.argmax()] == top["label"]
            assert patch.probabilities(scores).max() == top["probability"]


def test_the_backbone_alone_is_a_patch(backbone):
    own = backbone.identity()
    (expected,) = patchtool_run(backbone.path, [], [SNEAKER])
    scores = graft.Session(backbone).run(own, own.preprocess(SNEAKER))
    assert_array_equal(scores, numpy.array(expected["scores"], numpy.float32))
    assert own.path is None and len(own.labels) == own.classes == len(scores)


def test_a_batch_is_its_images_on_any_number_of_threads(backbone, fashion, pictures):
    session = graft.Session(backbone)
    each = numpy.stack([session.run(fashion, picture) for picture in pictures])
    for threads in (1, 2, 5):
        session = graft.Session(backbone, threads=threads)
        assert_array_equal(session.run(fashion, pictures), each)
        assert_array_equal(session.run(fashion, pictures[0]), each[0])
    assert session.run(fashion, pictures[:0]).shape == (0, 10)
    assert each.dtype == numpy.float32


def test_many_patches_share_one_call(backbone, fashion, digits, pictures):
    session = graft.Session(backbone, threads=2)
    many = session.run_many([fashion, digits, backbone.identity()], pictures)
    for patch, scores in zip([fashion, digits, backbone.identity()], many):
        assert_array_equal(scores, session.run(patch, pictures))
    assert_array_equal(session.run_many([digits], pictures[3])[0], many[1][3])


def test_whatever_numpy_can_view_is_an_image(backbone, fashion, pictures):
    session = graft.Session(backbone)
    scores = session.run(fashion, pictures)
    wide = numpy.zeros((12, 50, 96, 4), numpy.uint8)
    wide[:, 1:49, ::2, :3] = pictures
    views = {
        "strided": wide[:, 1:49, ::2, :3],
        "Fortran order": numpy.asfortranarray(pictures),
        "NCHW, moved": numpy.moveaxis(numpy.ascontiguousarray(numpy.moveaxis(pictures, -1, 1)), 1, -1),
        "nested lists of arrays": list(pictures),
        "memory": memoryview(pictures),
        "normalised": (pictures.astype(numpy.float32) - numpy.float32(fashion.mean)) / numpy.float32(fashion.std),
    }
    for name, view in views.items():
        assert_array_equal(session.run(fashion, view), scores, name)
    assert_array_equal(session.run(fashion, pictures[::-1]), scores[::-1])
    pictures.flags.writeable = False
    assert_array_equal(session.run(fashion, pictures), scores)


def test_pictures_of_any_size_are_brought_to_the_inputs(fashion):
    grey = numpy.tile(numpy.arange(200, dtype=numpy.uint8)[:, None], (1, 90))
    made = fashion.preprocess(grey)
    assert made.shape == fashion.input_shape and made.dtype == numpy.uint8
    assert_array_equal(made, fashion.preprocess(numpy.dstack([grey] * 3)))
    assert_array_equal(made, fashion.preprocess(grey[..., None]))
    several = numpy.stack([grey, grey[::-1]])[..., None]
    assert_array_equal(fashion.preprocess(several), [made, fashion.preprocess(grey[::-1])])


def test_a_picture_is_its_file_or_the_bytes_in_it(fashion, backbone):
    for picture in PICTURES[:3]:
        assert_array_equal(fashion.preprocess(picture.read_bytes()), fashion.preprocess(picture))
    assert fashion.resize == backbone.identity().resize == "stretch:bicubic"


def test_probabilities_add_up_to_one(backbone, fashion, pictures):
    scores = graft.Session(backbone).run(fashion, pictures)
    probabilities = fashion.probabilities(scores)
    assert probabilities.shape == scores.shape
    numpy.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert_array_equal(fashion.probabilities(scores[2]), probabilities[2])
