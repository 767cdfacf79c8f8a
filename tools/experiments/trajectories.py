"""Averages of a trajectory: what `train --average` is worth at learning rates that stay, and after one that falls."""

import statistics
import sys
from dataclasses import dataclass

from tools.experiments.markdown import percent, table
from tools.experiments.many import DEMO
from tools.experiments.measured import Unmeasured

BACKBONE = DEMO / "demo.backbone"
SIDE = 32  # pixels
TASKS = {  # images to train on, augmentation of kinds that have some
    "sign-digits": (None, "crop,color"),
    "fashion": (1_500, "crop,flip"),
}
EPOCHS = {"sign-digits": 10, "fashion": 8}  # of bn+head: about 400 steps
CONSTANT, COSINE = ("--schedule", "constant"), ("--schedule", "cosine")


@dataclass(frozen=True)
class Study:
    """The trainings of one kind."""
    epochs: dict
    rates: list
    averages: list
    after: str  # the average after a rate that fell
    seeds: int
    steps: str


STUDIES = {
    "head": Study(dict.fromkeys(TASKS, 100), [0.02, 0.06], ["two-point:1", "two-point:10", "two-point:100", "two-point:1000", "ema:0.98", "swa"],
                  "two-point:1000", 5, "about 4,000 steps: long enough to settle"),
    "bn+head": Study(EPOCHS, [0.002, 0.006], ["two-point:1", "two-point:10", "two-point:100", "ema:0.98", "swa"], "two-point:100", 2,
                     "about 400 steps: still learning at the end"),
}
LAST, HALF, FALLING = "last", "last, half the rate", "cosine"


def variants(study, rate):
    """{name: (rate, flags)} of the rows."""
    return {LAST: (rate, CONSTANT),
            **{name: (rate, (*CONSTANT, "--average", name)) for name in study.averages},
            HALF: (rate / 2, CONSTANT),
            FALLING: (rate, COSINE),
            f"cosine, {study.after}": (rate, (*COSINE, "--average", study.after))}


def measure(bench):
    """The averages, {kind: {task: {rate: {variant: [test accuracy of each seed]}}}}, and the probes of one seed of bn+head,
    {task: {rate: figures}}."""
    backbone = bench.patchtool("inspect", BACKBONE)["id"]
    probes = {}
    for task in TASKS:
        for rate in STUDIES["bn+head"].rates:
            key = {"what": "probe", "backbone": backbone, **settings("bn+head", task, rate, (*CONSTANT, "--probe"), 1)}
            try:
                probes.setdefault(task, {})[rate] = bench.results.get(key, lambda: probe_now(bench, key))
            except Unmeasured:
                pass
    return {"averages": {kind: measure_study(bench, backbone, kind) for kind in STUDIES},
            "probes": {task: rates for task, rates in probes.items() if rates}}


def settings(kind, task, rate, flags, seed):
    """All that decides a training."""
    limit, augment = TASKS[task]
    return {"kind": kind, "task": task, "limit": limit, "epochs": STUDIES[kind].epochs[task], "augment": augment, "side": SIDE,
            "rate": rate, "flags": flags, "seed": seed}


def measure_study(bench, backbone, kind):
    study = STUDIES[kind]
    found = {task: {rate: {name: [] for name in variants(study, rate)} for rate in study.rates} for task in TASKS}
    for rate in study.rates:
        for seed in range(1, study.seeds + 1):  # outside: a run that was cut off has something of everything
            for task in TASKS:
                for name, (own_rate, flags) in variants(study, rate).items():
                    key = {"what": "trajectory", "backbone": backbone, **settings(kind, task, own_rate, flags, seed)}
                    try:
                        accuracy = bench.results.get(key, lambda: train(bench, key)["best"]["test_accuracy"])
                    except Unmeasured:
                        continue
                    found[task][rate][name].append(accuracy)
    return found


def probe_now(bench, run):
    """Medians of `patchtool train --probe`, over the mini-batches and the epochs, and what is left in the first and the last epoch."""
    probe = train(bench, run)["probe"]
    left = [statistics.median(line["after"] / line["before"] for line in lines) for lines in (probe["steps"][0], probe["steps"][-1])]
    length = statistics.median(line["rate"] for lines in probe["steps"] for line in lines)
    return {**{name: probe[name] for name in ("path_r2", "step_r2", "after_long_step")}, "left": left, "rate": length}


