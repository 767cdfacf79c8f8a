"""Measure what patches are worth, and write tools/RESULTS.md.

Every run (train, export, evaluate) is kept as a line of tools/experiments/results.jsonl: a second call runs
only what is missing, and goes on with a training that was cut off. The page is written anew
each time, out of what is there.

    accuracy      every task and kind of patch, several seeds, and the control
    resolution    one patch for each resolution against one patch for all
    sizes         patches and their accuracy in single and in half precision
    int8          backbone and bn+head patches in int8, and the methods of calibration
    from-layer    bn+head patches that leave the first layers to the backbone (many.py)
    many          latency of one image through several patches (many.py)
    memory        of many tasks in several processes (memory.py)
    averages      averages of a trajectory (trajectories.py)
    unlearning    poisoned patches and what unlearn takes out (unlearning.py)
    few-shot      HyperTransformers on Omniglot (few_shot.py)
    heads         that learn without training (heads.py)
    lsa           linear self-attention that learns in its context (lsa.py)
    federation    clients that teach each other (federation.py)
    simultaneous  one backbone and a patch for each of several tasks, trained together (simultaneous.py)
    peers         parity and speed, out of the --json files of tests/parity and tests/peers

The data folder holds sign-digits-{train,test}.tar and cifar10-{train,test}.tar, laid out
class/image, omniglot-small{1,2}.zip, and imagenet-sample.tar, laid out INDEX_anything/image, calibrates and tests the
int8 backbone; Fashion-MNIST comes from Debian's dataset-fashion-mnist. The backbone takes images
of 224 pixels. Python needs tests/parity/requirements.txt. Everything takes hours on two cores;
--only, --tasks and --seeds say less, --quick tries the script out.
"""

import argparse
import datetime
import hashlib
import io
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.parity.common import REPOSITORY, Patchtool, PatchtoolError, fail
from tools.assets.demo import make
from tools.experiments import federation, few_shot, heads, lsa, many, memory, page, simultaneous, trajectories, unlearning
from tools.experiments.measured import Results, Unmeasured
from PIL import Image

EXPERIMENTS = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Run:
    """One training, and all that decides its result besides the backbone."""
    task: str
    limit: int | None  # images to train on
    epochs: int
    augment: str
    kind: str = "bn+head"
    rate: float = 1e-3
    batch_norm: str = "frozen"
    resolution: int = 224
    batch: int = 32
    seed: int = 1


TASKS = {task.task: task for task in [
    Run("sign-digits", limit=None, epochs=12, augment="crop,color", resolution=96),
    Run("cifar10", limit=10_000, epochs=6, augment="crop,flip,color", resolution=128),
    Run("fashion", limit=10_000, epochs=6, augment="crop,flip", resolution=64),
]}
KINDS = {  # rows of the tables: what differs from the task's run
    "head": {"kind": "head", "rate": 3e-3},
    "bn+head": {"kind": "bn+head", "rate": 1e-3},
    "dw+head": {"kind": "dw+head", "rate": 1e-3},
    "bn+dw+head": {"kind": "bn+dw+head", "rate": 1e-3},
    "full": {"kind": "full", "rate": 3e-4},
    "random+head": {"kind": "random+head", "rate": 2e-3},
    "bn+head, batch mode": {"kind": "bn+head", "rate": 2e-3, "batch_norm": "batch"},
}
VALIDATION = 0.1  # share of the training images that chooses the epoch; the test images are measured once, at the end
SCALE_LR_MULTIPLIER = 3  # how much faster scales and biases learn than weights
PATCHES = ["head", "bn+head", "dw+head", "bn+dw+head"]  # the others are there to compare with
RESOLUTIONS = [96, 128, 160, 224]
RESOLUTION_TASK = "cifar10"
# How the int8 backbone is made: flags of `patchtool quantize`. The first is the default.
QUANTIZE = [(), ("--method", "mse"), ("--method", "minmax"), ("--plain-rounding",),
            ("--method", "minmax", "--plain-rounding")]
CALIBRATION_IMAGES = [50, 200]
# Shorter runs, of which there are many.
FROM_LAYER_TASKS = {
    "sign-digits": replace(TASKS["sign-digits"], epochs=6),
    "cifar10": replace(TASKS["cifar10"], limit=5_000, epochs=4, resolution=96),
}
TABLES = ["accuracy", "resolution", "sizes", "int8", "from-layer", "many", "memory", "averages", "unlearning", "few-shot", "heads", "lsa",
          "simultaneous", "federation", "peers"]


