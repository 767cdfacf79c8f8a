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
SEEDS = [1, 2, 3]
KINDS = ["bn+head", "bn+dw+head", "head"]
OWN = "networks of their own"
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
               "quick": self.is_quick, "seed": self.seed, "settings": WHOLE}
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


def render(found):
    """The section of RESULTS.md."""
    if not found:
        return []
    seeds = ", ".join(str(row["seed"]) for row in found)
    parts = ["## Simultaneous training\n",
             f"One small MobileNetV2 (`tools/assets/demo/backbone.py`) at {SIDE} pixels, all from the same random weights of a seed: `train --task` "
             f"trains one backbone and a patch for each of {len(TASKS)} tasks, against a network of its own for each and patches on the "
             f"network of one of them. At most {LIMIT:,} images of a task, a tenth of which chooses the epoch; test images once. As many "
             "steps of each task everywhere (32 images, crops only, some hundreds: short trainings), so that what is shared gets three times as "
             f"many. Means of seeds {seeds}; intervals are of the test images, binomial, 95 %. *By seed* is the mean less that of "
             "networks of their own from the same seed, in points. Values and kB are of all "
             "tasks: of networks of their own, three backbone files. Where only the head is a task's own, batch norms learn on batches of "
             "one task at a time, and have one mean and variance for all of them. Patches on the network of one task are trained as "
             "`patchtool train` does by default.\n"]
    parts.append(table(["what is a task's own", *TASKS, "mean", "by seed", "values", "kB"], list(rows(found))))
    sides = list(side_rows(found))
    if sides:
        parts.append(f"One task, {RESOLUTION_TASK}, at several resolutions, {RESOLUTION_EPOCHS} epochs of each: weights and head are "
                     "shared (`train --data --resolution 16,24,32`), batch norms are each resolution's own, or one set for all; the "
                     f"patch of {max(RESOLUTIONS)} pixels at all of them; networks of their own.\n")
        parts.append(table(["batch norms", *(f"{side} px" for side in RESOLUTIONS), "mean", "by seed"], sides))
    return parts


def rows(found):
    """Rows of the table of tasks."""
    separate = [row["separate"] for row in found if "separate" in row]
    wholes = [row[f"on {FIRST}, bn+head"]["bytes"] for row in found if f"on {FIRST}, bn+head" in row]
    if separate:
        yield [OWN, *cells(separate, separate), *size(sum(task["own"] for task in separate[0].values()), wholes and len(TASKS) * wholes[0])]
    for kind in KINDS:
        have = [row for row in found if f"together, {kind}" in row and "separate" in row]
        together = [row[f"together, {kind}"] for row in have]
        if have:
            yield [f"`{kind}`, trained together", *cells([one["tasks"] for one in together], [row["separate"] for row in have]),
                   *size(*sums(together[0], together[0]["shared"]))]
    for kind in ("bn+head", "head"):
        have = [row for row in found if f"on {FIRST}, {kind}" in row and "separate" in row]
        on_first = [row[f"on {FIRST}, {kind}"] for row in have]
        if have:
            alone = [row["separate"] for row in have]
            tasks = [{**one["tasks"], FIRST: own[FIRST]} for one, own in zip(on_first, alone)]
            yield [f"`{kind}`, on the network of {FIRST}", *cells(tasks, alone), *size(*sums(on_first[0], alone[0][FIRST]["own"]))]


def sums(found, shared):
    """Values and bytes of a backbone with its patches."""
    tasks = found["tasks"].values()
    return shared + sum(task["own"] for task in tasks), found["bytes"] + sum(task["bytes"] for task in tasks)


def size(values, of_bytes):
    return [f"{values:,}", kilobytes(of_bytes) if of_bytes else ""]


def side_rows(found):
    """Rows of the table of resolutions."""
    names = [f"{RESOLUTION_TASK}-{side}" for side in RESOLUTIONS]
    have = [row for row in found if "resolutions alone" in row]
    alone = [dict(zip(names, row["resolutions alone"].values())) for row in have]
    for name, key in {"of each resolution": "resolutions, bn+head", "one set for all": "resolutions, head",
                      f"of {max(RESOLUTIONS)} px at all": "elsewhere"}.items():
        pairs = [({name: row[key]["tasks"][name] for name in names}, own) for row, own in zip(have, alone) if key in row]
        if pairs:
            yield [name, *cells(*map(list, zip(*pairs)), is_same=True)]
    if alone:
        yield [OWN, *cells(alone, alone, is_same=True)]


def cells(by_seed, separate, is_same=False):
    """Accuracies in per cent, of each task and of all: means of [{task: figures}] by seed; differences from networks of their own.

    `is_same` is whether all tasks have the same test images: their errors do not cancel then.
    """
    tasks = list(by_seed[0])
    tasks.sort(key=list(separate[0]).index)
    shares = {task: sum(seed[task]["accuracy"] for seed in by_seed) / len(by_seed) for task in tasks}
    halves = {task: interval(shares[task], by_seed[0][task]["images"]) for task in tasks}
    of_all = lambda seed: 100 * sum(figures["accuracy"] for figures in seed.values()) / len(seed)
    differences = [of_all(seed) - of_all(own) for seed, own in zip(by_seed, separate)]
    is_own = by_seed is separate
    half = (sum(halves.values()) if is_same else math.hypot(*halves.values())) / len(tasks)
    return [*(f"{100 * shares[task]:.1f} ± {halves[task]:.1f}" for task in tasks),
            f"{100 * sum(shares.values()) / len(tasks):.1f} ± {half:.1f}",
            "" if is_own else " ".join(f"{difference:+.1f}" for difference in differences)]


def interval(share, images):
    """Half the 95 % interval of a share that was measured on so many images, in points."""
    return 196 * math.sqrt(share * (1 - share) / images)
