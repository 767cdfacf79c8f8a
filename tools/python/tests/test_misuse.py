"""What is wrong is an exception that says what to do, and never a crash."""

import multiprocessing
import pickle
import shutil
import subprocess
import sys
import threading

import numpy
import pytest
from numpy.testing import assert_array_equal

import graft
from conftest import DEMO, SNEAKER


@pytest.mark.parametrize("shape", [(48, 48), (47, 48, 3), (48, 48, 1), (3, 48, 48), (2, 3, 48, 48), (1, 1, 48, 48, 3), (0,), ()])
def test_wrong_shapes(backbone, fashion, shape):
    with pytest.raises(graft.InputError, match="expected") as error:
        graft.Session(backbone).run(fashion, numpy.zeros(shape, numpy.uint8))
    assert error.value.hint in str(error.value)
    assert ("moveaxis" in error.value.hint) == (shape[-3:] == (3, 48, 48))
    assert isinstance(error.value, ValueError) and isinstance(error.value, graft.Error)


@pytest.mark.parametrize("dtype", ["float64", "int8", "int64", "bool", "complex64", "object", "U3", ">f8"])
def test_wrong_dtypes(backbone, fashion, dtype):
    with pytest.raises(graft.InputError, match="expected uint8 or float32"):
        graft.Session(backbone).run(fashion, numpy.zeros((48, 48, 3), dtype))


@pytest.mark.parametrize("images", [None, "picture.png", 3, object(), [[1, 2], [3]], {}])
def test_what_is_no_array(backbone, fashion, images):
    with pytest.raises((graft.InputError, ValueError)):
        graft.Session(backbone).run(fashion, images)


