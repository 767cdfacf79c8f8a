"""A patch as a folder of files that tools of the Hugging Face Hub understand."""

from __future__ import annotations

import json
import os
import pathlib
import re
import tempfile
from collections.abc import Iterable
from typing import Any

from . import _commands
from ._errors import Error, FileError, InputError, MismatchError
from ._graft import Patch

# The name that adapters have on the Hub. It is no claim that peft loads it: batch norms are no layers of its own.
WEIGHTS = "adapter_model.safetensors"
CARD = "README.md"


def save_folder(
    folder: _commands.Path, trained: _commands.Path, patch: Patch, *, base_model: str, license: str | None = None,
    datasets: str | Iterable[str] = (), force: bool = False,
) -> pathlib.Path:
    """Writes a folder that can be uploaded to the Hugging Face Hub as it is; its path.

    trained: what `train` wrote: it becomes `adapter_model.safetensors`, from which `export` makes the patch again.
    patch: what `export` made of it for the same f32 backbone: it becomes NAME.patch.
    base_model: the Hub's name of the network that the backbone was made of, such as "timm/mobilenetv2_100.ra_in1k".
    license, datasets: by the Hub's names, for the model card.
    force: write into a folder that has files, if its README.md says `library_name: "graft"`: the three files are replaced,
        others are left as they are.

    The model card, README.md, has `base_model_relation: adapter`, the classes, the input, what was measured, and how to run it.
    Raises FileError, MismatchError where the two are not of one training, InputError for a name that is none of a file, Error
    where the folder has files already.
    """
    folder = pathlib.Path(folder)
    _check_folder(folder, force)
    facts = _commands._run("inspect", [trained])
    _check_patch(facts, trained, patch)
    name = facts["name"]
    if not name or not name.isprintable() or set(name) & set("/\\:") or name.startswith("."):
        raise InputError(f"the name {name!r} of {trained} is none of a file\nhint: train with another name=")
    card = _card(facts, patch, base_model, license, _commands._list(datasets))
    contents = {WEIGHTS: pathlib.Path(trained).read_bytes(), f"{name}.patch": patch.to_bytes(), CARD: card.encode()}
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".graft-", dir=folder) as temporary:
        for file, content in contents.items():
            pathlib.Path(temporary, file).write_bytes(content)
        for file in contents:
            os.replace(pathlib.Path(temporary, file), folder / file)
    return folder


def _check_folder(folder: pathlib.Path, force: bool) -> None:
    """Whether it is new or empty, or with `force` one that `save_folder` has written."""
    if not folder.absolute().parent.is_dir():
        raise FileError(f"there is no folder {folder.absolute().parent}\nhint: make it first")
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise Error(f"{folder} exists, and is no folder\nhint: give another path")
    if not any(folder.iterdir()):
        return
    if not force:
        raise Error(f"{folder} exists, and has files in it\nhint: give force=True to replace those of a patch")
    card = folder / CARD
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if not front or not re.search(r'^library_name: *"?graft"?$', front[1], re.MULTILINE):
        raise Error(f"{folder} is no folder that save_folder wrote, and is not replaced\nhint: give another path")


def _check_patch(facts: dict[str, Any], trained: _commands.Path, patch: Patch) -> None:
    """Whether the patch may have been made of trained values, of which these are the facts."""
    if facts["kind"] != "trained" or patch.digest == patch.backbone.digest:
        raise MismatchError("expected a file that train wrote, and a patch that export made of it")
    if patch.backbone.dtype == "int8":
        raise MismatchError(
            "the patch is one of an int8 backbone, whose values are not those that were trained\n"
            "hint: give the patch that export makes for the f32 backbone; int8 patches are made of the folder's values, too"
        )
    own, training = _commands._run("inspect", [patch])["training"] or {}, facts["training"]
    data, metrics = training["data"], training["metrics"]
    found = [patch.backbone.id, patch.kinds, patch.classes, *map(own.get, ("seed", "data", "images", "best_epoch"))]
    expected = [facts["backbone"], facts["kinds"], facts["labels"], training["seed"], data["digest"], data["images"], metrics["best_epoch"]]
    if found != expected:
        raise MismatchError(f"the patch was not made of {trained}\nhint: export it again")


def _card(facts: dict[str, Any], patch: Patch, base_model: str, license: str | None, datasets: list[str]) -> str:
    """README.md: what machines read between the lines ---, then what people do."""
    front = {
        "base_model": base_model,
        "base_model_relation": "adapter",
        "library_name": "graft",
        "pipeline_tag": "image-classification",
        "tags": ["graft", facts["kinds"]],
        "license": license,
        "datasets": datasets,
    }
    # JSON is YAML.
    fields = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items() if value]
    name, training, backbone = facts["name"], facts["training"], patch.backbone
    metrics, data = training["metrics"], training["data"]
    measured = "How often it is right was not measured."
    if data["test_images"]:
        measured = f"Right for {metrics['test_accuracy']:.1%} of {data['test_images']} test images."
    elif data["validation_images"]:
        right, count = metrics["validation_accuracy"], data["validation_images"]
        measured = f"Right for {right:.1%} of {count} validation images, which chose the epoch."
    labels = [" ".join(label.split()) for label in patch.labels]
    height, width, channels = patch.input_shape
    return "\n".join([
        "---", *fields, "---", "", f"# {name}", "",
        f"A Graft patch of {base_model}: {metrics['trainable_params']:,} trained values ({facts['kinds']}) on a backbone that stays",
        f"as it is. {measured}", "",
        f"- Classes: {', '.join(labels)}",
        f"- Input: {height} x {width} x {channels}, mean {patch.mean}, standard deviation {patch.std} (0 to 255)",
        f"- Backbone: {backbone.name}, id `{backbone.id}`, which `graft.Backbone.open(...).id` must be",
        f"- Trained with {training['tool']}, seed {training['seed']}, on {data['images']} images (digest `{data['digest']}`)", "",
        "```python", "import graft", "",
        f"backbone = graft.Backbone.open({json.dumps(backbone.name + '.backbone')})",
        f"patch = graft.Patch.open({json.dumps(name + '.patch')}, backbone)",
        'scores = graft.Session(backbone).run(patch, patch.preprocess("picture.jpg"))',
        "print(patch.labels[scores.argmax()])", "```", "",
        f"`{WEIGHTS}` has the same values before they were compiled; `patchtool export` makes patches of it. It is not in the",
        "format of peft.", "",
    ])  # fmt: skip
