"""Linear self-attention that learns in its context: what results.py measures of it, and its section of RESULTS.md.

Every run is one `cargo run -p graft-meta --example lsa`: regression tasks of the paper, whose examples are its context.
"""

import json
import subprocess
import sys

from tests.parity.common import REPOSITORY
from tools.experiments.markdown import table
from tools.experiments.measured import Unmeasured

STEPS = {1: 5_000, 2: 5_000, 5: 20_000}  # of training, by how often the layer is applied
BATCHES = 50  # of 2,048 tasks to compare on
CONSTRUCTED = {  # by how often the layer is applied: rate and transformation of the constructed steps, which a search found
    1: [],
    2: ["--eta", 13.3, "--gamma", 0.173],
    5: ["--eta", 30.5, "--gamma", 0.2],
}
RATIOS = {1: 1.0, 2: 0.55, 5: 0.25}  # of the constructed steps' loss to that of one, on the tasks of the search
TRIAL_STEPS = 20


def measure(bench, is_trial=False):
    """What the example says, by depth; where measuring is not asked for, what was measured before."""
    found = {}
    for depth, constructed in CONSTRUCTED.items():
        flags = ["--depth", depth, "--steps", TRIAL_STEPS if is_trial else STEPS[depth], "--batches", BATCHES, *constructed]
        try:
            found[depth] = bench.results.get({"what": "lsa", "flags": flags}, lambda: measure_now(flags))
        except Unmeasured:
            pass
    return found


def measure_now(flags):
    print("lsa", *flags, file=sys.stderr, flush=True)
    command = ["cargo", "run", "--release", "--quiet", "-p", "graft-meta", "--example", "lsa", "--"]
    run = subprocess.run([*command, *map(str, flags)], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
    return json.loads(run.stdout)


def render(found):
    """The section of RESULTS.md."""
    if 1 not in found:
        return []
    one = found[1]["comparison"]
    rows = [[depth, f"{STEPS[depth]:,}", f"{own['trained']:.4f}", f"{own['constructed']:.4f}", f"{own['trained'] / one['trained']:.3f}", f"{RATIOS[depth]:.2f}",
             f"{own['cosine']:.4f}", f"{own['prediction_distance']:.4f}", f"{result['seconds'] / 60:.0f}"]
            for depth, result in found.items() for own in [result["comparison"]]]
    return ["## In-context learning: linear self-attention\n",
            "One layer of linear self-attention, applied once or several times, trained on regression tasks of ten examples "
            "(inputs of ten uniform numbers from -0.5 to 0.5, a normal linear function, W0 = 0), steps of 2,048 new tasks: "
            "the setting of von Oswald et al. 2023. Losses are half of the mean squared error of a query, over "
            f"{one['tasks']:,} tasks; one step of gradient descent at the best rate has {found[1]['best_step_loss']:.4f} in closed "
            "form. Constructed layers are steps of gradient descent, of GD++ from two on, with the best shared step sizes of a "
            "search. Cosine is that of the weights that trained and constructed layers apply to a query.\n",
            table(["layers", "steps of training", "trained", "constructed", "trained, of one step", "expected", "cosine", "distance of predictions",
                   "minutes"], rows)]
