"""Heads that learn without training: what results.py measures of them, and their section of RESULTS.md.

Few-shot episodes are `cargo run -p graft-meta --example heads -- measure`; the heads of all training images are
`patchtool generate`, beside `patchtool train --kind head`.
"""

import hashlib
import json
import subprocess
import sys
import time

from tests.parity.common import REPOSITORY
from tools.experiments.markdown import table
from tools.experiments.measured import Unmeasured

DEMO = REPOSITORY / "tools" / "assets" / "demo" / "demo.backbone"
EPISODES, TRIAL_EPISODES = 1024, 8
# What decides the figures beside the backbone: the runtime's own recipes, those of the demo's backbone, and that backbone.
RECIPES = [REPOSITORY / "runtime" / "src" / "head_learner" / "defaults.rs", *sorted((DEMO.parent / "recipes").glob("*.json")), DEMO]
METHODS = {"gd": "GD", "gd++": "GD++", "ridge": "ridge regression", "sgd": "SGD"}
SIGNS = ["sign-digits-train.tar", "sign-digits-test.tar"]
DRAWINGS = ["omniglot-small1.zip", "omniglot-small2.zip"]
HELD_OUT = ["--only", "Sanskrit", "--only", "Tagalog"]
SHOTS = {"photographs": ["5x1", "5x5", "5x20", "10x1", "10x5", "10x20"], "drawings": ["5x1", "5x5", "10x1", "10x5"]}
SETS = {  # by name: archives, flags, settings
    "hand signs, EfficientNet-Lite0": (SIGNS, [], SHOTS["photographs"]),
    "characters of Sanskrit and Tagalog, the demo's backbone, the same recipes": (DRAWINGS, HELD_OUT, SHOTS["drawings"]),
    "characters of Sanskrit and Tagalog, the demo's backbone, recipes of its own": (DRAWINGS, HELD_OUT, SHOTS["drawings"]),
}
ALL = ["gd", "gd++", "ridge"]  # from all training images
TRAINED = ["--kind", "head", "--epochs", "20"]


def measure(bench, is_trial=False):
    """What is there, or measured now, by name."""
    found = {}
    for name, run in [*((name, lambda name=name: few_shot(bench, name, is_trial)) for name in SETS), ("all", lambda: whole(bench))]:
        key = {"what": "heads", "name": name, "episodes": TRIAL_EPISODES if is_trial else EPISODES, "backbone": bench.id,
               "recipes": hashlib.sha256(b"".join(path.read_bytes() for path in RECIPES)).hexdigest()}
        try:
            found[name] = bench.results.get(key, run)
        except Unmeasured:
            pass
    return found


def few_shot(bench, name, is_trial):
    """Episodes of one set."""
    archives, flags, settings = SETS[name]
    is_demo, has_own = "demo" in name, "own" in name
    flags = [*flags, "--backbone", DEMO if is_demo else bench.backbone, "--episodes", TRIAL_EPISODES if is_trial else EPISODES]
    flags += [f for archive in archives for f in ("--data", bench.data / archive)]
    flags += [f for setting in settings for f in ("--settings", setting)]
    flags += ["--recipes", DEMO.parent / "recipes"] if has_own else []
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
             f"Accuracy in per cent over {EPISODES:,} episodes of disjoint support and query images (5 a class) with its 95 % interval, "
             "seed 1, and in brackets by how much it is above class means, episode by episode. Recipes were learned on episodes of "
             "CIFAR-10's test images and of characters of five alphabets (`cargo run -p graft-meta --example heads -- learn`); numbers of "
             "steps (three at most), lambda, and steps and rate of SGD were chosen by episodes of Fashion-MNIST, and for EfficientNet-Lite0 "
             "of characters of five alphabets, too: Greek and Latin are in both fives; Sanskrit and Tagalog had a part in the choice of "
             "steps for the second table, by the embeddings of another backbone. No image of the other tables had one.\n"]
    for name in SETS:
        if name not in found:
            continue
        results = found[name]["settings"]
        rows = [["class means", *(percent(one["means"]) for one in results)]]
        rows += [[title, *(f"{percent(one[method]['accuracy'])} ({signed(one[method]['gain'])})" for one in results)]
                 for method, title in METHODS.items()]
        parts.append(f"### {name[0].upper()}{name[1:]}\n")
        parts.append(table(["head", *(one["setting"] for one in results)], rows))
    if "all" in found:
        rows = [[f"generate --method {method}", f"{100 * found['all'][method]['accuracy']:.2f}", f"{found['all'][method]['seconds']:.0f}"]
                for method in ALL]
        rows.append([f"train {' '.join(TRAINED)}", f"{100 * found['all']['train']['accuracy']:.2f}", f"{found['all']['train']['seconds']:.0f}"])
        parts += ["### From all training images\n", "Hand signs at the backbone's own resolution, one seed; seconds are those of the whole command.\n",
                  table(["command", "test accuracy %", "seconds"], rows)]
    return parts


def percent(accuracy):
    """A mean and its interval."""
    return f"{100 * accuracy['mean']:.1f} ± {100 * accuracy['interval']:.1f}"


def signed(accuracy):
    """A difference and its interval."""
    return f"{100 * accuracy['mean']:+.1f} ± {100 * accuracy['interval']:.1f}"
