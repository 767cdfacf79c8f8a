"""HyperTransformers: what results.py measures of them, and their section of RESULTS.md.

Six alphabets of Omniglot are trained on, two are held out. Every run is one `patchtool meta-train`, which goes on
from its checkpoint where it was cut off.
"""

import statistics
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tests.parity.common import REPOSITORY
from tools.experiments.markdown import kilobytes, table
from tools.experiments.measured import Unmeasured

ARCHIVES = ["omniglot-small1.zip", "omniglot-small2.zip"]
HOLDOUT = ["Sanskrit", "Tagalog"]
ASSETS = REPOSITORY / "tools" / "assets"
STEPS = 12_000
CONTINUAL_STEPS = 12_000
FROZEN_STEPS = 2_000
MINI_BATCH_STEPS = 6_000
UNLABELLED_STEPS = 6_000
TASKS = 5  # learned after one another in training
CONSTANT_STEPS = TASKS * CONTINUAL_STEPS  # of one task each: as many tasks in all
TEST_TASKS = 8
CHANNELS = [4, 8, 16]
SMALL = 8  # channels where only one size is measured
EPISODES = 1024
CONTINUAL_EPISODES = 256
UNLABELLED = 5  # images of each class
SETTINGS = [(5, 1), (5, 5), (20, 1)]
FROZEN_SETTINGS = [(5, 1), (5, 5), (10, 1), (10, 5)]
ROWS = {  # of the first table: what was trained, how support sets are learned
    "ProtoNet": ("prototypes", "generated"),
    "ProtoNet, fine-tuned on the support set": ("prototypes", "fine-tuned"),
    "prototypes on the features of HT head": ("head", "prototypes"),
    "HT head": ("head", "generated"),
    "HT all": ("all", "generated"),
}
COST_RUNS = 9
TRIAL_STEPS, TRIAL_EPISODES = 20, 8


@dataclass
class Run:
    """One training, and what is measured at its end."""
    training: list
    methods: list = field(default_factory=lambda: ["generated"])
    episodes: int = EPISODES
    flags: list = field(default_factory=list)

    def trial(self):
        """The same, too short to learn anything."""
        return replace(self, training=[*self.training[:-1], TRIAL_STEPS], episodes=TRIAL_EPISODES)


def cnn(generates, channels, *more, steps=STEPS):
    return ["--generates", generates, "--channels", channels, *more, "--steps", steps]


def of_tasks(generates, *more, steps):
    """Trained on what continual learning is tested on."""
    return cnn(generates, SMALL, "--episodes", "5x1", *more, steps=steps)


def omniglot_runs():
    """By name."""
    methods = {"prototypes": ["generated", "fine-tuned"], "head": ["generated", "prototypes"], "all": ["generated"]}
    runs = {f"{generates}-{channels}": Run(cnn(generates, channels), methods[generates])
            for channels in CHANNELS for generates in methods}
    tasks = {"methods": [], "episodes": CONTINUAL_EPISODES, "flags": ["--test-tasks", TEST_TASKS]}
    runs["tasks"] = Run(of_tasks("all", "--queries", 2, "--continual", TASKS, steps=CONTINUAL_STEPS), **tasks)
    runs["mini-batches"] = Run(
        of_tasks("all", "--continual", TASKS, "--scenario", "mini-batch", steps=MINI_BATCH_STEPS), **tasks)
    tasks["methods"] = ["generated"]
    runs["constant"] = Run(of_tasks("prototypes", "--queries", 2, steps=CONSTANT_STEPS), **tasks)
    runs["naive"] = Run(cnn("all", SMALL), **tasks)
    runs["labelled"] = Run(cnn("all", SMALL, steps=UNLABELLED_STEPS))
    runs["unlabelled"] = Run(cnn("all", SMALL, "--unlabelled", UNLABELLED, steps=UNLABELLED_STEPS))
    return runs


def measures(bench, is_trial):
    """What measures each part, by name."""
    data = [f for archive in ARCHIVES for f in ("--data", bench.data / archive)]
    split = data + [f for name in HOLDOUT for f in ("--holdout", name)]

    def train_on_omniglot(name, run):
        return train(bench, name, run.trial() if is_trial else run, lambda: split, data=ARCHIVES, holdout=HOLDOUT)

    runs = {name: partial(train_on_omniglot, name, run) for name, run in omniglot_runs().items()}
    return {**runs, "frozen": lambda: frozen(bench, data, is_trial), "cost": lambda: cost(bench)}


def measure(bench, is_trial=False):
    """Every part by name; where measuring is not asked for, those that were measured before."""
    found = {}
    for name, part in measures(bench, is_trial).items():
        try:
            found[name] = part()
        except Unmeasured:
            pass
    return found


