"""Networks of PyTorch as backbones."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import math
import numbers
import os
import pathlib
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy

from . import _commands
from ._errors import Error, FileError, InputError, MismatchError
from ._graft import Backbone, Session

if TYPE_CHECKING:
    import torch

# Largest difference of a score from PyTorch's, as a share of the largest score.
TOLERANCE = 1e-4
FILTERS = ("bicubic", "bilinear")


def from_torch(
    model: torch.nn.Module, output: _commands.Path, *, weights: Any = None, mean: _commands.Numbers | None = None,
    std: _commands.Numbers | None = None, resolution: int | tuple[int, int] | None = None, resize: str | None = None,
    labels: _commands.Path | Iterable[str] | None = None, name: str | None = None, exporter: str | None = None,
    force: bool = False, **options: Any,
) -> Backbone:
    """Makes a backbone of a PyTorch network, writes it to the path `output`, and opens it.

    model: a torch.nn.Module that takes N x 3 x H x W. It is exported in evaluation mode, as float32, and stays as it is.
    weights: of a torchvision model, as MobileNet_V2_Weights.DEFAULT or "MobileNet_V2_Weights.DEFAULT": their transforms are
        taken, and their class names where the model has as many classes. A timm model says its own in `pretrained_cfg`.
    mean, std: on the scale 0 to 255, a number or a list with one for each channel (1 or 3); resolution, resize, labels (a path,
        or names): as in `import_onnx`, where the model does not say, or to say otherwise.
    exporter: "dynamo" (torch.export) or "torchscript"; by default the former where onnxscript is installed.

    The backbone is run on random input beside the model, and refused with MismatchError if a score differs by more than 0.01 %
    of the largest; `torch_difference` measures that. Raises InputError where nothing says how pixels are normalised, FileError,
    Error for a network that cannot be exported or served. Needs torch and onnx.
    """
    output = pathlib.Path(output)
    if output.exists() and not force:
        raise Error(f"{output} exists\nhint: give force=True to overwrite it")
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise FileError(f"{output} is a folder, or would be in one that is not there\nhint: give the path of a file")
    given = {"mean": mean, "std": std, "resolution": resolution, "resize": resize, "labels": labels}
    said = {**_said_by(model, weights), **{key: value for key, value in given.items() if value is not None}}
    for key in ("mean", "std", "resolution"):
        if key not in said:
            raise InputError(f"nothing says the {key} of the model's input\nhint: give {key}, or the weights of torchvision")
    channels = _channels(model, said)
    size = _size(said["resolution"])
    with _told("the model cannot be copied", "give one without locks, files and hooks"):
        model = copy.deepcopy(model).cpu().float().eval()
    classes = _classes(model, (1, channels, *size))
    if given["labels"] is None and len(said.get("labels", ())) != classes:
        said.pop("labels", None)
    with tempfile.TemporaryDirectory(dir=output.parent) as temporary:
        folder = pathlib.Path(temporary)
        onnx, made = folder / "model.onnx", folder / output.name
        _export(model, (1, channels, *size), onnx, exporter)
        if not isinstance(said.get("labels"), (str, os.PathLike, type(None))):
            said["labels"] = _write_labels(folder / "labels.tsv", said["labels"])
        name = name or getattr(model, "pretrained_cfg", {}).get("architecture") or type(model).__name__.lower()
        with _commands.import_onnx(onnx, made, name=name, **said, **options) as backbone:
            difference = torch_difference(backbone, model)
        if not difference <= TOLERANCE:
            raise MismatchError(
                f"scores differ from PyTorch's by {difference:.2g} of the largest, expected at most {TOLERANCE}\n"
                "hint: try the other exporter, and report the model"
            )
        made.replace(output)
    return Backbone.open(output)


def torch_difference(backbone: Backbone, model: torch.nn.Module, *, images: int = 4, seed: int = 1) -> float:
    """The largest difference of a backbone's scores from those of a PyTorch model in evaluation mode, as a share of the largest
    score, on so many images of random normalised values."""
    import torch

    own = backbone.identity()
    height, width, channels = own.input_shape
    random = numpy.random.default_rng(seed)
    values = random.standard_normal((images, height, width, channels), numpy.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(numpy.ascontiguousarray(values.transpose(0, 3, 1, 2)))).cpu().numpy()
    scores = Session(backbone).run(own, values)
    if scores.shape != expected.shape:
        raise MismatchError(f"scores have the shape {scores.shape}, PyTorch's {expected.shape}")
    # Of a head of zeros nothing is the largest.
    largest = max(numpy.abs(expected).max(), numpy.finfo(numpy.float32).tiny)
    return float(numpy.abs(scores - expected).max() / largest)


def _said_by(model, weights):
    """What a timm model, or the weights of a torchvision one, say of the input and the classes."""
    if weights is not None:
        weights = _weights(weights)
        transforms = weights.transforms()
        if not hasattr(transforms, "crop_size"):
            raise InputError(f"the weights {weights} are of no classifier of pictures\nhint: give mean, std, resolution and resize")
        crop, cover = transforms.crop_size[0], transforms.resize_size[0]
        return {
            "mean": _pixels(transforms.mean),
            "std": _pixels(transforms.std),
            "resolution": crop,
            "resize": _resize(crop, cover, transforms.interpolation.value),
            "labels": list(weights.meta["categories"]),
        }
    said = getattr(model, "pretrained_cfg", None)
    if not said:
        return {}
    height, width = said["input_size"][1:]
    if said.get("crop_mode", "center") == "center":
        resize = _resize(height, math.floor(height / said["crop_pct"]), said["interpolation"])
    else:
        resize = "stretch:" + _filter(said["interpolation"])
    return {"mean": _pixels(said["mean"]), "std": _pixels(said["std"]), "resolution": (height, width), "resize": resize}


def _weights(weights):
    """Weights of torchvision, by their name where they are given so."""
    if not isinstance(weights, str):
        return weights
    with _told(f"no weights {weights!r}", "give both names, as 'MobileNet_V2_Weights.IMAGENET1K_V1'", InputError):
        import torchvision

        return torchvision.models.get_weight(weights)


def _channels(model, said):
    """Of the model's input: what its first convolution takes. The mean and the std must be for as many."""
    import torch

    for key in ("mean", "std"):
        if not isinstance(said[key], numbers.Real):
            said[key] = [float(each) for each in said[key]]
    lengths = {key: len(said[key]) for key in ("mean", "std") if isinstance(said[key], list)}
    first = next((each for each in model.modules() if isinstance(each, torch.nn.Conv2d)), None)
    channels = first.in_channels if first is not None else next(iter(lengths.values()), 3)
    for key, length in lengths.items():
        if length != channels:
            raise InputError(
                f"the {key} is of {length} channels, the model takes {channels}\nhint: give {key}: a number, or a list of {channels}"
            )
    return channels


