"""The commands of patchtool as functions. Data sets are folders, tar or zip archives laid out `class/image.(jpg|png)`.

Every option of a command that is not named here is a keyword, too, with underscores: `train(..., batch_norm="batch")` is
`patchtool train --batch-norm batch`. `patchtool COMMAND --help` lists them.
"""

from __future__ import annotations

import contextlib
import json
import numbers
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

from ._errors import Error, InputError, MismatchError
from ._graft import Backbone, Patch, command

Path = str | os.PathLike[str]
Numbers = float | Iterable[float]
Progress = Callable[[dict[str, Any]], object]

# Options of which patchtool takes no value.
FLAGS = ("drop-sums", "f16", "force", "keep-sums", "resume")


def _text(value):
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if value == "-":
        raise InputError("found '-', which is stdin or stdout of the program patchtool alone\nhint: give a path, as './-'")
    if isinstance(value, float):
        return repr(value)
    return str(value)


def _options(options):
    """Keywords as options: True is a flag, None and False are left out, lists are given several times."""
    for name, value in options.items():
        if name.rstrip("_") in ("help", "version"):
            raise InputError(f"no option {name}\nhint: help() of this function, and graft.__version__, say it")
        option = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if name == "resolution" and isinstance(value, (tuple, list)):
            value = "x".join(map(str, value))
        if value is True:
            yield option
        elif isinstance(value, (tuple, list)):
            yield from (f"{option}={_text(each)}" for each in value)
        else:
            yield f"{option}={_text(value)}"


def _numbers(value: Numbers) -> str:
    values = [value] if isinstance(value, numbers.Real) else value
    return ",".join(repr(float(each)) for each in values)


def _list(value):
    """Several texts; one alone is a list of one."""
    return [value] if isinstance(value, (str, os.PathLike)) else list(value)


@contextlib.contextmanager
def _file(given):
    """What a command gets for an argument: for an open object its file, which must be the one that was opened, for a patch of
    bytes a file for as long."""
    if isinstance(given, Backbone):
        _check_open(given)
        Backbone._reopen(given.path, given.digest)
    elif isinstance(given, Patch):
        _check_open(given.backbone)
        if given.path is None:
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, "bytes.patch")
                path.write_bytes(given.to_bytes())
                yield path
            return
        Patch._reopen(given.path, given.digest, given.backbone)
    yield given


def _check_open(backbone):
    """Raises ClosedError."""
    return backbone.id


def _run(name, positional=(), /, *, progress=None, **options):
    """The report of a command: what its `--json` prints."""
    listener = None if progress is None else lambda event: progress(json.loads(event))
    with contextlib.ExitStack() as files:
        positional = [files.enter_context(_file(each)) for each in positional]
        options = {key: files.enter_context(_file(value)) for key, value in options.items()}
        arguments = [name, *_options(options), "--", *map(_text, positional)]
        try:
            return json.loads(command(arguments, listener))
        except Error as error:
            _say_keywords(error)
            raise


def _say_keywords(error):
    """Has the advice of an error name keywords in place of options, where it is not to run patchtool."""

    def keyword(option):
        name, value = option.groups()
        value = value or ("True" if name in FLAGS else "")
        return f"{name.replace('-', '_')}={value}"

    if error.hint and "patchtool" not in error.hint:
        hint = re.sub(r"--([a-z][a-z0-9-]*)(?: (gd\+\+|[0-9][0-9.]*))?", keyword, error.hint)
        error.args = (error.args[0].replace(f"hint: {error.hint}", f"hint: {hint}"),)
        error.hint = hint


def _backbone(backbone):
    return backbone if isinstance(backbone, Backbone) else Backbone.open(backbone)


def import_onnx(
    model: Path, output: Path, *, mean: Numbers, std: Numbers, resolution: int | tuple[int, int] | None = None,
    resize: str | None = None, labels: Path | None = None, name: str | None = None, force: bool = False, **options: Any,
) -> Backbone:
    """Makes a backbone of an ONNX model, writes it to the path `output`, and opens it.

    model: path of a float32 or QDQ ONNX model, N x 3 x H x W.
    mean, std: of the pixels it was trained with, on the scale 0 to 255: a number, or one for each channel.
    resolution: side of the input in pixels, or (height, width): the largest that patches may use.
    resize: how photographs come to that size: "stretch" or "crop:0.875", with ":bicubic" or ":bilinear" behind it.
    labels: path of the class names, one a line.

    Raises Error for a network that cannot be served, FileError.
    """
    _run(
        "import", [model], output=output, mean=_numbers(mean), std=_numbers(std), resolution=resolution, resize=resize, labels=labels,
        name=name, force=force, **options,
    )
    return Backbone.open(output)


def quantize(
    backbone: Path | Backbone, calibrate: Path, output: Path, *, force: bool = False, progress: Progress | None = None,
    **options: Any,
) -> Backbone:
    """Makes an int8 backbone of an f32 one, writes it to the path `output`, and opens it.

    calibrate: data set with images like those that the device will see; at most 200 of them are used.
    progress: called with a dict as the work goes on: {"event": "images", "done": 10, "all": 400}.
    """
    _run("quantize", [backbone], calibrate=calibrate, output=output, force=force, progress=progress, **options)
    return Backbone.open(output)