def frozen(bench, omniglot, is_trial):
    """Heads for the embedding of the backbone, for hand signs, which are not trained on."""
    settings = [f"{ways}x{shots}" for ways, shots in FROZEN_SETTINGS]
    run = Run(["--generates", "head", *(f for name in settings for f in ("--episodes", name)), "--steps", FROZEN_STEPS],
              ["generated", "prototypes"])
    others, test = [("cifar10", "test"), ("fashion", "test")], ("sign-digits", "test")

    def flags():
        return [*omniglot, *(f for archive in others for f in ("--data", bench.archive(*archive))),
                "--test", bench.archive(*test), "--backbone", bench.backbone]

    return train(bench, "frozen", run.trial() if is_trial else run, flags, data=ARCHIVES + ["-".join(o) for o in others],
                 test="-".join(test), backbone=bench.id)


def train(bench, name, run, flags, **more):
    """What `patchtool meta-train --json` says at the end, without the learning curve. `flags` gives the images."""
    methods = [f for method in run.methods for f in ("--methods", method)]
    key = {"what": "meta-train", "training": run.training, "episodes": run.episodes, "flags": methods + run.flags, **more}
    return bench.results.get(key, lambda: train_now(bench, name, run, [*flags(), *run.training, *methods, *run.flags]))


def train_now(bench, name, run, flags):
    print(f"meta-train {name}", file=sys.stderr, flush=True)
    output = bench.work / f"{name}.hyper"
    resume = ["--resume"] if Path(f"{output}.checkpoint").exists() else []
    found = bench.patchtool("meta-train", *flags, "--test-episodes", run.episodes, "--curves",
                            output.with_suffix(".png"), "-o", output, "--force", *resume)
    found["bytes"] = output.stat().st_size
    found.pop("history")
    return found


def cost(bench):
    """What a patch of five and of 25 drawings costs, with the generator of the assets: medians."""
    hyper = bench.patchtool("inspect", ASSETS / "omniglot.hyper")["id"]
    return [bench.results.get({"what": "generate", "hyper": hyper, "engine": "ndarray", "shots": shots}, lambda: cost_now(bench, shots))
            for shots in (1, 5)]


def cost_now(bench, shots):
    hyper, support = ASSETS / "omniglot.hyper", ASSETS / f"demo/sanskrit-{shots}.tar"
    runs = [bench.patchtool("generate", "--hyper", hyper, "--support", support, "-o", bench.work / "cost.patch", "--force")
            for _ in range(COST_RUNS)]
    return {"generate_ms": statistics.median(run["generate_ms"] for run in runs), "images": runs[0]["images"],
            "bytes": runs[0]["bytes"], "generator_bytes": hyper.stat().st_size,
            "backbone_bytes": hyper.with_suffix(".backbone").stat().st_size}


def interval(accuracy):
    return f"{100 * accuracy['mean']:.1f} ± {100 * accuracy['interval']:.1f}"


def cells(result, settings, method, unlabelled=0):
    """The accuracies of one run, by setting. Rows without a number of unlabelled images had none."""
    rows = {(row["ways"], row["shots"], row["method"], row.get("unlabelled", 0)): row["accuracy"] for row in result["test"]}
    return [interval(rows[(*setting, method, unlabelled)]) for setting in settings]


def headings(settings):
    return [f"{ways}-way {shots}-shot" for ways, shots in settings]


def render(found):
    """The section of RESULTS.md."""
    alphabets = " and ".join(HOLDOUT)
    rows = [[f"{channels} channels, {name}", *cells(result, SETTINGS, method), f"{result['seconds'] / 60:.0f}",
             kilobytes(result["bytes"])]
            for channels in CHANNELS for name, (generates, method) in ROWS.items()
            for result in [found.get(f"{generates}-{channels}")] if result]
    if not rows:
        return []
    parts = ["## Few-shot: HyperTransformer\n",
             f"Omniglot's two small sets: six alphabets (183 characters, each in four rotations) are trained on, {alphabets} (59 "
             f"characters) are never seen. {STEPS:,} steps of one episode, which is 5-way 1-shot, 5-way 5-shot and 20-way 1-shot in "
             f"turn; one generator serves all three. Accuracy in per cent over {EPISODES:,} episodes of disjoint support and "
             "query images, with its 95 % interval. Batch norm has the statistics of the support set, in training and on the "
             "device. Fine-tuning is 20 steps of gradient descent at a rate of 0.01, which was not tuned. One thread, beside other "
             "work. The paper trains 4,000,000 steps on 1,150 characters.\n",
             table(["network", *headings(SETTINGS), "minutes", "generator kB"], rows)]
    return parts + unlabelled(found) + of_frozen(found) + after_one_another(found) + costs(found)


def unlabelled(found):
    if "unlabelled" not in found:
        return []
    names = {("labelled", 0): "trained without, none", ("unlabelled", 0): "none",
             ("unlabelled", UNLABELLED): f"{UNLABELLED} of each class"}
    rows = [[text, *cells(found[name], SETTINGS, "generated", count)]
            for (name, count), text in names.items() if name in found]
    return ["### Unlabelled images\n",
            f"HT all, {SMALL} channels, {UNLABELLED_STEPS:,} steps, trained with {UNLABELLED} images of each class in the support "
            "set without their labels (`--unlabelled`), and tested with and without them.\n",
            table(["unlabelled images", *headings(SETTINGS)], rows)]


