"""HyperTransformers: what results.py measures of them, and their section of RESULTS.md.

Six alphabets of Omniglot are trained on, two are held out. Every run is one `patchtool meta-train`, which goes on
from its checkpoint where it was cut off.
"""

import statistics
import sys
import zipfile
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tests.parity.common import REPOSITORY
from tools.experiments.markdown import kilobytes, table
from tools.experiments.measured import Unmeasured

ARCHIVES = ["omniglot-small1.zip", "omniglot-small2.zip"]
HOLDOUT = ["Sanskrit", "Tagalog"]
VALIDATION = ["Early_Aramaic", "Latin"]  # of the others, to choose by
ASSETS = REPOSITORY / "tools" / "assets"
STEPS = 3_000  # of the first table, each of several episodes
CONTINUAL_STEPS = 12_000  # of one sequence of tasks
MINI_BATCH_STEPS = 6_000
TASKS = 5  # learned after one another in training
CONSTANT_STEPS = TASKS * CONTINUAL_STEPS  # of one task each: as many tasks in all
TEST_TASKS = 8
CHANNELS = [8, 16]
FEATURES = 64  # outputs of the last convolution
SMALL = 8  # channels where only one size is measured
EPISODES = 1024
CONTINUAL_EPISODES = 256
SETTINGS = [(5, 1), (5, 5), (20, 1)]
CHOICES = {  # what the validation alphabets chose between: flags of training
    f"{SMALL} features": [],
    f"{FEATURES} features": ["--features", FEATURES],
    f"{FEATURES} features, half of the episodes within an alphabet": ["--features", FEATURES, "--related"],
    "the same, drawings rotated by quarters only": ["--features", FEATURES, "--related", "--augment", "rotations"],
    f"{FEATURES} features, drawings rotated by quarters only": ["--features", FEATURES, "--augment", "rotations"],
}
CHOICE_STEPS, CHOICE_EPISODES = 600, 200
KINDS = {"before-": ", before", "related-": ", half of the episodes within an alphabet", "": ""}
NAMES_OF = {"prototypes": "ProtoNet", "all": "HyperTransformer"}  # by what is generated
# One episode or sequence a step, of drawings that are rotated by quarters and nothing else.
PLAIN = ["--batch", 1, "--augment", "rotations"]
# Measured before heads were class means: the generator made them, too. One episode a step, no distortions.
BEFORE_STEPS, UNLABELLED_STEPS = 12_000, 6_000
UNLABELLED = 5  # images of each class
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


def cnn(generates, channels, *more, steps):
    return ["--generates", generates, "--channels", channels, *more, "--steps", steps]


def of_tasks(generates, *more, steps):
    """Trained on what continual learning is tested on."""
    return cnn(generates, SMALL, "--episodes", "5x1", *more, *PLAIN, steps=steps)


def omniglot_runs():
    """By name."""
    careful = ["--features", FEATURES, "--lr", 2e-3]
    runs = {f"{generates}-{channels}": Run(cnn(generates, channels, *careful, steps=STEPS), flags=["--test-related"])
            for channels in CHANNELS for generates in NAMES_OF}
    tasks = {"methods": [], "episodes": CONTINUAL_EPISODES, "flags": ["--test-tasks", TEST_TASKS]}
    runs["tasks"] = Run(of_tasks("all", "--queries", 2, "--continual", TASKS, steps=CONTINUAL_STEPS), **tasks)
    runs["mini-batches"] = Run(
        of_tasks("all", "--continual", TASKS, "--scenario", "mini-batch", steps=MINI_BATCH_STEPS), **tasks)
    tasks["methods"] = ["generated"]
    runs["constant"] = Run(of_tasks("prototypes", "--queries", 2, steps=CONSTANT_STEPS), **tasks)
    return runs