def train(bench, run):
    """What `patchtool train` says of a training whose last values, or their average, are kept."""
    print(f"trajectory {run['kind']} {run['task']} {run['rate']} {' '.join(run['flags'])}, seed {run['seed']}", file=sys.stderr, flush=True)
    limit = ["--limit", run["limit"]] if run["limit"] else []
    return bench.patchtool(
        "train", "--backbone", BACKBONE, "--data", bench.archive(run["task"], "train"), "--test", bench.archive(run["task"], "test"),
        "--validation", 0, "--kind", run["kind"], "--resolution", run["side"], "--epochs", run["epochs"], "--augment", run["augment"],
        "--lr", run["rate"], "--seed", run["seed"], *run["flags"], *limit, "-o", bench.work / "trajectory.safetensors", "--force")


def render(found):
    """The section of RESULTS.md."""
    whole = {kind: {task: {rate: rows for rate, rows in rates.items() if all(rows.values())} for task, rates in tasks.items()}
             for kind, tasks in found["averages"].items()}
    if not any(rows for tasks in whole.values() for rows in tasks.values()):
        return []
    parts = ["## Averages of a trajectory\n",
             f"Patches of the demo's backbone at {SIDE} pixels, Adam, one epoch of warm-up, then a rate that stays "
             "(`--schedule constant`) or falls in a cosine to zero. No validation images: the values after the last step are tested, "
             "or their average (`train --average`; two-point:N is N steps apart or up to twice as many, ema:0.98 has 0.98 of itself left "
             "after a step, swa is over the last half to three quarters). Test accuracy in per cent, mean and standard deviation over the "
             "seeds, and the mean difference to the last values at the same rate, each seed against its own, with its 95 % interval from "
             "three seeds on. On a synthetic quadratic the same code agrees with the theory within 2 % for 1, 10, 100 and 1,000 steps, and "
             "two points that are far apart have 0.50 ± 0.02 of the last values' excess loss (`cargo test -p patchtool on_a_quadratic`).\n"]
    for kind, tasks in whole.items():
        for task, rates in tasks.items():
            for rate, rows in rates.items():
                seeds = min(map(len, rows.values()))
                limit, _ = TASKS[task]
                study = STUDIES[kind]
                parts.append(f"### {kind}, {task}, rate {rate:g}\n{f'{limit:,}' if limit else 'All'} images, {study.epochs[task]} epochs "
                             f"({study.steps}), {seeds} seed{'s' * (seeds > 1)}.\n")
                last = rows[LAST][:seeds]
                parts.append(table(["values", "accuracy %", "against the last, points"],
                                   [[name, percent(runs[:seeds]), "" if name == LAST else difference(runs, last)]
                                    for name, runs in rows.items()]))
    if found["probes"]:
        parts.append("### How quadratic mini-batches are\n"
                     "`train --probe` on these runs, one seed: R² of a quadratic in the distance travelled along the path of an epoch "
                     "(17 points), and along the direction of a gradient step of the mini-batch (9 points up to twice its best length), "
                     "and the share of the mini-batch's loss that the best length of that one step leaves. Medians over four fixed "
                     "mini-batches of 32 and all epochs. The loss has label smoothing, so that it cannot fall to zero.\n")
        parts.append(table(["task", "rate", "R² along the path", "R² along a step", "left after one long step, %", "after the first epoch",
                            "after the last", "length of that step, as a rate"],
                           [[task, f"{rate:g}", f"{probe['path_r2']:.3f}", f"{probe['step_r2']:.3f}", f"{100 * probe['after_long_step']:.0f}",
                             *(f"{100 * left:.0f}" for left in probe["left"]), f"{probe['rate']:.2g}"]
                            for task, rates in found["probes"].items() for rate, probe in rates.items()]))
    return parts


def difference(runs, others):
    """Mean difference of pairs in points, with its 95 % interval."""
    return paired([100 * (run - other) for run, other in zip(runs, others)])


# Student's t for a two-sided 95 % interval, by the number of pairs.
STUDENT = {3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}


def paired(differences):
    """Mean of some differences with its 95 % interval."""
    count = len(differences)
    mean = sum(differences) / count
    if count < 3:  # no interval to speak of
        return f"{mean:+.2f}"
    deviation = (sum((value - mean) ** 2 for value in differences) / (count - 1)) ** 0.5
    return f"{mean:+.2f} ± {STUDENT[count] * deviation / count ** 0.5:.2f}"