def of_frozen(found):
    if "frozen" not in found:
        return []
    result = found["frozen"]
    rows = [[name, *cells(result, FROZEN_SETTINGS, method)]
            for name, method in (("class means, in closed form", "prototypes"), ("HT head", "generated"))]
    return ["### One-shot on a real backbone\n",
            f"Heads for the embedding of the backbone, for hand signs (sign-digits), of which training has none: {FROZEN_STEPS:,} "
            "steps on Omniglot, CIFAR-10 and Fashion-MNIST (their test images).\n",
            table(["head", *headings(FROZEN_SETTINGS)], rows)]


NAMES = {  # what was trained, and how it goes on; merged rows are no continual learning, but what that is measured by
    ("tasks", "continual"): "Continual HyperTransformer",
    ("tasks", "naive"): "the same, without the weights before",
    ("tasks", "merged"): "the same, from all images so far at once",
    ("mini-batches", "continual"): "Continual HyperTransformer, trained on mini-batches",
    ("mini-batches", "naive"): "the same, without the weights before",
    ("mini-batches", "merged"): "the same, from all images so far at once",
    ("naive", "naive"): "naive: HT all of the first table, anew for each task",
    ("naive", "merged"): "HT all of the first table, from all images so far at once",
    ("constant", "constant"): "constant ProtoNet",
    ("constant", "fine-tuned"): "fine-tuned on each support set",
}


def rows_of(found, *scenarios):
    """Each continual measurement with its name."""
    return [(name, NAMES[name, row["strategy"]], row) for name in ("tasks", "mini-batches", "naive", "constant")
            for row in found.get(name, {}).get("continual", []) if row["scenario"] in scenarios]


def after_one_another(found):
    incremental = [(trained, name, row) for trained, name, row in rows_of(found, "task", "class") if trained != "mini-batches"]
    if not incremental:
        return []
    rows = [[f"{name}, {row['scenario']}-incremental", interval(row["matrix"]["mean"]),
             interval(row["matrix"]["backward_transfer"])] for _, name, row in incremental]
    matrices = []
    for trained, name, row in incremental:
        if (trained, row["strategy"]) in (("tasks", "continual"), ("naive", "naive")) and row["scenario"] == "task":
            lines = ["  ".join(f"{100 * share:5.1f}" for share in shares) for shares in row["matrix"]["accuracy"]]
            matrices.append(f"{name}, task-incremental: accuracy after each task (rows) on each task so far (columns):\n\n"
                            + "\n".join(f"    {line}" for line in lines) + "\n")
    slices = rows_of(found, "mini-batch")
    widest = max(after["interval"] for _, _, row in slices for after in row["accuracy"])
    return ["### Continual learning\n",
            f"5-way 1-shot, {SMALL} channels, {TASKS} tasks in training ({CONTINUAL_STEPS:,} steps; {MINI_BATCH_STEPS:,} of "
            f"mini-batches), {TEST_TASKS} in the test, mean over {CONTINUAL_EPISODES} sequences: accuracy after the last task over "
            "all tasks, and what earlier tasks gained or lost since their own time. Prototypes and heads keep the weights of their "
            "own time. Other than the paper's, the generator keeps a share of the patch before, which is trained and starts at "
            f"0.9. The constant ProtoNet was trained on as many tasks ({CONSTANT_STEPS:,} steps); it has the statistics of the "
            "first support set. Class-incremental accuracy falls with each task because more classes are to be told apart.\n",
            table(["method", "accuracy %", "backward transfer, points"], rows), *matrices,
            f"Mini-batches: {TEST_TASKS} times one image of each of the same five classes, accuracy after each (95 % intervals "
            f"are at most {100 * widest:.1f} points). Prototypes are means over all images so far, each with the weights of its "
            "own time.\n",
            table(["method", *(f"{count}" for count in range(1, TEST_TASKS + 1))],
                               [[name, *(f"{100 * after['mean']:.1f}" for after in row["accuracy"])] for _, name, row in slices])]


def costs(found):
    if "cost" not in found:
        return []
    rows = [[cost["images"], f"{cost['generate_ms']:.1f}", kilobytes(cost["bytes"])]
            for cost in found["cost"]]
    cost = found["cost"][0]
    return ["### Cost\n",
            f"`patchtool generate` with the generator of the assets (8 channels, half precision): the generator has "
            f"{kilobytes(cost['generator_bytes'])} kB, its backbone {kilobytes(cost['backbone_bytes'])} "
            f"kB. Medians of {COST_RUNS} runs. `tests/run aarch64` "
            "generates the same patches under qemu-aarch64.\n",
            table(["drawings of five characters", "ms to generate", "patch kB"], rows)]
