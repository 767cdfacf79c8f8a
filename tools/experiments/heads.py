"""Heads that learn without training: what results.py measures of them, and their section of RESULTS.md.

Few-shot episodes are `cargo run -p graft-meta --example heads -- measure`; the heads of all training images are
`patchtool generate`, beside `patchtool train --kind head`.
"""

import json
import subprocess
import sys
import time

from tests.parity.common import REPOSITORY
from tools.experiments.markdown import table
from tools.experiments.measured import Unmeasured

DEMO = REPOSITORY / "tools" / "assets" / "demo" / "demo.backbone"
EPISODES, TRIAL_EPISODES = 1024, 8
METHODS = {"means": "class means", "gd": "GD", "gd++": "GD++", "ridge": "ridge regression", "sgd": "SGD, 50 steps"}
SETS = {  # by name: what is asked of the example, beside the backbone
    "hand signs, EfficientNet-Lite0": ["5x1", "5x5", "5x20", "10x1", "10x5", "10x20"],
    "characters of Sanskrit and Tagalog, the demo's backbone": ["5x1", "5x5", "10x1", "10x5"],
}
ALL = ["gd", "gd++", "ridge"]  # from all training images
TRAINED = ["--kind", "head", "--epochs", "20"]


def measure(bench, is_trial=False):
    """What is there, or measured now, by name."""
    found = {}
    for name, run in [*((name, lambda name=name: few_shot(bench, name, is_trial)) for name in SETS), ("all", lambda: whole(bench))]:
        key = {"what": "heads", "name": name, "episodes": TRIAL_EPISODES if is_trial else EPISODES, "backbone": bench.id}
        try:
            found[name] = bench.results.get(key, run)
        except Unmeasured:
            pass
    return found


def few_shot(bench, name, is_trial):
    """Episodes of one set."""
    signs = [bench.archive("sign-digits", part) for part in ("train", "test")]
    drawings = [bench.data / f"omniglot-small{number}.zip" for number in (1, 2)]
    is_signs = name == next(iter(SETS))
    flags = ["--backbone", bench.backbone if is_signs else DEMO, "--episodes", TRIAL_EPISODES if is_trial else EPISODES]
    flags += [f for path in (signs if is_signs else drawings) for f in ("--data", path)]
    flags += [] if is_signs else ["--only", "Sanskrit", "--only", "Tagalog"]
    flags += [f for setting in SETS[name] for f in ("--settings", setting)]
    print("heads", name, file=sys.stderr, flush=True)
    command = ["cargo", "run", "--release", "--quiet", "-p", "graft-meta", "--example", "heads", "--", "measure"]
    run = subprocess.run([*command, *map(str, flags)], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
    return json.loads(run.stdout)


def whole(bench):
    """Accuracy and seconds of heads of all training images."""
    train, test = (bench.archive("sign-digits", part) for part in ("train", "test"))
    found = {}
    for method in ALL:
        patch, start = bench.work / f"heads-{method}.patch", time.monotonic()
        bench.patchtool("generate", "--method", method, "-b", bench.backbone, "--support", train, "-o", patch, "--force")
        seconds = time.monotonic() - start
        result = bench.patchtool("eval", "-b", bench.backbone, "-p", patch, "--data", test)
        found[method] = {"seconds": seconds, "accuracy": result["accuracy"], "count": result["count"]}
    trained, start = bench.work / "heads.safetensors", time.monotonic()
    report = bench.patchtool("train", "--backbone", bench.backbone, "--data", train, "--test", test, *TRAINED, "-o", trained, "--force")
    found["train"] = {"seconds": time.monotonic() - start, "accuracy": report["best"]["test_accuracy"]}
    return found


def render(found):
    """The section of RESULTS.md."""
    if not found:
        return []
    parts = ["## Heads that learn without training\n",
             f"Accuracy in per cent over {EPISODES:,} episodes of disjoint support and query images (5 a class), with its 95 % interval, "
             "seed 1. The steps of GD (3) and GD++ (2) were learned on episodes of CIFAR-10's test images and EfficientNet-Lite0, their "
             "number was chosen by Fashion-MNIST; lambda and the rate of SGD were not tuned. The same steps serve the demo's backbone.\n"]
    for name, settings in SETS.items():
        if name not in found:
            continue
        results = found[name]["settings"]
        rows = [[METHODS[method], *(f"{100 * one[method]['mean']:.1f} ± {100 * one[method]['interval']:.1f}" for one in results)]
                for method in METHODS]
        parts.append(f"### {name[0].upper()}{name[1:]}\n")
        parts.append(table(["head", *(one["setting"] for one in results)], rows))
    if "all" in found:
        rows = [[f"generate --method {method}", f"{100 * found['all'][method]['accuracy']:.2f}", f"{found['all'][method]['seconds']:.0f}"]
                for method in ALL]
        rows.append([f"train {' '.join(TRAINED)}", f"{100 * found['all']['train']['accuracy']:.2f}", f"{found['all']['train']['seconds']:.0f}"])
        parts += ["### From all training images\n", "Hand signs at the backbone's own resolution, one seed; seconds are those of the whole command.\n",
                  table(["command", "test accuracy %", "seconds"], rows)]
    return parts
