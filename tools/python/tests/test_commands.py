"""Training, exports and heads that learn: the library behind the commands, with progress, Ctrl-C and exceptions."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time

import numpy
import pytest

import graft
from conftest import DEMO

PATCHTOOL = pathlib.Path(sys.executable).with_name("patchtool")
QUICK = {"epochs": 2, "limit": 200, "augment": "none", "resolution": 32}


def test_a_trained_patch_is_that_of_patchtool(tmp_path, backbone):
    events = []
    report = graft.train(
        backbone, DEMO / "fashion-train.tar", tmp_path / "t.safetensors", test=DEMO / "fashion-test.tar", progress=events.append, **QUICK
    )
    assert report["best"]["test_accuracy"] > 0.5
    patch = graft.export(tmp_path / "t.safetensors", backbone, tmp_path / "t.patch")
    assert patch.input_shape == (32, 32, 3) and patch.kinds == "bn+head"

    options = [f"--{name}={value}" for name, value in QUICK.items()]
    command = [PATCHTOOL, "train", "-b", backbone.path, "--data", DEMO / "fashion-train.tar", "--test", DEMO / "fashion-test.tar"]
    subprocess.check_call([*command, *options, "--name=t", "-q", "-o", tmp_path / "program.safetensors"], stdout=subprocess.DEVNULL)
    subprocess.check_output([PATCHTOOL, "export", tmp_path / "program.safetensors", "-b", backbone.path, "-o", tmp_path / "program.patch"])
    same = graft.Patch.open(tmp_path / "program.patch", backbone)
    assert same.digest == patch.digest

    epochs = [event for event in events if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [1, 2] and all(event["validation_accuracy"] > 0.2 for event in epochs)
    steps = [event for event in events if event["event"] == "step"]
    assert steps[-1]["done"] == steps[-1]["all"] and steps[-1]["loss"] < steps[0]["loss"]
    assert any(event["event"] == "images" for event in events)

    own = graft.evaluate(backbone, patch, DEMO / "fashion-test.tar", progress=events.append)
    assert own["accuracy"] == pytest.approx(report["best"]["test_accuracy"], abs=1e-6)
    assert events[-1] == {"event": "images", "done": own["count"], "all": own["count"]}


def test_what_a_listener_raises_stops_a_training_that_goes_on_to_the_same_patch(tmp_path, backbone):
    data, path = DEMO / "fashion-train.tar", tmp_path / "stopped.safetensors"
    whole = graft.train(backbone, data, tmp_path / "whole.safetensors", name="x", **QUICK)

    class Enough(Exception):
        pass

    def listen(event):
        if event["event"] == "epoch":
            raise Enough

    with pytest.raises(Enough):
        graft.train(backbone, data, path, name="x", progress=listen, **QUICK)
    assert not path.exists()
    with pytest.raises(graft.Error, match="resume"):
        graft.train(backbone, data, path, name="x", **QUICK)
    resumed = graft.train(backbone, data, path, name="x", resume=True, **QUICK)
    assert resumed["best"] == whole["best"]
    patches = [graft.export(tmp_path / f"{name}.safetensors", backbone, tmp_path / f"{name}.patch") for name in ("whole", "stopped")]
    assert patches[0].digest == patches[1].digest


def test_ctrl_c_stops_a_training(tmp_path, backbone):
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        graft.train(backbone, DEMO / "fashion-train.tar", tmp_path / "t.safetensors", epochs=10_000)
    timer.join()


def test_heads_that_learn_and_forget(tmp_path, backbone):
    support = DEMO / "fashion-train.tar"
    patch = graft.generate(backbone, support, tmp_path / "a.patch", keep_sums=True)
    assert graft.evaluate(backbone, patch, DEMO / "fashion-test.tar")["accuracy"] > 0.4
    without = graft.forget(patch, tmp_path / "b.patch", classes=["bag", "coat"])
    assert set(patch.labels) - set(without.labels) == {"bag", "coat"}
    again = graft.learn(without, support, tmp_path / "c.patch")
    assert set(again.labels) == set(patch.labels)
    for method in ("gd", "ridge", "prototype"):
        assert graft.generate(backbone, support, tmp_path / f"{method}.patch", method=method).classes == 10


STOPPED = {
    "generate": lambda data, output, patch, **progress: graft.generate(patch.backbone, data, output, **progress),
    "prototype": lambda data, output, patch, **progress: graft.generate(patch.backbone, data, output, method="prototype", **progress),
    "learn": lambda data, output, patch, **progress: graft.learn(patch, data, output, **progress),
    "forget": lambda data, output, patch, **progress: graft.forget(patch, output, support=data, **progress),
}


@pytest.mark.parametrize("name", STOPPED)
def test_heads_that_learn_say_how_far_they_are_and_can_be_stopped(tmp_path, backbone, name):
    data, call = DEMO / "fashion-test.tar", STOPPED[name]
    patch = graft.generate(backbone, data, tmp_path / "a.patch", keep_sums=True)
    output = tmp_path / "b.patch"
    for last in (1, 100):

        def listen(event):
            assert event["event"] == "images"
            if event["done"] == last:
                raise LookupError

        with pytest.raises(LookupError):
            call(data, output, patch, progress=listen)
        assert not output.exists()
    events = []
    if name != "forget":
        call(data, output, patch, progress=events.append)
        assert events[-1] == {"event": "images", "done": events[-1]["all"], "all": events[-1]["all"]} and output.exists()


@pytest.fixture
def large(tmp_path):
    """A data set that takes long to decode."""
    picture = graft._graft.png(numpy.zeros((3000, 3000, 3), numpy.uint8))
    for name in "ab":
        (tmp_path / "large" / name).mkdir(parents=True)
        for index in range(150):
            path = tmp_path / "large" / name / f"{index}.png"
            if name == "a" and index == 0:
                path.write_bytes(picture)
            else:
                path.hardlink_to(tmp_path / "large/a/0.png")
    return tmp_path / "large"


@pytest.mark.parametrize("name", ["train", "generate", "learn"])
def test_ctrl_c_does_not_wait_for_the_last_image(tmp_path, backbone, large, name):
    patch = graft.generate(backbone, DEMO / "fashion-test.tar", tmp_path / "a.patch", keep_sums=True)
    start, times = time.monotonic(), []

    def listen(event):
        if not times:
            times.append(time.monotonic() - start)
            os.kill(os.getpid(), signal.SIGINT)

    output = tmp_path / "output"
    with pytest.raises(KeyboardInterrupt):
        if name == "train":
            graft.train(backbone, large, output, cache=tmp_path / "cache", progress=listen)
        else:
            STOPPED[name](large, output, patch, progress=listen)
    (first,) = times
    waited = time.monotonic() - start - first
    print(f"{name}: the first images after {first:.2f} s, stopped {waited:.2f} s after Ctrl-C")
    # The first of nine batches is done: it stops after the next one.
    assert waited < 2 * first + 1
    assert not output.exists() and not list(tmp_path.glob("cache/*"))


def test_commands_take_what_is_open(tmp_path, backbone):
    """Not what else has come under the path, nor another head."""
    own = tmp_path / "own"
    with tarfile.open(DEMO / "fashion-test.tar") as archive:
        archive.extractall(tmp_path / "data", filter="data")
    folders = sorted(path for path in (tmp_path / "data").rglob("*") if path.is_dir() and any(path.glob("*.png")))
    # Its own classes, so that its own head has an accuracy as well.
    for name, folder in zip(backbone.labels, folders):
        shutil.copytree(folder, own / name)
    patch = graft.generate(backbone, own, tmp_path / "a.patch", method="ridge")
    of_bytes = graft.Patch.from_bytes(patch.to_bytes(), backbone)
    accuracy = graft.evaluate(backbone, patch, own)["accuracy"]
    assert graft.evaluate(backbone, of_bytes, own)["accuracy"] == accuracy > graft.evaluate(backbone, None, own)["accuracy"]
    assert graft.evaluate(backbone, backbone.identity(), own) == graft.evaluate(backbone, None, own)
    int8 = graft.Backbone.open(DEMO / "int8/demo.backbone")
    with pytest.raises(graft.MismatchError):
        graft.evaluate(int8, backbone.identity(), own)

    kept = graft.generate(backbone, own, tmp_path / "kept.patch", keep_sums=True)
    less = graft.forget(graft.Patch.from_bytes(kept.to_bytes(), backbone), tmp_path / "less.patch", classes=kept.labels[0])
    assert less.labels == kept.labels[1:]
    assert graft.learn(graft.Patch.from_bytes(less.to_bytes(), backbone), own, tmp_path / "more.patch").classes == kept.classes
    with pytest.raises(graft.InputError, match="no patch file"):
        graft.learn(backbone.identity(), own, tmp_path / "b.patch")

    graft.generate(backbone, own, tmp_path / "other.patch", method="prototype").path.replace(patch.path)
    less.path.replace(kept.path)
    shutil.copy(DEMO / "demo.backbone", tmp_path / "b.backbone")
    replaced = graft.Backbone.open(tmp_path / "b.backbone")
    shutil.copy(int8.path, tmp_path / "int8.backbone")
    (tmp_path / "int8.backbone").replace(replaced.path)
    for call in (
        lambda: graft.evaluate(backbone, patch, own),
        lambda: graft.forget(kept, tmp_path / "c.patch", classes=kept.labels[1]),
        lambda: graft.generate(replaced, own, tmp_path / "c.patch"),
        lambda: graft.train(replaced, own, tmp_path / "c.safetensors"),
    ):
        with pytest.raises(graft.MismatchError, match="another file"):
            call()
    replaced.close()
    with pytest.raises(graft.ClosedError):
        graft.generate(replaced, own, tmp_path / "c.patch")
    assert not list(tmp_path.glob("c.*"))


def test_quantize(tmp_path, backbone, pictures):
    int8 = graft.quantize(backbone, DEMO / "fashion-train.tar", tmp_path / "int8.backbone", calibration_images=20)
    assert (int8.dtype, int8.name) == ("int8", backbone.name)
    own, twin = backbone.identity(), int8.identity()
    scores = graft.Session(backbone).run(own, pictures)
    assert numpy.abs(graft.Session(int8).run(twin, pictures) - scores).max() < numpy.abs(scores).max()
    graft.train(backbone, DEMO / "fashion-train.tar", tmp_path / "t.safetensors", kind="head", epochs=2, limit=200)
    patch = graft.export(tmp_path / "t.safetensors", int8, tmp_path / "t.patch", calibrate=DEMO / "fashion-train.tar")
    assert graft.evaluate(int8, patch, DEMO / "fashion-test.tar")["accuracy"] > 0.5


def test_errors_of_commands(tmp_path, backbone):
    data, output = DEMO / "fashion-train.tar", tmp_path / "t.safetensors"
    for options in ({"kind": "bn"}, {"epochs": 0}, {"no_such_option": 1}, {"resolution": (0, 5)}, {"augment": "rain"}):
        with pytest.raises(graft.InputError):
            graft.train(backbone, data, output, **options)
    with pytest.raises(graft.Error) as error:
        graft.train(backbone, tmp_path / "nothing", output)
    assert error.value.hint
    with pytest.raises(graft.Error, match="input"):
        graft.train(backbone, data, output, resolution=4000)
    output.write_text("something")
    with pytest.raises(graft.Error, match="force=True") as error:
        graft.train(backbone, data, output)
    assert "--" not in error.value.hint and error.value.hint in str(error.value)
    for name in ("help", "version", "help_"):
        with pytest.raises(graft.InputError, match="no option"):
            graft.train(backbone, data, tmp_path / "b", **{name: True})
    for call in (lambda: graft.generate(backbone, data, "-"), lambda: graft.generate(backbone, pathlib.Path("-"), tmp_path / "b")):
        with pytest.raises(graft.InputError, match="stdout"):
            call()
    assert not pathlib.Path("-").exists()
    assert output.read_text() == "something"
    with pytest.raises(graft.MismatchError):
        graft.evaluate(DEMO / "int8/demo.backbone", DEMO / "fashion.patch", DEMO / "fashion-test.tar")
    with pytest.raises(graft.Error, match="sums"):
        graft.forget(graft.Patch.open(DEMO / "fashion.patch", backbone), tmp_path / "p.patch", classes=["bag"])


def test_the_program_is_in_the_wheel(tmp_path):
    def run(*arguments):
        return subprocess.run([PATCHTOOL, *arguments], capture_output=True, text=True, timeout=60)

    inspected = run("inspect", "--json", DEMO / "fashion.patch")
    assert inspected.returncode == 0 and json.loads(inspected.stdout)["kind"] == "patch"
    assert run("diff", DEMO / "fashion.patch", DEMO / "sign-digits.patch").returncode == 1
    wrong = run("inspect", tmp_path / "nothing")
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: ") and "hint: " in wrong.stderr
    assert run("trian").returncode == 2
    assert run("--version").stdout == f"patchtool {graft.__version__}\n"
