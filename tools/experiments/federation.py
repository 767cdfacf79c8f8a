"""Clients that teach each other: what results.py measures of `patchtool federate`, and its section of RESULTS.md."""

import statistics
import sys

from tests.parity import models
from tests.parity.common import REPOSITORY
from tools.experiments import agents
from tools.experiments.markdown import table
from tools.experiments.measured import Unmeasured

DEMO = REPOSITORY / "tools" / "assets" / "demo" / "demo.backbone"
CLIENTS = 5
HEADS = 3
SEEDS = [1, 2, 3]  # of the methods that claims are about; liars and several backbones have the first alone
SEVERAL = ["isolated", "complete graph, all asked", "complete graph, one asked, as in the paper", "ring", "averaged patches (FedAvg)", "pooled"]
COMMON = ["--clients", CLIENTS, "--public", 0.1, "--augment", "crop", "--resolution", 32, "--lr", 0.003]
MIXED = "mixed"  # of the clients, every other has the other backbone
TRIAL = ["--limit", 500, "--rounds", 2]
WHOLE = ["--limit", 5_000, "--rounds", 40]
METHODS = {  # by skew: what differs
    "100": {
        "isolated": ["--method", "isolated"],
        "complete graph, all asked": ["--heads", HEADS],
        "complete graph, one asked, as in the paper": ["--heads", HEADS, "--asked", 1],
        "ring": ["--heads", HEADS, "--topology", "ring"],
        "a sure liar, by probability": ["--heads", HEADS, "--lie", "sure", "--trust", "probability"],
        "a sure liar, by rank": ["--heads", HEADS, "--lie", "sure"],
        "a liar that reads the others, by rank": ["--heads", HEADS, "--lie", "informed"],
        "averaged patches (FedAvg)": ["--method", "average"],
        "pooled": ["--method", "pooled"],
        "MobileNetV2 and MobileNetV1 by turns, isolated": [MIXED, "--method", "isolated"],
        "MobileNetV2 and MobileNetV1 by turns, all asked": [MIXED, "--heads", HEADS],
    },
    "inf": {
        "isolated": ["--method", "isolated"],
        "complete graph, all asked": ["--heads", HEADS],
        "complete graph, one asked, as in the paper": ["--heads", HEADS, "--asked", 1],
        "ring": ["--heads", HEADS, "--topology", "ring"],
        "averaged patches (FedAvg)": ["--method", "average"],
    },
}


def measure(bench, is_trial=False):
    """{skew: {name: reports by seed}}, and the agents' figures; where measuring is not asked for, what was measured before."""
    found = {}
    for skew, methods in METHODS.items():
        for name, flags in methods.items():
            for seed in SEEDS if name in SEVERAL and not is_trial else SEEDS[:1]:
                flags_of_run = [*COMMON, "--seed", seed, *(TRIAL if is_trial else WHOLE), "--skew", skew, *flags]
                try:
                    report = bench.results.get({"what": "federation", "flags": flags_of_run}, lambda: measure_now(bench, flags_of_run))
                    found.setdefault(skew, {}).setdefault(name, []).append(report)
                except Unmeasured:
                    pass
    try:
        key = {"what": "agents", "learning": agents.LEARNING, "images": agents.IMAGES, "delayed": agents.DELAYED, "trial": is_trial}
        found["agents"] = bench.results.get(key, lambda: agents.measure(bench, DEMO, 500 if is_trial else agents.IMAGES))
    except Unmeasured:
        pass
    return found


def other_backbone(bench):
    """A MobileNetV1 of the demo's input, which has learned some of CIFAR-10, as the demo's backbone has all of it."""
    made = bench.work / "mobilenet-v1.backbone"
    if made.exists():
        return made
    untrained, trained, onnx = (bench.work / f"mobilenet-v1-{name}" for name in ("untrained.backbone", "trained.safetensors", "trained.onnx"))
    pixels = ["--resolution", 48, "--mean", 127, "--std", 64, "--resize", "stretch:bicubic", "--max-classes", 64, "--force"]
    bench.patchtool("import", models.build("mobilenet-v1", bench.work, 48, 0.35), "-o", untrained, *pixels)
    bench.patchtool("train", "--backbone", untrained, "--data", bench.archive("cifar10", "train"), "--limit", 10_000, "--kind", "full",
                    "--batch-norm", "batch", "--epochs", 12, "--lr", 0.003, "--scale-lr-multiplier", 1, "--augment", "crop,flip", "-o", trained, "--force")
    bench.patchtool("export", trained, "--backbone", untrained, "--onnx", onnx, "--force")
    bench.patchtool("import", onnx, "-o", made, *pixels)
    return made


def measure_now(bench, flags):
    print("federate", *flags, file=sys.stderr, flush=True)
    others = ["--backbone", other_backbone(bench)] if MIXED in flags else []
    flags = [*others, *(flag for flag in flags if flag != MIXED)]
    return bench.patchtool("federate", "--backbone", DEMO, "--data", bench.archive("fashion", "train"),
                           "--test", bench.archive("fashion", "test"), *flags)


def render(found):
    """The section of RESULTS.md."""
    of_agents = found.get("agents")
    found = {skew: reports for skew, reports in found.items() if skew in METHODS}
    if not found:
        return []
    all_reports = [report for methods in found.values() for reports in methods.values() for report in reports]
    sent = sorted({report["bytes_per_round"] for report in all_reports} - {0})
    parts = ["## Clients that teach each other\n",
             f"Multi-headed distillation (`patchtool federate`) on Fashion-MNIST, the demo's backbone, `bn+head`: {WHOLE[1]:,} images "
             f"for {CLIENTS} clients with two main classes each, a tenth of them public and without labels, {WHOLE[3]} rounds. "
             f"Accuracy in per cent, mean over the clients, on the {10_000:,} test images, measured once: *private* weighs classes "
             "as a client sees them, *shared* all alike. ± is the standard deviation of seeds "
             f"{', '.join(map(str, SEEDS))}, which divide the images, too; without it a figure is of seed {SEEDS[0]} alone. "
             "The main head learns private labels alone, head k from the neighbours' heads "
             "k - 1, of all or of one that is drawn for each image and round. In a round every client takes as many steps; pooled is one client "
             "with the images of all. With a liar, who says a class at random of every public image, the mean is over the other four. "
             "Settings were chosen on other images of the training set. Averaging sends patches, "
             f"distillation {' or '.join(f'{count:,} bytes' for count in sent) or 'nothing'} from each client in each round "
             f"({all_reports[0]['public_images']:,} public images).\n"]
    for skew, methods in found.items():
        counts = [client["images"] for client in methods["isolated"][0]["clients"]]
        title = "disjoint classes" if skew == "inf" else f"skew {skew}"
        parts.append(f"### {title}\nImages by class, seed {SEEDS[0]}: " + "; ".join(" ".join(map(str, of_client)) for of_client in counts) + ".\n")
        heads = range(HEADS + 1)
        header = ["", *(f"private, head {head}" for head in heads), *(f"shared, head {head}" for head in heads)]
        rows = [[name, *(cell(reports, of, head) for of in ("private", "shared") for head in heads)] for name, reports in methods.items()]
        parts.append(table(header, rows))
    return parts + (agents.render(of_agents) if of_agents else [])


def cell(reports, of, head):
    """The mean of a head's accuracies by seed, in per cent, and how much seeds differ."""
    values = [100 * report[of][head] for report in reports if head < len(report[of])]
    if not values:
        return ""
    return f"{statistics.mean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")
