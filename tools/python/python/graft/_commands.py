"""The commands of patchtool as functions. Data sets are folders, tar or zip archives laid out `class/image.(jpg|png)`.

Every option of a command that is not named here is a keyword, too, with underscores: `train(..., batch_norm="batch")` is
`patchtool train --batch-norm batch`. `patchtool COMMAND --help` lists them.
"""

import json
import os

from ._graft import Backbone, Patch, command


def _text(value):
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float):
        return repr(value)
    return str(value)


def _options(options):
    """Keywords as options: True is a flag, None and False are left out, lists are given several times."""
    for name, value in options.items():
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


def _run(name, positional=(), /, *, progress=None, **options):
    """The report of a command: what its `--json` prints."""
    arguments = [name, *_options(options), "--", *map(_text, positional)]
    listener = None if progress is None else lambda event: progress(json.loads(event))
    return json.loads(command(arguments, listener))


def _backbone(backbone):
    return backbone if isinstance(backbone, Backbone) else Backbone.open(backbone)


def import_onnx(model, output, *, mean, std, resolution=None, resize=None, labels=None, name=None, force=False, **options):
    """Makes a backbone of an ONNX model, writes it to the path `output`, and opens it.

    model: path of a float32 or QDQ ONNX model, N x 3 x H x W.
    mean, std: of the pixels it was trained with, on the scale 0 to 255: a number, or one for each channel.
    resolution: side of the input in pixels, or (height, width): the largest that patches may use.
    resize: how photographs come to that size: "stretch" or "crop:0.875", with ":bicubic" or ":bilinear" behind it.
    labels: path of the class names, one a line.

    Raises Error for a network that cannot be served, FileError.
    """
    numbers = [",".join(map(repr, map(float, value))) if hasattr(value, "__len__") else float(value) for value in (mean, std)]
    _run(
        "import", [model], output=output, mean=numbers[0], std=numbers[1], resolution=resolution, resize=resize, labels=labels,
        name=name, force=force, **options,
    )
    return Backbone.open(output)


def quantize(backbone, calibrate, output, *, force=False, progress=None, **options):
    """Makes an int8 backbone of an f32 one, writes it to the path `output`, and opens it.

    calibrate: data set with images like those that the device will see; at most 200 of them are used.
    progress: called with a dict as the work goes on: {"event": "images", "done": 10, "all": 400}.
    """
    _run("quantize", [backbone], calibrate=calibrate, output=output, force=force, progress=progress, **options)
    return Backbone.open(output)


def train(
    backbone, data, output, *, kind="bn+head", validation=None, test=None, epochs=20, lr=None, batch=32, resolution=None,
    augment=None, seed=1, threads=0, resume=False, force=False, progress=None, **options,
):
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


def export(trained, backbone, output, *, calibrate=None, onnx=None, resolution=None, f16=False, force=False, progress=None, **options):
    """Makes the patch of trained values, writes it to the path `output`, and opens it.

    calibrate: data set with images of the task, for an int8 backbone.
    onnx: also write the task as an ONNX model to this path.
    """
    _run(
        "export", [trained], backbone=backbone, output=output, calibrate=calibrate, onnx=onnx, resolution=resolution, f16=f16,
        force=force, progress=progress, **options,
    )
    return Patch.open(output, _backbone(backbone))


def evaluate(backbone, patch, data, *, threads=0, progress=None, **options):
    """Accuracy of a patch, or with None of the backbone's own head, on a data set: the report of `patchtool eval` as a dict,
    with "accuracy" (0 to 1), "count", "per_class" and "confusion"."""
    if patch is not None and getattr(patch, "path", patch) is None:
        patch = None
    return _run("eval", backbone=backbone, patch=patch, data=data, threads=threads, progress=progress, **options)


def generate(backbone, support, output, *, method="gd++", hyper=None, keep_sums=False, force=False, **options):
    """Makes a patch of a few labelled images without training, writes it to the path `output`, and opens it.

    support: data set with a few images of each class.
    method: "gd++", "gd", "ridge" or "prototype" for a head on any backbone; with `hyper`, the path of a generator, "hyper".
    keep_sums: keep what `learn` and `forget` go on from.
    """
    method = "hyper" if hyper is not None else method
    _run(
        "generate", backbone=backbone, support=support, output=output, method=method, hyper=hyper, keep_sums=keep_sums,
        force=force, **options,
    )
    return Patch.open(output, _backbone(backbone))


def learn(patch, support, output, *, hyper=None, force=False, **options):
    """Goes on learning from an open patch, which has kept its sums, with more images of its classes or of new ones: writes the
    next patch to the path `output`, and opens it. The patch itself is left as it is."""
    backbone = patch.backbone
    _run("learn", backbone=backbone, patch=patch, support=support, output=output, hyper=hyper, force=force, **options)
    return Patch.open(output, backbone)


def forget(patch, output, *, classes=(), support=None, force=False, **options):
    """Takes classes, or the very images of a data set, out of an open patch that has kept its sums, as if it had never seen them:
    writes what is left to the path `output`, and opens it."""
    backbone = patch.backbone
    _run(
        "forget", backbone=backbone, patch=patch, output=output, class_=list(classes), support=support, force=force, **options,
    )
    return Patch.open(output, backbone)
