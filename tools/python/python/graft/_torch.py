"""Networks of PyTorch as backbones."""

from __future__ import annotations

import copy
import importlib.util
import math
import pathlib
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy

from . import _commands
from ._errors import Error, InputError, MismatchError
from ._graft import Backbone, Session

if TYPE_CHECKING:
    import torch

# Largest difference of a score from PyTorch's, as a share of the largest score.
TOLERANCE = 1e-4
FILTERS = ("bicubic", "bilinear")


def from_torch(
    model: torch.nn.Module, output: _commands.Path, *, weights: Any = None, mean: _commands.Numbers | None = None,
    std: _commands.Numbers | None = None, resolution: int | tuple[int, int] | None = None, resize: str | None = None,
    labels: _commands.Path | Sequence[str] | None = None, name: str | None = None, exporter: str | None = None,
    force: bool = False, **options: Any,
) -> Backbone:
    """Makes a backbone of a PyTorch network, writes it to the path `output`, and opens it.

    model: a torch.nn.Module that takes N x 3 x H x W. It is exported in evaluation mode, as float32, and stays as it is.
    weights: of a torchvision model, as MobileNet_V2_Weights.DEFAULT: their transforms and class names are taken. A timm model
        says its own in `pretrained_cfg`.
    mean, std: on the scale 0 to 255, a number or a list with one for each channel (1 or 3); resolution, resize, labels (a path,
        or a list of names): as in `import_onnx`, where the model does not say, or to say otherwise.
    exporter: "dynamo" (torch.export) or "torchscript"; by default the former where onnxscript is installed.

    The backbone is run on random input beside the model, and refused with MismatchError if a score differs by more than 0.01 %
    of the largest; `torch_difference` measures that. Raises InputError where nothing says how pixels are normalised, Error for a
    network that cannot be served. Needs torch and onnx.
    """
    output = pathlib.Path(output)
    if output.exists() and not force:
        raise Error(f"{output} exists\nhint: give force=True to overwrite it")
    given = {"mean": mean, "std": std, "resolution": resolution, "resize": resize, "labels": labels}
    said = {**_said_by(model, weights), **{key: value for key, value in given.items() if value is not None}}
    for key in ("mean", "std", "resolution"):
        if key not in said:
            raise InputError(f"nothing says the {key} of the model's input\nhint: give {key}, or the weights of torchvision")
    model = copy.deepcopy(model).cpu().float().eval()
    with tempfile.TemporaryDirectory(dir=output.parent) as temporary:
        folder = pathlib.Path(temporary)
        onnx, made = folder / "model.onnx", folder / output.name
        channels = len(said["mean"]) if hasattr(said["mean"], "__len__") else 3
        _export(model, _size(said["resolution"]), channels, onnx, exporter)
        if isinstance(said.get("labels"), (list, tuple)):
            names, path = said["labels"], folder / "labels.tsv"
            path.write_text("".join(f"{index}\t{label}\n" for index, label in enumerate(names)), encoding="utf-8")
            said["labels"] = path
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
        expected = model(torch.from_numpy(numpy.ascontiguousarray(values.transpose(0, 3, 1, 2)))).numpy()
    scores = Session(backbone).run(own, values)
    if scores.shape != expected.shape:
        raise MismatchError(f"scores have the shape {scores.shape}, PyTorch's {expected.shape}")
    return float(numpy.abs(scores - expected).max() / numpy.abs(expected).max())


def _said_by(model, weights):
    """What a timm model, or the weights of a torchvision one, say of the input and the classes."""
    if weights is not None:
        transforms = weights.transforms()
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


def _export(model, size, channels, path, exporter):
    import torch

    if exporter is None:
        exporter = "dynamo" if importlib.util.find_spec("onnxscript") else "torchscript"
    example = (torch.zeros(1, channels, *size),)
    if exporter == "dynamo":
        # Batch norms stay what they are, to be trained: nothing is folded.
        program = torch.onnx.export(model, example, dynamo=True, optimize=False, verbose=False)
        program.save(str(path))
    elif exporter == "torchscript":
        torch.onnx.export(
            model, example, str(path), dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False
        )
    else:
        raise InputError(f"found the exporter {exporter!r}, expected 'dynamo' or 'torchscript'")
