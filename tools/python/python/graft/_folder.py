"""A patch as a folder of files that tools of the Hugging Face Hub understand."""

from __future__ import annotations

import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any

from . import _commands
from ._errors import Error, MismatchError
from ._graft import Patch

# The name that adapters have on the Hub. It is no claim that peft loads it: batch norms are no layers of its own.
WEIGHTS = "adapter_model.safetensors"


def save_folder(
    folder: _commands.Path, trained: _commands.Path, patch: Patch, *, base_model: str, license: str | None = None,
    datasets: Iterable[str] = (), force: bool = False,
) -> pathlib.Path:
    """Writes a folder that can be uploaded to the Hugging Face Hub as it is; its path.

    trained: what `train` wrote: it becomes `adapter_model.safetensors`, from which `export` makes the patch again.
    patch: what `export` made of it: it becomes NAME.patch.
    base_model: the Hub's name of the network that the backbone was made of, such as "timm/mobilenetv2_100.ra_in1k".
    license, datasets: by the Hub's names, for the model card.

    The model card, README.md, has `base_model_relation: adapter`, the classes, the input, what was measured, and how to run it.
    Raises FileError, MismatchError where the two are of different tasks, Error where the folder exists, unless `force` is to
    replace it and this function wrote it.
    """
    folder = pathlib.Path(folder)
    if folder.exists() and not force:
        raise Error(f"{folder} exists\nhint: give force=True to replace it")
    if folder.exists() and not (folder / WEIGHTS).exists():
        raise Error(f"{folder} is no folder that save_folder wrote, and is not replaced\nhint: give another path")
    facts = _commands._run("inspect", [trained])
    if facts["kind"] != "trained" or patch.path is None:
        raise MismatchError("expected a file that train wrote, and a patch that export made of it")
    found = (facts["backbone"], facts["kinds"], facts["labels"])
    if found != (patch.backbone.id, patch.kinds, patch.classes):
        raise MismatchError(f"{patch.path} was not made of {trained}\nhint: export it again")
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent) as temporary:
        made = pathlib.Path(temporary, "folder")
        made.mkdir()
        shutil.copyfile(trained, made / WEIGHTS)
        shutil.copyfile(patch.path, made / f"{facts['name']}.patch")
        card = _card(facts, patch, base_model, license, list(datasets))
        (made / "README.md").write_text(card, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    return folder


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
    measured = f"{metrics['validation_accuracy']:.1%} of {data['validation_images']} validation images, which chose the epoch"
    if data["test_images"]:
        measured = f"{metrics['test_accuracy']:.1%} of {data['test_images']} test images"
    height, width, channels = patch.input_shape
    return "\n".join([
        "---", *fields, "---", "", f"# {name}", "",
        f"A Graft patch of {base_model}: {metrics['trainable_params']:,} trained values ({facts['kinds']}) on a backbone that stays",
        f"as it is. Right for {measured}.", "",
        f"- Classes: {', '.join(patch.labels)}",
        f"- Input: {height} x {width} x {channels}, mean {patch.mean}, standard deviation {patch.std} (0 to 255)",
        f"- Backbone: {backbone.name}, id `{backbone.id}`, which `graft.Backbone.open(...).id` must be",
        f"- Trained with {training['tool']}, seed {training['seed']}, on {data['images']} images (digest `{data['digest']}`)", "",
        "```python", "import graft", "",
        f'backbone = graft.Backbone.open("{backbone.name}.backbone")',
        f'patch = graft.Patch.open("{name}.patch", backbone)',
        'scores = graft.Session(backbone).run(patch, patch.preprocess("picture.jpg"))',
        "print(patch.labels[scores.argmax()])", "```", "",
        f"`{WEIGHTS}` has the same values before they were compiled; `patchtool export` makes patches of it. It is not in the",
        "format of peft.", "",
    ])  # fmt: skip