def train(
    backbone: Path | Backbone, data: Path, output: Path, *, kind: str = "bn+head", validation: float | Path | None = None,
    test: Path | None = None, epochs: int = 20, lr: float | None = None, batch: int = 32,
    resolution: int | tuple[int, int] | None = None, augment: str | None = None, seed: int = 1, threads: int = 0,
    resume: bool = False, force: bool = False, progress: Progress | None = None, **options: Any,
) -> dict[str, Any]:
    """Trains a patch on a data set, and writes its values to the path `output` (safetensors): `export` makes the patch.

    kind: "head", "bn+head", "dw+head" or "bn+dw+head".
    validation: share of every class that chooses the best epoch (0.1), or a data set; 0 keeps the last epoch.
    test: data set to test the chosen epoch on, once.
    augment: "default", "none", or some of "crop,flip,color".
    progress: called in this thread with a dict after each step, {"event": "step", "epoch": 1, "epochs": 20, "done": 32,
        "all": 900, "loss": ..., "accuracy": ...}, and each epoch, {"event": "epoch", ..., "validation_accuracy": ...,
        "is_best": True}. What it raises stops the training.
    resume: go on where a run with the same arguments was stopped, to the same result.

    Returns the report as a dict: "best" has the epoch, "validation_accuracy" and "test_accuracy" (0 to 1). Ctrl-C stops it and
    leaves a checkpoint. Raises InputError, FileError, Error.
    """
    return _run(
        "train", backbone=backbone, data=data, output=output, kind=kind, validation=validation, test=test, epochs=epochs, lr=lr,
        batch=batch, resolution=resolution, augment=augment, seed=seed, threads=threads, resume=resume, force=force,
        progress=progress, **options,
    )


def export(
    trained: Path, backbone: Path | Backbone, output: Path, *, calibrate: Path | None = None, onnx: Path | None = None,
    resolution: int | tuple[int, int] | None = None, f16: bool = False, force: bool = False, progress: Progress | None = None,
    **options: Any,
) -> Patch:
    """Makes the patch of trained values, writes it to the path `output`, and opens it.

    calibrate: data set with images of the task, for an int8 backbone.
    onnx: also write the task as an ONNX model to this path.
    """
    _run(
        "export", [trained], backbone=backbone, output=output, calibrate=calibrate, onnx=onnx, resolution=resolution, f16=f16,
        force=force, progress=progress, **options,
    )
    return Patch.open(output, _backbone(backbone))


def evaluate(
    backbone: Path | Backbone, patch: Path | Patch | None, data: Path, *, threads: int = 0, progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Accuracy of a patch, or with None of the backbone's own head, on a data set: the report of `patchtool eval` as a dict,
    with "accuracy" (0 to 1), "count", "per_class" and "confusion". Raises MismatchError for a patch of another backbone."""
    if isinstance(patch, Patch) and patch.digest == patch.backbone.digest:
        found, expected = patch.digest, _backbone(backbone).digest
        if found != expected:
            raise MismatchError(
                f"the patch is the own head of the backbone {found}, expected {expected}\n"
                "hint: give None for the backbone's own head"
            )
        patch = None
    return _run("eval", backbone=backbone, patch=patch, data=data, threads=threads, progress=progress, **options)


def generate(
    backbone: Path | Backbone, support: Path, output: Path, *, method: str = "gd++", hyper: Path | None = None,
    keep_sums: bool = False, force: bool = False, progress: Progress | None = None, **options: Any,
) -> Patch:
    """Makes a patch of a few labelled images without training, writes it to the path `output`, and opens it.

    support: data set with a few images of each class.
    method: "gd++", "gd", "ridge" or "prototype" for a head on any backbone; with `hyper`, the path of a generator, "hyper".
    keep_sums: keep what `learn` and `forget` go on from.
    progress: as of `quantize`. What it raises, and Ctrl-C, end it, and nothing is written.
    """
    method = "hyper" if hyper is not None else method
    _run(
        "generate", backbone=backbone, support=support, output=output, method=method, hyper=hyper, keep_sums=keep_sums,
        force=force, progress=progress, **options,
    )
    return Patch.open(output, _backbone(backbone))


def learn(
    patch: Patch, support: Path, output: Path, *, hyper: Path | None = None, force: bool = False, progress: Progress | None = None,
    **options: Any,
) -> Patch:
    """Goes on learning from an open patch, which has kept its sums, with more images of its classes or of new ones: writes the
    next patch to the path `output`, and opens it. The patch itself is left as it is. `progress` is as of `generate`."""
    backbone = patch.backbone
    _run(
        "learn", backbone=backbone, patch=patch, support=support, output=output, hyper=hyper, force=force, progress=progress,
        **options,
    )
    return Patch.open(output, backbone)


def forget(
    patch: Patch, output: Path, *, classes: str | Iterable[str] = (), support: Path | None = None, force: bool = False,
    progress: Progress | None = None, **options: Any,
) -> Patch:
    """Takes classes, or the very images of a data set, out of an open patch that has kept its sums, as if it had never seen them:
    writes what is left to the path `output`, and opens it. `progress` is as of `generate`."""
    backbone = patch.backbone
    _run(
        "forget", backbone=backbone, patch=patch, output=output, class_=_list(classes), support=support, force=force,
        progress=progress, **options,
    )
    return Patch.open(output, backbone)
