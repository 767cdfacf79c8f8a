"""Several tasks on one image: what a frame through so many patches costs, and what patches from a layer on are worth."""

import shutil
import statistics
import sys
from dataclasses import replace

from tests.parity import models
from tests.parity.common import REPOSITORY
from tools.experiments.markdown import percent, table
from tools.experiments.measured import Unmeasured

DEMO = REPOSITORY / "tools" / "assets" / "demo"
PHOTOS = DEMO / "fashion-test.tar"
COUNTS = [1, 2, 5, 10, 50]  # patches
NETWORKS = {"MobileNetV2, 224 px": "mobilenet-v2-folded", "demo, 48 px": None}
DTYPES = ["f32", "int8"]
SHARES = {"head only": None, "from three quarters": 0.75, "from half": 0.5, "all": 0}  # of the layers, that are not trained
KINDS = {"head only": "head", "from three quarters": "bn+head", "from half": "bn+head", "all": "bn+head"}


def first_layer(layers, variant):
    """The flags of `patchtool train` for a variant of a backbone of so many layers."""
    share = SHARES[variant]
    return ["--from-layer", int(share * layers)] if share else []


def measure_accuracy(bench, tasks, seeds):
    """{task: {variant: [result of each seed]}}"""
    layers = bench.patchtool("inspect", bench.backbone)["layers"]
    found = {name: {} for name in tasks}
    for seed in seeds:  # outermost: a run that was cut off has something of everything
        for name, task in tasks.items():
            for variant, kind in KINDS.items():
                run = replace(task, kind=kind, rate=3e-3 if kind == "head" else task.rate, seed=seed)
                try:
                    result = bench.train(run, *first_layer(layers, variant))
                except Unmeasured:
                    continue
                found[name].setdefault(variant, []).append(result)
    return {name: variants for name, variants in found.items() if variants}


def measure_latency(bench):
    """{network: {dtype: {variant: {patches: figures}}}}"""
    return {network: {dtype: {variant: bench.results.get(
        {"what": "many", "network": network, "dtype": dtype, "variant": variant, "counts": COUNTS},
        lambda: measure_variant(bench, network, dtype, variant)) for variant in SHARES}
        for dtype in DTYPES} for network in NETWORKS}


def measure_variant(bench, network, dtype, variant):
    """What `patchtool bench` says of 1, 2, ... patches, each a file of its own."""
    print(f"many {network} {dtype} {variant}", file=sys.stderr, flush=True)
    folder = bench.work / "many" / network.split(",")[0] / variant.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    backbones = make_backbones(bench, network, folder.parent)
    made = make_patches(bench, backbones, dtype, variant, folder)
    found = {}
    for count in COUNTS:
        patches = folder / f"{dtype}-{count}"
        shutil.rmtree(patches, ignore_errors=True)
        patches.mkdir()
        for number in range(count):  # files of their own have memory of their own, as patches of so many tasks have
            shutil.copy(made[number % len(made)], patches / f"{number:02}.patch")
        timed = bench.patchtool("bench", "--backbone", backbones[dtype], "--patch", patches, "--threads", 1)
        shutil.rmtree(patches)
        if count == 1:
            found[count] = {"ms": timed["latency_ms"]["median"]}
            continue
        figures = {"ms": timed["many_ms"], "separate_ms": timed["separate_ms"], "shared_layers": timed["shared_layers"]}
        found[count] = {name: figures[str(count)] for name, figures in figures.items()}
        found[count]["one_ms"] = timed["many_ms"]["1"]
    return found


def make_backbones(bench, network, folder):
    """The backbone in f32 and in int8. Latency does not depend on the weights, which are random but for the demo's."""
    found = {dtype: folder / f"{dtype}.backbone" for dtype in DTYPES}
    if not found["int8"].exists():
        if NETWORKS[network]:
            bench.patchtool.import_onnx(models.build(NETWORKS[network], folder, 224), found["f32"], "127", "128")
        else:
            shutil.copy(DEMO / "demo.backbone", found["f32"])
        bench.patchtool("quantize", found["f32"], "--calibrate", PHOTOS, "--calibration-images", 16, "-o", found["int8"])
    return found


def make_patches(bench, backbones, dtype, variant, folder):
    """Two patches that differ in all that the variant trains."""
    layers = bench.patchtool("inspect", backbones["f32"])["layers"]
    patches = []
    for seed in (1, 2):
        trained, patch = folder / f"{seed}.safetensors", folder / f"{seed}-{dtype}.patch"
        if not trained.exists():  # in a few steps: the first one changes the head alone, which starts at zero
            bench.patchtool("train", "--backbone", backbones["f32"], "--data", PHOTOS, "--limit", 20, "--batch", 10, "--epochs", 2, "--warmup", 0,
                            "--kind", KINDS[variant], "--seed", seed, "-o", trained, *first_layer(layers, variant))
        calibrate = ["--calibrate", PHOTOS, "--calibration-images", 16] if dtype == "int8" else []
        bench.patchtool("export", trained, "--backbone", backbones[dtype], "-o", patch, "--force", *calibrate)
        patches.append(patch)
    return patches


def render_accuracy(found):
    """The section of RESULTS.md."""
    parts = ["## From a layer on\n",
             "`bn+head` patches that leave the first layers to the backbone (`patchtool train --from-layer`, half and three "
             "quarters of the layers), so that several tasks on one image share them: test accuracy in per cent, mean and "
             "standard deviation over the seeds, of the epoch that a tenth of the training images chose. "
             "Shorter runs than those under Accuracy, on one core beside other work: seconds and milliseconds a step are at most these.\n"]
    for name, variants in found.items():
        any_result = next(iter(variants.values()))[0]
        parts.append(f"### {name}\n{any_result['images']:,} images to train on, {any_result['test_images']:,} to test, "
                     f"{any_result['epochs']} epochs.\n")
        parts.append(table(["trained", "first layer", "seeds", "accuracy %", "trained values", "seconds", "ms a step"], [
            [variant, results[0].get("from_layer", 0) if variant != "head only" else "the last", len(results),
             percent([result["best"]["test_accuracy"] for result in results]), f"{results[0]['trainable_params']:,}",
             f"{statistics.mean(result['seconds'] for result in results):.0f}",
             f"{statistics.mean(result['step_ms']['median'] for result in results):.1f}"]
            for variant, results in variants.items()]))
    return parts


def render_latency(found):
    """The section of RESULTS.md."""
    parts = ["## Several tasks on one image\n",
             "Milliseconds for one image through so many patches (`Session::run_many`), one thread, and in brackets through each "
             "in a run of its own; medians of `patchtool bench`. Patches differ from the given layer on (of three quarters and "
             "half of all layers); those of all layers share nothing. `10 : 1` is 10 patches against one, measured by turns in one "
             "process; the column of one patch is of another. Other programs ran meanwhile; variants that they disturbed were "
             "measured again.\n"]
    for network, dtypes in found.items():
        rows = []
        for dtype, variants in dtypes.items():
            for variant, counts in variants.items():
                counts = {int(count): figures for count, figures in counts.items()}
                times = [f"{figures['ms']:.2f} ({figures['separate_ms']:.2f})" if count > 1 else f"{figures['ms']:.2f}"
                         for count, figures in counts.items()]
                rows.append([f"{dtype}, {variant}", *times, f"{counts[10]['ms'] / counts[10]['one_ms']:.2f}",
                             counts[10]["shared_layers"]])
        parts += [f"### {network}\n", table(["patches", *map(str, COUNTS), "10 : 1", "layers shared"], rows)]
    return parts