def runs_before():
    """Of generators that made heads, too, and of episodes within an alphabet, which the validation alphabets did not choose:
    kept, and not measured again."""
    def run(generates, channels, *more, methods=("generated",), steps=BEFORE_STEPS, **others):
        return Run(cnn(generates, channels, *more, steps=steps), list(methods), **others)

    runs = {f"before-all-{channels}": run("all", channels) for channels in CHANNELS}
    runs |= {f"before-prototypes-{channels}": run("prototypes", channels, methods=("generated", "fine-tuned")) for channels in CHANNELS}
    related = ["--features", FEATURES, "--related", "--lr", 2e-3]
    runs |= {f"related-{generates}-{channels}": run(generates, channels, *related, steps=STEPS, flags=["--test-related"])
             for channels in CHANNELS for generates in NAMES_OF}
    runs["naive"] = run("all", SMALL, episodes=CONTINUAL_EPISODES, flags=["--test-tasks", TEST_TASKS])
    runs["labelled"] = run("all", SMALL, steps=UNLABELLED_STEPS)
    runs["unlabelled"] = run("all", SMALL, "--unlabelled", UNLABELLED, steps=UNLABELLED_STEPS)
    return runs


def measures(bench, is_trial):
    """What measures each part, by name."""
    data = [f for archive in ARCHIVES for f in ("--data", bench.data / archive)]
    split = data + [f for name in HOLDOUT for f in ("--holdout", name)]

    def train_on_omniglot(name, run):
        return train(bench, name, run.trial() if is_trial else run, lambda: split, data=ARCHIVES, holdout=HOLDOUT)

    def before(run):
        return bench.results.get(key(run, data=ARCHIVES, holdout=HOLDOUT), unmeasured)

    runs = {name: partial(train_on_omniglot, name, run) for name, run in omniglot_runs().items()}
    kept = {name: partial(before, run) for name, run in runs_before().items()}
    return {**runs, **kept, **choices(bench, is_trial), "cost": lambda: cost(bench)}


def choices(bench, is_trial):
    """Short runs that never see the alphabets of the test, by name."""
    def flags():
        return [f for archive in ARCHIVES for f in ("--data", without_test(bench, archive))] \
            + [f for name in VALIDATION for f in ("--holdout", name)]

    def one(name, more):
        run = Run(cnn("all", SMALL, *more, "--lr", 2e-3, steps=CHOICE_STEPS), episodes=CHOICE_EPISODES,
                  flags=["--test-settings", "20x1", "--test-related"])
        return train(bench, f"choice-{list(CHOICES).index(name)}", run.trial() if is_trial else run, flags,
                     data=ARCHIVES, holdout=VALIDATION, without=HOLDOUT)

    return {name: partial(one, name, more) for name, more in CHOICES.items()}


def without_test(bench, archive):
    """An archive without the alphabets of the test."""
    path = bench.work / f"validation-{archive}"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        with zipfile.ZipFile(bench.data / archive) as whole, zipfile.ZipFile(unfinished, "w") as part:
            for item in whole.infolist():
                if not set(HOLDOUT) & set(Path(item.filename).parts):
                    part.writestr(item, whole.read(item))
        unfinished.rename(path)
    return path


def unmeasured():
    raise Unmeasured


def measure(bench, is_trial=False):
    """Every part by name; where measuring is not asked for, those that were measured before."""
    found = {}
    for name, part in measures(bench, is_trial).items():
        try:
            found[name] = part()
        except Unmeasured:
            pass
    return found


def train(bench, name, run, flags, **more):
    """What `patchtool meta-train --json` says at the end, without the learning curve. `flags` gives the images."""
    return bench.results.get(key(run, **more), lambda: train_now(bench, name, run, [*flags(), *run.training, *methods(run), *run.flags]))


def key(run, **more):
    return {"what": "meta-train", "training": run.training, "episodes": run.episodes, "flags": methods(run) + run.flags, **more}


def methods(run):
    return [f for method in run.methods for f in ("--methods", method)]


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
    rows = {(row["ways"], row["shots"], row["method"], row.get("unlabelled", 0)): row["accuracy"]
            for row in result["test"] if not row.get("folder")}
    return [interval(rows[(*setting, method, unlabelled)]) for setting in settings]


def alphabets(result, names=HOLDOUT):
    """Accuracies of one run on one-shot episodes within each alphabet, of as many ways as it has, up to 20; their mean error."""
    within = [row["accuracy"] for name in names for row in result["test"]
              if row.get("folder") == name and row["shots"] == 1 and row["ways"] > 5]
    if not within:
        return ["", "", ""]
    mean = sum(accuracy["mean"] for accuracy in within) / len(within)
    return [*map(interval, within), f"{100 * (1 - mean):.1f}"]