class Bench:
    """Runs patchtool on one backbone, and remembers."""

    def __init__(self, arguments):
        self.patchtool = Patchtool(arguments.patchtool)
        self.backbone, self.data, self.work = arguments.backbone, arguments.data, arguments.work
        self.work.mkdir(parents=True, exist_ok=True)
        self.results = Results(arguments.results)
        self.id = self.patchtool("inspect", self.backbone)["id"]
        self.tasks = set(arguments.tasks)

    def archive(self, task, part):
        """The images of a task; Fashion-MNIST is unpacked first."""
        path = (self.work if task == "fashion" else self.data) / f"{task}-{part}.tar"
        if task == "fashion" and not path.exists():
            write_fashion(path, part)
        if not path.exists():
            fail(f"no {part} images of {task} at {path}")
        return path

    def key(self, what, run, **more):
        return {"what": what, "backbone": self.id, **asdict(run), "validation": VALIDATION, **more}

    def get(self, key, measure):
        """A result of a run, measured where its task is asked for; otherwise what is there, if only of a run that had no
        validation images: page.py says which those are."""
        try:
            return self.results.get(key, measure if key["task"] in self.tasks else unmeasured)
        except Unmeasured:
            before = {name: value for name, value in key.items() if name != "validation"}
            return self.results.get(before, unmeasured)

    def train_key(self, run, flags):
        """A run with more flags of `patchtool train`."""
        return self.key("train", run, flags=flags) if flags else self.key("train", run)

    def file(self, run, *flags):
        """Where a run's trained values are."""
        digest = hashlib.sha256(json.dumps(self.train_key(run, flags)).encode()).hexdigest()[:8]
        return self.work / f"{run.task}-{run.kind}-{run.resolution}-{run.seed}-{digest}.safetensors"

    def train(self, run, *flags):
        """What `patchtool train --json` says of a run."""
        return self.get(self.train_key(run, flags), lambda: self.train_now(run, *flags))

    def train_now(self, run, *flags):
        print(f"train {run.task} {run.kind} at {run.resolution}, seed {run.seed}", file=sys.stderr, flush=True)
        output = self.file(run, *flags)
        limit = ["--limit", run.limit] if run.limit else []
        resume = ["--resume"] if Path(f"{output}.checkpoint").exists() else []
        return self.patchtool(
            "train", "--backbone", self.backbone, "--data", self.archive(run.task, "train"),
            "--test", self.archive(run.task, "test"), "--validation", VALIDATION, "--kind", run.kind, "-o", output, "--epochs", run.epochs,
            "--lr", run.rate, "--scale-lr-multiplier", SCALE_LR_MULTIPLIER, "--batch-norm", run.batch_norm,
            "--batch", run.batch, "--resolution", run.resolution, "--seed", run.seed, "--augment", run.augment, "--force", *limit, *resume, *flags)

    def evaluate(self, run, *flags, resolution=None):
        """Bytes, accuracy and latency of a run's patch; at another resolution than its own if one is given."""
        resolution = resolution or run.resolution
        key = self.key("patch", run, flags=flags, at=resolution)
        return self.get(key, lambda: self.evaluate_now(run, flags, resolution))

    def evaluate_now(self, run, flags, resolution):
        trained = self.file(run)
        self.train(run)
        if not trained.exists():  # measured before, and cleaned away
            self.train_now(run)
        patch = trained.with_suffix(".patch")
        size = self.patchtool("export", trained, "--backbone", self.backbone, "-o", patch, "--resolution", resolution,
                              *flags, "--force")["bytes"]
        use = ["--backbone", self.backbone, "--patch", patch]
        accuracy = self.patchtool("eval", *use, "--data", self.archive(run.task, "test"))["accuracy"]
        latency = self.patchtool("bench", *use, "--threads", 1)["latency_ms"]["median"]
        return {"bytes": size, "accuracy": accuracy, "latency_ms": latency, "chosen_by": "validation"}

    def imagenet(self):
        path = self.data / "imagenet-sample.tar"
        return path if path.exists() else fail(f"no images of ImageNet at {path}")

    def quantized(self, flags=(), images=200):
        """The int8 backbone; made where it is not there."""
        name = "-".join(flag.lstrip("-") for flag in flags) or "default"
        path = self.work / f"{self.id[:8]}-{name}-{images}.backbone"
        if not path.exists():
            self.patchtool("quantize", self.backbone, "--calibrate", self.imagenet(), "--calibration-images", images,
                           "-o", path, *flags)
        return path

    def int8_backbone(self, flags, images):
        """Accuracy on ImageNet, bytes and the scores' signal-to-noise ratio of an int8 backbone; of f32 without images."""
        key = {"what": "int8 backbone", "backbone": self.id, "flags": flags, "images": images}
        return self.results.get(key, lambda: self.int8_backbone_now(flags, images))

    def int8_backbone_now(self, flags, images):
        backbone = self.quantized(flags, images) if images else self.backbone
        found = self.patchtool("inspect", backbone)
        evaluated = self.patchtool("eval", "--backbone", backbone, "--data", self.imagenet())
        latency = self.patchtool("bench", "--backbone", backbone, "--threads", 1)["latency_ms"]["median"]
        return {"accuracy": evaluated["accuracy"], "top5": evaluated["top5"], "count": evaluated["count"],
                "bytes": found["bytes"], "arena_bytes": found["arena_bytes"], "latency_ms": latency,
                "snr_db": found["quantized"]["snr_db"][-1] if images else None}

    def int8_patch(self, run, *flags):
        """Bytes, accuracy and latency of a run's patch for the int8 backbone."""
        return self.get(self.key("int8 patch", run, flags=flags), lambda: self.int8_patch_now(run, flags))

    def int8_patch_now(self, run, flags):
        trained, backbone = self.file(run), self.quantized()
        self.train(run)
        if not trained.exists():
            self.train_now(run)
        patch = trained.with_suffix(".int8.patch")
        exported = self.patchtool("export", trained, "--backbone", backbone, "--calibrate",
                                  self.archive(run.task, "train"), "-o", patch, *flags, "--force")
        use = ["--backbone", backbone, "--patch", patch]
        accuracy = self.patchtool("eval", *use, "--data", self.archive(run.task, "test"))["accuracy"]
        latency = self.patchtool("bench", *use, "--threads", 1)["latency_ms"]["median"]
        return {"bytes": exported["bytes"], "snr_db": exported["snr_db"][-1], "accuracy": accuracy, "latency_ms": latency,
                "chosen_by": "validation"}


