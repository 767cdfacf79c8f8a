"""Simultaneous training: what one backbone with a patch for each of several tasks is worth, against separate networks."""

import math
import subprocess
import sys
from pathlib import Path

from tools.experiments.markdown import kilobytes, table
from tools.experiments.measured import Unmeasured
from tests.parity.common import REPOSITORY

SIDE = 32  # pixels
TASKS = {"cifar10": 12, "fashion": 12, "sign-digits": 20}  # epochs on its own: as many steps of each
TOGETHER = 12  # epochs of all tasks, each of which is one of the largest of them
LIMIT = 2_000  # images of each task, where it has as many
# Everything from random weights: one cosine of Adam, batch norm in batch mode. Hand signs must not be mirrored.
SETTINGS = ["--batch", 32, "--augment", "crop", "--limit", LIMIT, "--validation", 0.1]
WHOLE = ["--batch-norm", "batch", "--lr", 3e-3, "--weight-decay", 0.02, "--scale-lr-multiplier", 1, *SETTINGS]
SEEDS = [1]
KINDS = ["bn+head", "bn+dw+head", "head"]
FIRST = "cifar10"  # the task whose network gets patches for the others
RESOLUTION_TASK, RESOLUTIONS, RESOLUTION_EPOCHS = "sign-digits", [16, 24, 32], 15