def headings(settings):
    return [f"{ways}-way {shots}-shot" for ways, shots in settings]


def render(found):
    """The section of RESULTS.md."""
    rows = [[f"{channels} channels, {text}{suffix}", *cells(result, SETTINGS, "generated"), *alphabets(result),
             f"{result['seconds'] / 60:.0f}", kilobytes(result["bytes"])]
            for channels in CHANNELS for before, suffix in KINDS.items() for generates, text in NAMES_OF.items()
            for result in [found.get(f"{before}{generates}-{channels}")] if result]
    if not rows:
        return []
    parts = ["## Few-shot: HyperTransformer\n",
             f"Omniglot's two small sets: six alphabets (183 characters) are trained on, {' and '.join(HOLDOUT)} (59 characters) are "
             f"never seen. {STEPS:,} steps of four episodes, which are 5-way 1-shot, 5-way 5-shot and 20-way 1-shot in turn; "
             "one generator serves all. Classes are also rotated and mirrored, drawings distorted a "
             f"little. The last convolution has {FEATURES} outputs, the head is class means. ProtoNet is the same network with weights "
             "that stay, trained alike. Before, a step was one episode of drawings as they are, rotated by quarters, all convolutions "
             f"had as many outputs, and the generator made the head; {BEFORE_STEPS:,} steps. Accuracy in per cent over {EPISODES:,} "
             "episodes of disjoint support and query images, with its 95 % interval: of characters of both alphabets mixed, then of "
             f"one alphabet at a time, 20-way 1-shot of {HOLDOUT[0]} (42 characters) and 17-way of {HOLDOUT[1]}, which has no more; "
             "error is the mean of the two. With five alphabets to train on and others to test, 30.1 % is published for ProtoNet, 23.2 "
             "for a convolutional network, 4.2 for Bayesian program learning (20-way). Batch norm has the statistics of the support "
             "set, in training and on the device. Two cores, beside other work.\n",
             table(["network", *headings(SETTINGS), *HOLDOUT, "error", "minutes", "generator kB"], rows),
             "A generator of heads for the embedding of a backbone that exists was 5 to 11 points worse than class means (hand signs, "
             "5- and 10-way) and was taken out.\n"]
    return parts + chosen(found) + unlabelled(found) + after_one_another(found) + costs(found)


def chosen(found):
    rows = [[name, *cells(found[name], [(20, 1)], "generated"), *alphabets(found[name], VALIDATION)] for name in CHOICES if name in found]
    if not rows:
        return []
    return ["### Choices\n",
            f"What {' and '.join(VALIDATION)} chose, which are held out here; {' and '.join(HOLDOUT)} are left out altogether. {SMALL} "
            f"channels, {CHOICE_STEPS:,} steps, {CHOICE_EPISODES:,} episodes of 20-way 1-shot, mixed and within each alphabet.\n",
            table(["training", "20-way 1-shot", *VALIDATION, "error"], rows)]


def unlabelled(found):
    if "unlabelled" not in found:
        return []
    names = {("labelled", 0): "trained without, none", ("unlabelled", 0): "none",
             ("unlabelled", UNLABELLED): f"{UNLABELLED} of each class"}
    rows = [[text, *cells(found[name], SETTINGS, "generated", count)]
            for (name, count), text in names.items() if name in found]
    return ["### Unlabelled images\n",
            f"As before in the first table, {SMALL} channels, {UNLABELLED_STEPS:,} steps, trained with {UNLABELLED} images of each class in the support "
            "set without their labels (`--unlabelled`), and tested with and without them.\n",
            table(["unlabelled images", *headings(SETTINGS)], rows)]


NAMES = {  # what was trained, and how it goes on; merged rows are no continual learning, but what that is measured by
    ("tasks", "continual"): "Continual HyperTransformer",
    ("tasks", "naive"): "the same, without the weights before",
    ("tasks", "merged"): "the same, from all images so far at once",
    ("mini-batches", "continual"): "Continual HyperTransformer, trained on mini-batches",
    ("mini-batches", "naive"): "the same, without the weights before",
    ("mini-batches", "merged"): "the same, from all images so far at once",
    ("naive", "naive"): "naive: HyperTransformer as before, anew for each task",
    ("naive", "merged"): "HyperTransformer as before, from all images so far at once",
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