def _classes(model, shape):
    """How many scores the model gives for an image."""
    import torch

    with _told(f"the model cannot be run on zeros of shape {list(shape)}", "give the resolution that it takes"), torch.inference_mode():
        scores = model(torch.zeros(shape))
    if not isinstance(scores, torch.Tensor):
        raise InputError(f"the model gives a {type(scores).__name__}, expected scores\nhint: wrap it in a module that gives one tensor")
    return scores.shape[-1] if scores.ndim else 1


def _write_labels(path, labels):
    labels = [str(label) for label in labels]
    wrong = next((label for label in labels if not label.isprintable()), None)
    if wrong is not None:
        raise InputError(f"the label {wrong!r} is no line of text\nhint: give labels without tabs and ends of lines")
    path.write_text("".join(f"{index}\t{label}\n" for index, label in enumerate(labels)), encoding="utf-8")
    return path


@contextlib.contextmanager
def _told(problem, hint, kind=Error):
    """What PyTorch raises, as an error of ours."""
    try:
        yield
    except Exception as cause:
        line = next(iter(str(cause).strip().splitlines()), "")
        raise kind(f"{problem}\n  caused by: {type(cause).__name__}: {line}\nhint: {hint}") from cause


def _pixels(shares):
    return [255 * float(share) for share in shares]


def _resize(crop, cover, interpolation):
    """A crop of such a side, of a picture whose shorter side was brought to `cover`."""
    return f"crop:{min(crop / cover, 1):.3f}:{_filter(interpolation)}"


def _filter(interpolation):
    if interpolation not in FILTERS:
        raise InputError(f"the model was trained with {interpolation} resizing\nhint: give resize with bicubic or bilinear")
    return interpolation


def _size(resolution):
    return tuple(resolution) if isinstance(resolution, (tuple, list)) else (resolution, resolution)


def _export(model, shape, path, exporter):
    import torch

    if exporter is None:
        exporter = "dynamo" if importlib.util.find_spec("onnxscript") else "torchscript"
    if exporter not in ("dynamo", "torchscript"):
        raise InputError(f"found the exporter {exporter!r}, expected 'dynamo' or 'torchscript'")
    example = (torch.zeros(shape),)
    with _told(f"the exporter {exporter!r} cannot export the model", "try the other exporter, and report the model"):
        if exporter == "dynamo":
            # Batch norms stay what they are, to be trained: nothing is folded.
            torch.onnx.export(model, example, dynamo=True, optimize=False, verbose=False).save(str(path))
        else:
            torch.onnx.export(
                model, example, str(path), dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False
            )