class Networks:
    """Trainings of one small network, all from the same random weights."""

    def __init__(self, bench, seed, is_quick):
        self.bench, self.seed, self.is_quick = bench, seed, is_quick
        self.work = bench.work / f"simultaneous-{seed}"

    def start(self):
        """The untrained network, as backbone.py of the demo makes it."""
        path = self.work / "untrained.backbone"
        if not path.exists():
            self.work.mkdir(exist_ok=True)
            model = path.with_suffix(".onnx")
            subprocess.run([sys.executable, "-m", "tools.assets.demo.backbone", model, "--seed", str(self.seed)],
                           check=True, cwd=REPOSITORY)
            self.import_(model, path)
        return path

    def import_(self, model, backbone):
        self.bench.patchtool("import", model, "-o", backbone, "--resolution", SIDE, "--mean", 127, "--std", 64,
                             "--resize", "stretch:bicubic", "--max-classes", 64, "--force")

    def train(self, backbone, output, epochs, *flags):
        """What `patchtool train` says; a run that was cut off goes on."""
        print(f"simultaneous {output.name}", file=sys.stderr, flush=True)
        checkpoint = output / "backbone.backbone.checkpoint" if output.suffix == "" else Path(f"{output}.checkpoint")
        resume = ["--resume"] if checkpoint.exists() else []
        epochs = 1 if self.is_quick else epochs
        return self.bench.patchtool("train", "--backbone", backbone, "-o", output, "--epochs", epochs, "--seed", self.seed,
                                    "--force", *flags, *(["--limit", 200] if self.is_quick else []), *resume)

    def get(self, variant, measure):
        key = {"what": "simultaneous", "variant": variant, "side": SIDE, "limit": LIMIT, "epochs": TOGETHER,
               "quick": self.is_quick, "seed": self.seed}
        return self.bench.results.get(key, measure)

    def alone(self, task, side=SIDE, epochs=None):
        """A network of its own for a task: the figures, and its file of trained values."""
        output = self.work / f"alone-{task}-{side}.safetensors"
        epochs = epochs or TASKS[task]
        # As many steps of warm-up as together.
        warmup = epochs / (TOGETHER if epochs == TASKS[task] else RESOLUTION_EPOCHS)
        figures = self.get(f"{task} alone, {side} px, {epochs} epochs", lambda: one(self.train(
            self.start(), output, epochs, "--data", self.bench.archive(task, "train"), "--test", self.bench.archive(task, "test"),
            "--kind", "full", "--resolution", side, "--warmup", warmup, *WHOLE)))
        return figures, output

    def separate(self):
        """{task: figures} of networks of their own."""
        return {task: self.alone(task)[0] for task in TASKS}

    def together(self, kind):
        """{task: figures} of a backbone and a patch for each."""
        flags = [flag for task in TASKS for flag in ("--task", f"{task}={self.bench.archive(task, 'train')}",
                                                     "--task-test", f"{task}={self.bench.archive(task, 'test')}")]
        output = self.work / f"together-{kind.replace('+', '-')}"
        return self.get(f"together, {kind}", lambda: self.joint(output, self.train(
            self.start(), output, TOGETHER, "--kind", kind, "--resolution", SIDE, *flags, *WHOLE)))

    def resolutions(self, kind):
        """{side: figures} of one task at several resolutions together."""
        output = self.work / f"sides-{kind.replace('+', '-')}"
        task = RESOLUTION_TASK
        return self.get(f"{task} at {RESOLUTIONS}, {kind}, {RESOLUTION_EPOCHS} epochs", lambda: self.joint(output, self.train(
            self.start(), output, RESOLUTION_EPOCHS, "--kind", kind, "--resolution", ",".join(map(str, RESOLUTIONS)),
            "--name", task, "--data", self.bench.archive(task, "train"), "--test", self.bench.archive(task, "test"), *WHOLE)))

    def joint(self, output, report):
        """Figures of a training of several tasks, and sizes of what comes out."""
        tasks = {task["name"]: {**one(task), "bytes": self.export(output / f"{task['name']}.safetensors",
                                                                   output / "backbone.backbone")} for task in report["tasks"]}
        return {"tasks": tasks, "shared": report["shared_params"], "bytes": report["backbone_bytes"]}

    def export(self, trained, backbone):
        """Bytes of the patch of a file of trained values."""
        return self.bench.patchtool("export", trained, "--backbone", backbone, "-o", trained.with_suffix(".patch"),
                                    "--force")["bytes"]

    def first(self):
        """The network of the first task as a backbone, by way of ONNX."""
        backbone = self.work / f"{FIRST}.backbone"
        if not backbone.exists():
            _, trained = self.alone(FIRST)
            model = self.work / f"{FIRST}.onnx"
            self.bench.patchtool("export", trained, "--backbone", self.start(), "--onnx", model, "--force")
            self.import_(model, backbone)
        return backbone

    def on_first(self, kind):
        """{task: figures} of patches on the network of the first task."""
        return self.get(f"on {FIRST}, {kind}", lambda: self.on_first_now(kind))

    def on_first_now(self, kind):
        backbone, tasks = self.first(), {}
        for task, epochs in TASKS.items():
            if task != FIRST:
                output = self.work / f"on-{FIRST}-{kind}-{task}.safetensors"
                report = self.train(backbone, output, epochs, "--data", self.bench.archive(task, "train"),
                                    "--test", self.bench.archive(task, "test"), "--kind", kind, *SETTINGS)
                tasks[task] = {**one(report), "bytes": self.export(output, backbone)}
        return {"tasks": tasks, "bytes": backbone.stat().st_size}

    def elsewhere(self):
        """{side: figures} of the patch of the largest resolution at all of them, on the backbone of all."""
        return self.get(f"{RESOLUTION_TASK}, the patch of {max(RESOLUTIONS)} px elsewhere", self.elsewhere_now)

    def elsewhere_now(self):
        self.resolutions("bn+head")
        folder = self.work / "sides-bn-head"
        use = ["--backbone", folder / "backbone.backbone"]
        found = {}
        for side in RESOLUTIONS:
            patch = self.work / f"elsewhere-{side}.patch"
            self.bench.patchtool("export", folder / f"{RESOLUTION_TASK}-{max(RESOLUTIONS)}.safetensors", *use, "-o", patch,
                                 "--resolution", side, "--force")
            evaluated = self.bench.patchtool("eval", *use, "--patch", patch, "--data", self.bench.archive(RESOLUTION_TASK, "test"))
            found[f"{RESOLUTION_TASK}-{side}"] = {"accuracy": evaluated["accuracy"], "images": evaluated["count"]}
        return {"tasks": found}


def one(report):
    """Figures of a task."""
    return {"accuracy": report["best"]["test_accuracy"], "images": report["test_images"], "own": report["trainable_params"],
            "steps": report["steps"], "seconds": report["seconds"], "epoch": report["best"]["epoch"]}


def measure(bench, is_quick):
    """[{"seed": ..., name: figures}]; what is not measured is left out."""
    found = []
    for seed in SEEDS:
        networks = Networks(bench, seed, is_quick)
        steps = {"separate": networks.separate}
        steps |= {f"together, {kind}": lambda kind=kind: networks.together(kind) for kind in ("bn+head", "head")}
        steps |= {f"on {FIRST}, {kind}": lambda kind=kind: networks.on_first(kind) for kind in ("bn+head", "head")}
        steps |= {f"resolutions, {kind}": lambda kind=kind: networks.resolutions(kind) for kind in ("bn+head", "head")}
        steps["elsewhere"] = networks.elsewhere
        steps["resolutions alone"] = lambda: {str(side): networks.alone(RESOLUTION_TASK, side, RESOLUTION_EPOCHS)[0]
                                              for side in RESOLUTIONS}
        steps["together, bn+dw+head"] = lambda: networks.together("bn+dw+head")
        row = {"seed": seed}
        for name, step in steps.items():
            try:
                row[name] = step()
            except Unmeasured:
                pass
        found.append(row)
    return [row for row in found if len(row) > 1]