def test_wrong_types(backbone, fashion, pictures):
    session = graft.Session(backbone)
    for call in (
        lambda: session.run(backbone, pictures),
        lambda: session.run(None, pictures),
        lambda: session.run_many([fashion, None], pictures),
        lambda: graft.Session("demo.backbone"),
        lambda: graft.Patch.open("demo.patch", "demo.backbone"),
        lambda: graft.Backbone.open(3),
        lambda: graft.Backbone(),
        lambda: graft.Patch(),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(OverflowError):
        graft.Session(backbone, threads=-1)
    for threads in (0, 257):
        with pytest.raises(graft.InputError, match="1 to 256"):
            graft.Session(backbone, threads=threads)
    with pytest.raises(graft.InputError, match="no patches"):
        session.run_many([], pictures)


def test_wrong_files(tmp_path, backbone):
    for path in (tmp_path, tmp_path / "nothing", SNEAKER, DEMO / "fashion.patch"):
        with pytest.raises(graft.FileError) as error:
            graft.Backbone.open(path)
        assert error.value.hint
    with pytest.raises(graft.FileError):
        graft.Patch.open(DEMO / "demo.backbone", backbone)
    cut = tmp_path / "cut.patch"
    cut.write_bytes((DEMO / "fashion.patch").read_bytes()[:-100])
    with pytest.raises(graft.FileError):
        graft.Patch.open(cut, backbone)
    for data in (b"", b"GRAFT", cut.read_bytes()):
        with pytest.raises(graft.FileError):
            graft.Patch.from_bytes(data, backbone)


def test_a_patch_of_another_backbone(backbone, fashion, pictures):
    other = graft.Backbone.open(DEMO / "int8/demo.backbone")
    with pytest.raises(graft.MismatchError, match=backbone.id):
        graft.Patch.open(DEMO / "fashion.patch", other)
    session = graft.Session(other)
    with pytest.raises(graft.MismatchError):
        session.run(fashion, pictures)
    with pytest.raises(graft.MismatchError):
        session.run_many([other.identity(), fashion], pictures)
    assert session.run(other.identity(), pictures).shape == (12, other.identity().classes)


def test_wrong_pictures_and_scores(fashion):
    for picture in (numpy.zeros((0, 5, 3), numpy.uint8), numpy.zeros((5, 5, 4), numpy.uint8), numpy.zeros((5, 5, 3), numpy.float32)):
        with pytest.raises(graft.InputError):
            fashion.preprocess(picture)
    for path in (DEMO / "README.md", "nothing.png", b"", SNEAKER.read_bytes()[:200], bytes(100)):
        with pytest.raises(graft.FileError):
            fashion.preprocess(path)
    for scores in (numpy.zeros(9, numpy.float32), numpy.zeros((2, 9), numpy.float32), numpy.zeros(10, numpy.uint8)):
        with pytest.raises(graft.InputError):
            fashion.probabilities(scores)


def test_closed(pictures):
    with graft.Backbone.open(DEMO / "demo.backbone") as backbone:
        patch = graft.Patch.open(DEMO / "fashion.patch", backbone)
        with graft.Session(backbone) as session:
            scores = session.run(patch, pictures)
    for call in (
        lambda: session.run(patch, pictures),
        lambda: backbone.identity(),
        lambda: backbone.id,
        lambda: graft.Session(backbone),
        lambda: graft.Patch.open(DEMO / "fashion.patch", backbone),
    ):
        with pytest.raises(graft.ClosedError):
            call()
    session.close()
    backbone.close()
    again = graft.Session(pickle.loads(pickle.dumps(backbone)))
    assert_array_equal(again.run(patch, pictures), scores)


def test_a_closed_backbone_is_held_by_what_was_opened_with_it(pictures):
    backbone = graft.Backbone.open(DEMO / "demo.backbone")
    patch, session = graft.Patch.open(DEMO / "fashion.patch", backbone), graft.Session(backbone)
    scores = session.run(patch, pictures)
    backbone.close()
    assert_array_equal(session.run(patch, pictures), scores)


def test_threads_share_a_session(backbone, fashion, digits, pictures):
    session = graft.Session(backbone, threads=2)
    expected = {patch: session.run(patch, pictures) for patch in (fashion, digits)}
    wrong = []

    def work(patch):
        for _ in range(20):
            if not numpy.array_equal(session.run(patch, pictures), expected[patch]):
                wrong.append(patch)

    threads = [threading.Thread(target=work, args=(patch,)) for patch in (fashion, digits) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_session_is_closed_while_another_thread_runs_it(backbone, fashion, pictures):
    session, ends = graft.Session(backbone, threads=2), []

    def work():
        try:
            while True:
                session.run(fashion, pictures)
        except graft.ClosedError:
            ends.append("closed")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    session.run(fashion, pictures)
    session.close()
    for thread in threads:
        thread.join(timeout=60)
    assert ends == ["closed"] * 3


def run_in_a_fork(session, patch, pictures, queue):
    try:
        session.run(patch, pictures)
    except graft.Error as error:
        queue.put(str(error))
    queue.put(graft.Session(patch.backbone).run(patch, pictures))


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system does not fork")
def test_a_fork_makes_its_own_session(backbone, fashion, pictures):
    session = graft.Session(backbone, threads=2)
    scores = session.run(fashion, pictures)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=run_in_a_fork, args=(session, fashion, pictures, queue))
    process.start()
    assert "fork" in queue.get(timeout=60)
    assert_array_equal(queue.get(timeout=60), scores)
    process.join()


def test_objects_pickle_by_path_and_digest(tmp_path, pictures):
    for name in ("demo.backbone", "fashion.patch", "sign-digits.patch"):
        shutil.copy(DEMO / name, tmp_path)
    backbone = graft.Backbone.open(tmp_path / "demo.backbone")
    patch, session = graft.Patch.open(tmp_path / "fashion.patch", backbone), graft.Session(backbone, threads=2)
    scores = session.run(patch, pictures)
    pickled = pickle.dumps((backbone, patch, session, backbone.identity()))
    assert len(pickled) < 2000
    b, p, s, own = pickle.loads(pickled)
    assert (b.digest, p.digest, own.digest, s.threads) == (backbone.digest, patch.digest, backbone.digest, 2)
    assert p.backbone is b and s.backbone is b and own.backbone is b
    assert_array_equal(s.run(p, pictures), scores)
    of_bytes = graft.Patch.from_bytes((tmp_path / "fashion.patch").read_bytes(), backbone)
    assert of_bytes.path is None and of_bytes.digest == patch.digest
    assert_array_equal(session.run(pickle.loads(pickle.dumps(of_bytes)), pictures), scores)
    (tmp_path / "sign-digits.patch").replace(tmp_path / "fashion.patch")
    with pytest.raises(graft.MismatchError, match="another file"):
        pickle.loads(pickle.dumps(patch))
    (tmp_path / "fashion.patch").unlink()
    with pytest.raises(graft.FileError):
        pickle.loads(pickle.dumps(patch))
    shutil.copy(DEMO / "int8/demo.backbone", tmp_path / "new")
    (tmp_path / "new").replace(tmp_path / "demo.backbone")
    with pytest.raises(graft.MismatchError, match="another file"):
        pickle.loads(pickle.dumps(session))


LONG_RUN = """
import signal, numpy, sys, threading, time, os, graft
backbone = graft.Backbone.open(sys.argv[1])
own, pictures = backbone.identity(), numpy.zeros((200_000, 48, 48, 3), numpy.uint8)
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.time()
try:
    graft.Session(backbone, threads=2).run(own, pictures)
except KeyboardInterrupt:
    print("stopped after", time.time() - start)
"""


def test_ctrl_c_ends_a_long_run():
    command = [sys.executable, "-c", LONG_RUN, DEMO / "demo.backbone"]
    output = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert output.stdout.startswith("stopped after"), output.stderr


def test_whatever_lies_otherwise_in_memory_is_the_same(backbone, fashion, pictures):
    session = graft.Session(backbone)
    values = ((pictures - numpy.float32(127)) / numpy.float32(64)).astype(numpy.float32)
    expected = session.run(fashion, values)
    shifted = numpy.frombuffer(b"x" + values.tobytes(), numpy.uint8)[1:].view(numpy.float32).reshape(values.shape)
    assert not shifted.flags.aligned
    for same in (shifted, values.astype(">f4"), numpy.asfortranarray(values), values[:, ::-1].copy()[:, ::-1], values[None].repeat(2, 0)[1]):
        assert_array_equal(session.run(fashion, same), expected)
    assert_array_equal(fashion.probabilities(expected.astype(">f4")), fashion.probabilities(expected))


def test_an_empty_batch_is_checked_too(backbone, fashion, pictures):
    other = graft.Backbone.open(DEMO / "int8/demo.backbone")
    assert graft.Session(backbone).run(fashion, pictures[:0]).shape == (0, 10)
    with pytest.raises(graft.MismatchError):
        graft.Session(other).run(fashion, pictures[:0])
    with pytest.raises(graft.MismatchError):
        graft.Session(backbone).run_many([fashion, other.identity()], pictures[:0])


def test_patches_that_see_different_inputs(tmp_path, backbone, fashion, pictures):
    quick = {"kind": "head", "epochs": 1, "limit": 40, "resolution": 32, "validation": 0}
    graft.train(backbone, DEMO / "fashion-train.tar", tmp_path / "t.safetensors", **quick)
    small = graft.export(tmp_path / "t.safetensors", backbone, tmp_path / "t.patch")
    for patches in ([fashion, small], [small, fashion]):
        with pytest.raises(graft.InputError, match="different inputs"):
            graft.Session(backbone).run_many(patches, pictures)


def test_the_bytes_of_a_patch(backbone, fashion):
    assert fashion.to_bytes() == (DEMO / "fashion.patch").read_bytes()
    again = graft.Patch.from_bytes(fashion.to_bytes(), backbone)
    assert again.to_bytes() == fashion.to_bytes()
    with pytest.raises(graft.InputError, match="identity"):
        backbone.identity().to_bytes()
    renamed = graft._graft.relabelled(fashion.to_bytes(), [str(index) for index in range(10)])
    assert graft.Patch.from_bytes(renamed, backbone).labels == list("0123456789")
    with pytest.raises(graft.Error, match="labels"):
        graft._graft.relabelled(fashion.to_bytes(), ["a"])


def test_errors_carry_their_hint():
    error = graft.InputError("this is wrong\nhint: do that")
    assert (error.hint, pickle.loads(pickle.dumps(error)).hint, graft.Error("no advice").hint) == ("do that", "do that", None)


WITHOUT_SKLEARN = """
import sys
sys.modules["sklearn"] = None
import graft
assert "GraftClassifier" in dir(graft) and not hasattr(graft, "GraftClassifier")
try:
    graft.GraftClassifier
except AttributeError as error:
    print(error)
"""


def test_without_scikit_learn():
    done = subprocess.run([sys.executable, "-c", WITHOUT_SKLEARN], capture_output=True, text=True, timeout=60)
    assert 'pip install "graft-runtime[sklearn]"' in done.stdout, done.stderr
