"""Averages of a trajectory: what `train --average` is worth at learning rates that stay, and after one that falls."""

import sys

from tools.experiments.markdown import percent, table
from tools.experiments.many import DEMO
from tools.experiments.measured import Unmeasured

BACKBONE = DEMO / "demo.backbone"
SIDE = 32  # pixels
TASKS = {  # images to train on, epochs, augmentation: each about 400 steps
    "sign-digits": (None, 10, "crop,color"),
    "fashion": (1_500, 8, "crop,flip"),
}
RATES = [0.002, 0.006]
CONSTANT, COSINE = ("--schedule", "constant"), ("--schedule", "cosine")
AVERAGES = ["two-point:1", "two-point:10", "two-point:100", "ema:0.98", "swa"]
LAST, HALF, FALLING = "last", "last, half the rate", "cosine"
AFTER = "cosine, two-point:100"
SEEDS = 5


def variants(rate):
    """{name: (rate, flags)} of the rows."""
    return {LAST: (rate, CONSTANT),
            **{name: (rate, (*CONSTANT, "--average", name)) for name in AVERAGES},
            HALF: (rate / 2, CONSTANT),
            FALLING: (rate, COSINE),
            AFTER: (rate, (*COSINE, "--average", "two-point:100"))}


def measure(bench):
    """{task: {rate: {variant: [test accuracy of each seed]}}}"""
    backbone = bench.patchtool("inspect", BACKBONE)["id"]
    found = {task: {rate: {name: [] for name in variants(rate)} for rate in RATES} for task in TASKS}
    for seed in range(1, SEEDS + 1):  # outermost: a run that was cut off has something of everything
        for task, (limit, epochs, augment) in TASKS.items():
            for rate in RATES:
                for name, (own_rate, flags) in variants(rate).items():
                    settings = {"limit": limit, "epochs": epochs, "augment": augment, "side": SIDE, "rate": own_rate,
                                "flags": flags, "seed": seed}
                    key = {"what": "trajectory", "backbone": backbone, "task": task, **settings}
                    try:
                        accuracy = bench.results.get(key, lambda: measure_now(bench, task, settings))
                    except Unmeasured:
                        continue
                    found[task][rate][name].append(accuracy)
    return found if any(runs for rates in found.values() for rows in rates.values() for runs in rows.values()) else {}


def measure_now(bench, task, run):
    """The test accuracy of one training, whose last values, or their average, are kept."""
    print(f"trajectory {task} {run['rate']} {' '.join(run['flags'])}, seed {run['seed']}", file=sys.stderr, flush=True)
    limit = ["--limit", run["limit"]] if run["limit"] else []
    return bench.patchtool(
        "train", "--backbone", BACKBONE, "--data", bench.archive(task, "train"), "--test", bench.archive(task, "test"),
        "--validation", 0, "--kind", "bn+head", "--resolution", run["side"], "--epochs", run["epochs"], "--augment", run["augment"],
        "--lr", run["rate"], "--seed", run["seed"], *run["flags"], *limit, "-o", bench.work / "trajectory.safetensors",
        "--force")["best"]["test_accuracy"]


def render(found):
    """The section of RESULTS.md."""
    if not found:
        return []
    parts = ["## Averages of a trajectory\n",
             f"`bn+head` patches of the demo's backbone at {SIDE} pixels, Adam, one epoch of warm-up, then a rate that stays "
             "(`--schedule constant`) or falls in a cosine to zero; about 400 steps. No validation images: the values after the "
             "last step are tested, or their average (`train --average`; two-point:N is N steps apart, ema:0.98 has 0.98 of "
             "itself left after a step, swa is over the last half to three quarters). Test accuracy in per cent, mean and standard "
             "deviation over the seeds, and the mean difference to the last values at the same rate with its 95 % interval over "
             "the seeds, each against its own.\n"]
    for task, rates in found.items():
        for rate, rows in rates.items():
            seeds = min(map(len, rows.values()))
            if not seeds:
                continue
            limit, epochs, _ = TASKS[task]
            parts.append(f"### {task}, rate {rate:g}\n{f'{limit:,}' if limit else 'All'} images, {epochs} epochs, {seeds} seeds.\n")
            last = rows[LAST][:seeds]
            parts.append(table(["values", "accuracy %", "against the last, points"],
                               [[name, percent(runs[:seeds]), "" if name == LAST else difference(runs, last)]
                                for name, runs in rows.items()]))
    return parts


def difference(runs, others):
    """Mean difference of pairs in points, with its 95 % interval."""
    return paired([100 * (run - other) for run, other in zip(runs, others)])


# Student's t for a two-sided 95 % interval, by the number of pairs.
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}


def paired(differences):
    """Mean of some differences with its 95 % interval."""
    count = len(differences)
    mean = sum(differences) / count
    if count < 2:
        return f"{mean:+.2f}"
    deviation = (sum((value - mean) ** 2 for value in differences) / (count - 1)) ** 0.5
    return f"{mean:+.2f} ± {STUDENT[count] * deviation / count ** 0.5:.2f}"