def write_fashion(path, part):
    """Fashion-MNIST as an archive, all images of a part."""
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.exists():
        fail(f"no Fashion-MNIST at {folder}; hint: apt-get install dataset-fashion-mnist")
    prefix = {"train": "train", "test": "t10k"}[part]
    images = make.read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = make.read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    unfinished = path.with_suffix(".unfinished")
    make.write_tar(unfinished, ((f"{make.FASHION[label]}/{index:05}.png", png(image))
                                for index, (image, label) in enumerate(zip(images, labels))))
    unfinished.rename(path)


def png(pixels):
    """A grey image, all of it."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def accuracy(bench, tasks, seeds):
    """{task: {kind: [result of each seed]}}"""
    results = {name: {kind: [] for kind in KINDS} for name in tasks}
    for seed in seeds:  # outermost: a run that was cut off has something of everything
        for name, task in tasks.items():
            for kind, changes in KINDS.items():
                try:
                    results[name][kind].append(bench.train(replace(task, **changes, seed=seed)))
                except Unmeasured:
                    pass
    measured = {name: {kind: found for kind, found in kinds.items() if found} for name, kinds in results.items()}
    return {name: kinds for name, kinds in measured.items() if kinds}


def resolution(bench, tasks, resolutions):
    """Rows of resolution, own patch, the largest resolution's patch there."""
    task = replace(tasks[RESOLUTION_TASK], **KINDS["bn+head"])
    largest = replace(task, resolution=max(resolutions))
    return [{"resolution": side, "own": bench.evaluate(replace(task, resolution=side)),
             "one": bench.evaluate(largest, resolution=side)} for side in resolutions]


def sizes(bench, tasks):
    """{task: {kind: {"f32": ..., "f16": ...}}}, for what a patch can carry; the first seed."""
    results = {}
    for name, task in tasks.items():
        for kind in PATCHES:
            run = replace(task, **KINDS[kind])
            try:
                found = {"f32": bench.evaluate(run), "f16": bench.evaluate(run, "--f16")}
                results.setdefault(name, {})[kind] = found
            except Unmeasured:
                pass
    return results


def int8(bench, tasks):
    """The backbone by every method, and the patches of all tasks beside their f32 versions."""
    float_backbone = bench.int8_backbone((), 0)
    methods = [{"flags": flags, "images": images, **bench.int8_backbone(flags, images)}
               for flags in QUANTIZE for images in CALIBRATION_IMAGES]
    patches = {}
    for name, task in tasks.items():
        run = replace(task, **KINDS["bn+head"])
        patches[name] = {"f32": bench.evaluate(run), "int8": bench.int8_patch(run),
                         "int8 f16": bench.int8_patch(run, "--f16")}
    return {"f32": float_backbone, "methods": methods, "patches": patches}


