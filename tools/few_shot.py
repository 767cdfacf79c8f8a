"""HyperTransformers on Omniglot: what results.py measures of them, and its section of RESULTS.md.

Six alphabets are trained on, two are held out. Every run is one `patchtool meta-train`, which goes on
from its checkpoint where it was cut off.
"""

import sys
from pathlib import Path

import results_page

ARCHIVES = ["omniglot-small1.zip", "omniglot-small2.zip"]
HOLDOUT = ["Sanskrit", "Tagalog"]
STEPS = 12_000
CONTINUAL_STEPS = 6_000
CONTINUAL_TASKS = 5  # in training
TEST_TASKS = 8
CHANNELS = [4, 8, 16]
EPISODES = 1024
CONTINUAL_EPISODES = 256
CONTINUAL_CHANNELS = 8
# What is generated: methods that its support sets are learned by at the end.
GENERATES = {"prototypes": ["generated", "fine-tuned"], "head": ["generated", "prototypes"], "all": ["generated"]}
ROWS = {  # of the table: what was trained, how support sets are learned
    "ProtoNet": ("prototypes", "generated"),
    "ProtoNet, fine-tuned on the support set": ("prototypes", "fine-tuned"),
    "prototypes on the features of HT head": ("head", "prototypes"),
    "HT head": ("head", "generated"),
    "HT all": ("all", "generated"),
}


def measure(bench):
    """Runs of each size and kind, then the continual ones."""
    found = {}
    for channels in CHANNELS:
        for generates, methods in GENERATES.items():
            flags = ["--generates", generates, "--channels", channels, "--steps", STEPS]
            found[f"{generates}-{channels}"] = run(
                bench, f"{generates}-{channels}", flags, EPISODES, [f for name in methods for f in ("--methods", name)])
    task = ["--test-tasks", TEST_TASKS]
    continual = ["--generates", "all", "--channels", CONTINUAL_CHANNELS, "--continual", CONTINUAL_TASKS,
                 "--episodes", "5x1", "--queries", 2, "--steps", CONTINUAL_STEPS]
    found["continual"] = run(bench, "continual", continual, CONTINUAL_EPISODES, task)
    constant = ["--generates", "prototypes", "--channels", CONTINUAL_CHANNELS, "--steps", STEPS]
    found["constant"] = run(bench, "constant", constant, CONTINUAL_EPISODES, task + ["--methods", "generated"])
    return found


def run(bench, name, training, episodes, flags):
    """What `patchtool meta-train --json` says at the end, without the learning curve."""
    return bench.results.get({"what": "meta-train", "training": training, "episodes": episodes, "flags": flags},
                             lambda: run_now(bench, name, training, episodes, flags))


def run_now(bench, name, training, episodes, flags):
    print(f"meta-train {name}", file=sys.stderr, flush=True)
    output = bench.work / f"{name}.hyper"
    data = [f for archive in ARCHIVES for f in ("--data", bench.data / archive)]
    holdout = [f for alphabet in HOLDOUT for f in ("--holdout", alphabet)]
    resume = ["--resume"] if Path(f"{output}.checkpoint").exists() else []
    found = bench.patchtool("meta-train", *data, *holdout, *training, *flags, "--test-episodes", episodes,
                            "-o", output, "--force", *resume)
    found["bytes"] = output.stat().st_size
    found.pop("history")
    return found


def interval(accuracy):
    return f"{100 * accuracy['mean']:.1f} ± {100 * accuracy['interval']:.1f}"


def render(found):
    """The section of RESULTS.md."""
    alphabets = " and ".join(HOLDOUT)
    parts = ["## Few-shot: HyperTransformer\n",
             f"Omniglot's two small sets: six alphabets (183 characters, each in four rotations) are trained on, {alphabets} (59 "
             f"characters) are never seen. {STEPS:,} steps of one episode, which is 5-way 1-shot, 5-way 5-shot and 20-way 1-shot in "
             f"turn; one generator serves all three. Accuracy in per cent over {EPISODES:,} episodes of disjoint support and "
             "query images, with its 95 % interval. Batch norm has the statistics of the support set, in training and on the "
             "device. The paper trains 4,000,000 steps on 1,150 characters.\n"]
    settings = [(5, 1), (5, 5), (20, 1)]
    rows = []
    for channels in CHANNELS:
        for name, (generates, method) in ROWS.items():
            result = found.get(f"{generates}-{channels}")
            if result:
                cells = [next((interval(row["accuracy"]) for row in result["test"]
                               if (row["ways"], row["shots"], row["method"]) == (*setting, method)), "")
                         for setting in settings]
                rows.append([f"{channels} channels, {name}", *cells, f"{result['seconds'] / 60:.0f}",
                             results_page.kilobytes(result["bytes"])])
    header = ["network", *(f"{ways}-way {shots}-shot" for ways, shots in settings), "minutes", "generator kB"]
    parts.append(results_page.table(header, rows))
    return parts + continual(found)


def continual(found):
    rows, matrices = [], []
    names = {"continual": "Continual HyperTransformer", "naive": "naive: generated anew", "constant": "constant ProtoNet",
             "fine-tuned": "sequential fine-tuning"}
    for result in (found.get("continual"), found.get("constant")):
        for row in (result or {}).get("continual", []):
            matrix, name = row["matrix"], names[row["strategy"]]
            rows.append([f"{name}, {row['scenario']}-incremental", interval(matrix["mean"]),
                         interval(matrix["backward_transfer"])])
            if row["strategy"] in ("continual", "naive") and row["scenario"] == "task":
                lines = ["  ".join(f"{100 * share:5.1f}" for share in shares) for shares in matrix["accuracy"]]
                matrices.append(f"{name}, task-incremental: accuracy after each task (rows) on each task so far (columns):\n\n"
                                + "\n".join(f"    {line}" for line in lines) + "\n")
    if not rows:
        return []
    return ["### Continual learning\n",
            f"5-way 1-shot, {CONTINUAL_CHANNELS} channels, {CONTINUAL_TASKS} tasks in training ({CONTINUAL_STEPS:,} steps), "
            f"{TEST_TASKS} in the test, mean over {CONTINUAL_EPISODES} sequences: accuracy after the last task over all tasks, and "
            "what earlier tasks gained or lost since their own time. Prototypes keep the weights of their own time.\n",
            results_page.table(["method", "accuracy %", "backward transfer, points"], rows), *matrices]