def interval(share, images):
    """Half the 95 % interval of a share that was measured on so many images, in points."""
    return 196 * math.sqrt(share * (1 - share) / images)


def accuracy(figures):
    """An accuracy in per cent, with its binomial interval."""
    return f"{100 * figures['accuracy']:.1f} ± {interval(figures['accuracy'], figures['images']):.1f}"


def mean(tasks):
    """The mean over tasks, with the interval of a mean."""
    share = sum(task["accuracy"] for task in tasks) / len(tasks)
    half = math.sqrt(sum(interval(task["accuracy"], task["images"]) ** 2 for task in tasks)) / len(tasks)
    return f"{100 * share:.2f} ± {half:.2f}"


def render(found):
    """The section of RESULTS.md."""
    parts = ["## Simultaneous training\n",
             f"One small MobileNetV2 (`tools/assets/demo/backbone.py`) at {SIDE} pixels, all from the same random weights: `train --task` "
             f"trains one backbone and a patch for each of {len(TASKS)} tasks, against a network of its own for each and patches on the "
             f"network of one of them. At most {LIMIT:,} images of a task, a tenth of which chooses the epoch; test images once. As many "
             "steps of each task everywhere (32 images, crops only, some hundreds: short trainings), so that what is shared gets three times as "
             "many. Intervals are binomial, 95 %, of one seed: how much another seed changes is not in them. Values and kB are of all "
             "tasks: of networks of their own, three backbone files. Where only the head is a task's own, batch norms learn on batches of "
             "one task at a time, and have one mean and variance for all of them. Patches on the network of one task are trained as "
             "`patchtool train` does by default.\n"]
    for row in found:
        parts.append(f"### Seed {row['seed']}\n")
        parts.append(table(["what is a task's own", *TASKS, "mean", "values", "kB"], list(rows(row))))
        sides = list(side_rows(row))
        if sides:
            parts.append(f"One task, {RESOLUTION_TASK}, at several resolutions, {RESOLUTION_EPOCHS} epochs of each: weights and head are "
                         "shared (`train --data --resolution 16,24,32`), batch norms are each resolution's own, or one set for all; the "
                         f"patch of {max(RESOLUTIONS)} pixels at all of them; networks of their own.\n")
            parts.append(table(["batch norms", *(f"{side} px" for side in RESOLUTIONS), "mean"], sides))
    return parts


def rows(row):
    """Rows of the table of tasks."""
    separate, whole = row.get("separate"), row.get(f"on {FIRST}, bn+head", {}).get("bytes")
    if separate:
        yield line("everything: networks of their own", separate, sum(task["own"] for task in separate.values()),
                   whole and len(TASKS) * whole)
    for kind in KINDS:
        if together := row.get(f"together, {kind}"):
            yield line(f"`{kind}`, trained together", *sums(together, together["shared"]))
    for kind in ("bn+head", "head"):
        if separate and (on_first := row.get(f"on {FIRST}, {kind}")):
            yield line(f"`{kind}`, on the network of {FIRST}", {**on_first["tasks"], FIRST: separate[FIRST]},
                       *sums(on_first, separate[FIRST]["own"])[1:])


def sums(found, shared):
    """Tasks, values and bytes of a backbone with its patches."""
    tasks = found["tasks"].values()
    return found["tasks"], shared + sum(task["own"] for task in tasks), found["bytes"] + sum(task["bytes"] for task in tasks)


def line(name, tasks, values, size):
    return [name, *(accuracy(tasks[task]) for task in TASKS), mean(list(tasks.values())), f"{values:,}", kilobytes(size) if size else ""]


def side_rows(row):
    """Rows of the table of resolutions."""
    names = [f"{RESOLUTION_TASK}-{side}" for side in RESOLUTIONS]
    variants = {"of each resolution": row.get("resolutions, bn+head"), "one set for all": row.get("resolutions, head"),
                f"of {max(RESOLUTIONS)} px at all": row.get("elsewhere")}
    for name, found in variants.items():
        if found:
            tasks = [found["tasks"][task] for task in names]
            yield [name, *map(accuracy, tasks), mean(tasks)]
    if alone := row.get("resolutions alone"):
        yield ["networks of their own", *(accuracy(alone[str(side)]) for side in RESOLUTIONS), mean(list(alone.values()))]