def peers(bench, folder):
    """The figures of the parity and side-by-side scripts, by file name: of their files, or of the last that were there."""
    found = {}
    for name in page.PARITY_COMMANDS:
        key, path = {"what": "peers", "figures": name}, folder / f"{name}.json"
        if bench.results.is_asked and path.exists():
            bench.results.put(key, json.loads(path.read_text()))
        try:
            found[name] = bench.results.get(key, unmeasured)
        except Unmeasured:
            pass
    return found


def unmeasured():
    """A measurement that is made elsewhere, or was made before."""
    raise Unmeasured


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", type=Path, required=True, help="a backbone trained on ImageNet")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the archives")
    parser.add_argument("--work", type=Path, metavar="DIR", default=REPOSITORY / "target" / "results",
                        help="where runs are kept [target/results]")
    parser.add_argument("--results", type=Path, metavar="FILE", default=EXPERIMENTS / "results.jsonl",
                        help="what was measured so far [tools/experiments/results.jsonl]")
    parser.add_argument("--peers", type=Path, metavar="DIR",
                        help="folder with what the scripts of tests/parity and tests/peers wrote [the work folder]")
    parser.add_argument("--patchtool", metavar="PATH", help="the binary [target/release/patchtool, then the PATH]")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES, metavar="TABLE",
                        help=f"which tables, of {', '.join(TABLES)} [all]")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK",
                        help=f"which tasks to measure, of {', '.join(TASKS)}; of the others, what is there [all]")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds [3]")
    parser.add_argument("--note", metavar="TEXT", help="what else a reader of the page should know")
    parser.add_argument("--quick", action="store_true", help="a trial: 500 images, 2 epochs, one seed, two resolutions, few-shot runs of 20 steps")
    parser.add_argument("--output", type=Path, metavar="FILE", default=REPOSITORY / "tools" / "RESULTS.md",
                        help="page to write [tools/RESULTS.md]")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    seeds, resolutions = range(1, arguments.seeds + 1), RESOLUTIONS
    tasks, from_layer_tasks = TASKS, FROM_LAYER_TASKS
    if arguments.quick:
        arguments.work = arguments.work / "quick"
        arguments.results = arguments.output = None
        seeds, resolutions = range(1, 2), [96, 128]
        tasks = {name: replace(TASKS[name], limit=500, epochs=2) for name in arguments.tasks}
        from_layer_tasks = {name: task for name, task in tasks.items() if name in FROM_LAYER_TASKS}
    arguments.results = arguments.results or arguments.work / "results.jsonl"
    arguments.output = arguments.output or arguments.work / "RESULTS.md"
    measures = {
        "accuracy": lambda bench: accuracy(bench, tasks, seeds),
        "resolution": lambda bench: resolution(bench, tasks, resolutions) if RESOLUTION_TASK in tasks else [],
        "sizes": lambda bench: sizes(bench, tasks),
        "int8": lambda bench: int8(bench, tasks),
        "from-layer": lambda bench: many.measure_accuracy(bench, from_layer_tasks, seeds),
        "many": many.measure_latency,
        "memory": memory.measure,
        "averages": trajectories.measure,
        "unlearning": unlearning.measure,
        "few-shot": lambda bench: few_shot.measure(bench, arguments.quick),
        "heads": lambda bench: heads.measure(bench, arguments.quick),
        "lsa": lambda bench: lsa.measure(bench, arguments.quick),
        "federation": lambda bench: federation.measure(bench, arguments.quick),
        "simultaneous": lambda bench: simultaneous.measure(bench, arguments.quick),
        "peers": lambda bench: peers(bench, arguments.peers or arguments.work),
    }
    try:
        bench = Bench(arguments)
        backbone = bench.patchtool("inspect", arguments.backbone)
        tables = {}
        for name in TABLES:
            bench.results.is_asked = name in arguments.only
            try:
                tables[name] = measures[name](bench)
            except Unmeasured:
                pass
    except PatchtoolError as error:
        fail(error)
    date = datetime.date.today().isoformat()
    arguments.output.write_text(page.render(tables, tasks, KINDS, SCALE_LR_MULTIPLIER, backbone, date, RESOLUTION_TASK,
                                                     arguments.note, arguments.quick))
    print(arguments.output)


if __name__ == "__main__":
    main()
