"""RESULTS.md, written from what was measured; measures nothing."""

import os
import statistics

from tests.peers.latency import describe_cpu
from tools.experiments import federation, few_shot, heads, lsa, many, memory, simultaneous, trajectories, unlearning
from tools.experiments.markdown import kilobytes, percent, table

PARITY_COMMANDS = {
    "parity": "python -m tests.parity.compare --json parity.json",
    "export": "python -m tests.parity.export --json export.json",
    "gradients": "python -m tests.parity.gradients --json gradients.json",
    "gradients-fixed": "python -m tests.parity.gradients --fixed --json gradients-fixed.json",
    "latency": "python -m tests.peers.latency --models-dir models --json latency.json",
    "int8": "python -m tests.peers.int8 --latency --accuracy --json int8.json",
    "training": "python -m tests.peers.training --json training.json",
}


def is_validated(result):
    """Whether validation images chose the epoch of a training. Before there were any, the test images did."""
    return "validation_accuracy" in result["best"]


def accuracies(results):
    """Test accuracies of the seeds of one kind: of the epoch that validation images chose, or of the last one. The test
    images chose neither."""
    return [(result["best"] if is_validated(result) else result["last"])["test_accuracy"] for result in results]


def epoch(results):
    """The epoch that the accuracies of one kind are of."""
    return " or ".join(sorted({"validation" if is_validated(result) else "last" for result in results}))


def unvalidated(rows):
    """A sentence on figures of patches whose epoch the test images chose; `rows` are (task, figures)."""
    tasks = sorted({task for task, figures in rows if "chosen_by" not in figures})
    if not tasks:
        return []
    return [f"The patches of {', '.join(tasks)} were made before there was validation: they are of the epoch that was best "
            "on the test images, which flatters their accuracy here. The tables under Accuracy do not.\n"]


def gap_closed(kinds):
    """(bn+head - head) / (full - head), of the means; None where full is no better than head."""
    if not {"head", "bn+head", "full"} <= kinds.keys():
        return None
    head, patch, full = (statistics.mean(accuracies(kinds[kind])) for kind in ("head", "bn+head", "full"))
    return (patch - head) / (full - head) if full > head else None


def accuracy(tasks, sizes):
    parts = ["## Accuracy\n",
             "Test accuracy in per cent, mean and standard deviation over the seeds, of an epoch that the test images did "
             "not choose: `validation` is the best on a tenth of the training images, which is held back for that; `last` is "
             "the last epoch of a run that was made before there was validation, and learned from all of them. `full` trains everything and is no patch. `random+head` is the control: "
             "as many values as `bn+head` has, but weights of the network chosen at random. Batch norm is trained in "
             "frozen mode, on the backbone's own mean and variance; the last row is `bn+head` in batch mode "
             "(`--batch-norm batch`), whose running means go into the patch.\n"]
    for name, kinds in tasks.items():
        any_result = next(iter(kinds.values()))[0]
        parts.append(f"### {name}\n{any_result['images']:,} images to train on, {any_result['test_images']:,} to test.\n")
        header = ["kind", "seeds", "accuracy %", "epoch", "trained values", "patch kB", "seconds", "ms a step"]
        parts.append(table(header, [
            [f"`{kind}`", len(results), percent(accuracies(results)), epoch(results),
             f"{results[0]['trainable_params']:,}",
             kilobytes(sizes[name][kind]["f32"]["bytes"]) if kind in sizes.get(name, {}) else "",
             f"{statistics.mean(result['seconds'] for result in results):.0f}",
             f"{statistics.mean(result['step_ms']['median'] for result in results):.1f}"]
            for kind, results in kinds.items()]))
        gap = gap_closed(kinds)
        if gap is not None:
            parts.append(f"Of the gap between `head` and `full`, `bn+head` closes {100 * gap:.0f} %.\n")
    return parts


def resolution(task, rows):
    if not rows:
        return []
    largest = max(row["resolution"] for row in rows)
    return ["## Resolution\n",
            f"The same frozen weights at several resolutions on {task}, seed 1: a `bn+head` patch trained at each, against "
            f"the one trained at {largest} pixels and used at all of them. Latency on one thread.\n",
            table(["pixels", "own patch %", f"patch of {largest} %", "latency ms"],
                  [[row["resolution"], percent([row["own"]["accuracy"]]), percent([row["one"]["accuracy"]]),
                    f"{row['own']['latency_ms']:.2f}"] for row in rows]),
            *unvalidated((task, row[which]) for row in rows for which in ("own", "one"))]


def sizes(tasks, backbone):
    rows = [[name, f"`{kind}`", kilobytes(row["f32"]["bytes"]), kilobytes(row["f16"]["bytes"]),
             f"{100 * row['f32']['bytes'] / backbone['bytes']:.2f}", percent([row["f32"]["accuracy"]]),
             percent([row["f16"]["accuracy"]])] for name, kinds in tasks.items() for kind, row in kinds.items()]
    return ["## Sizes\n",
            f"Patch files, in single and in half precision, beside a backbone of {kilobytes(backbone['bytes'])} kB. "
            "Accuracy of the exported patch in the runtime, seed 1.\n",
            table(["task", "kind", "kB", "kB in f16", "% of the backbone", "accuracy %", "accuracy in f16 %"], rows),
            *unvalidated((name, row[which]) for name, kinds in tasks.items() for row in kinds.values()
                         for which in ("f32", "f16"))]


def int8(found):
    full = found["f32"]
    row = lambda name, images, of: [name, images, percent([of["accuracy"]]), percent([of["top5"]]),
                                    "" if of["snr_db"] is None else f"{of['snr_db']:.1f}", kilobytes(of["bytes"]),
                                    kilobytes(of["arena_bytes"]), f"{of['latency_ms']:.2f}"]
    methods = [row(f"int8, `{' '.join(method['flags']) or 'default'}`", method["images"], method)
               for method in found["methods"]]
    patches = [[name, percent([pair["f32"]["accuracy"]]), percent([pair["int8"]["accuracy"]]),
                percent([pair["int8 f16"]["accuracy"]]), f"{pair['int8']['snr_db']:.1f}",
                *(kilobytes(pair[kind]["bytes"]) for kind in ("f32", "int8", "int8 f16")),
                f"{pair['f32']['latency_ms']:.2f}", f"{pair['int8']['latency_ms']:.2f}"]
               for name, pair in found["patches"].items()]
    return ["## int8\n",
            f"The backbone on {full['count']} images of ImageNet, one a class for every second class, in f32 and as "
            "`patchtool quantize` makes it by each method (`percentile:99.999` is the default), calibrated on the given "
            "number of these images, without their labels; one image is 0.2 points. SNR: signal to noise of the scores against f32. Latency on one thread.\n",
            table(["backbone", "calibrated on", "top-1 %", "top-5 %", "SNR dB", "kB", "activations kB", "ms"],
                  [row("f32", "", full), *methods]),
            "`bn+head` patches, seed 1, exported for the f32 and for the int8 backbone (default method, 200 training "
            "images), there also with tables in half precision (`--f16`):\n",
            table(["task", "f32 %", "int8 %", "int8 f16 %", "SNR dB", "f32 kB", "int8 kB", "int8 f16 kB", "f32 ms",
                   "int8 ms"], patches),
            *unvalidated((name, figures) for name, pair in found["patches"].items() for figures in pair.values())]


def peers(figures):
    parts = ["## Parity and speed\n"]
    if "parity" in figures:
        parts += ["Scores against ONNX Runtime on the same input, largest difference of the score range:\n",
                  table(["network", "kernels", "difference"],
                        [[row["network"], row["kernels"], f"{row['error']:.1e}"] for row in figures["parity"]])]
    if "export" in figures:
        parts += ["Exported tasks in ONNX Runtime, same input, largest difference of the score range over 20 images. All "
                  "tasks of a network share one file of frozen weights:\n",
                  table(["network", "kind", "difference", "ONNX kB", "patch kB", "patch kB in f16"],
                        [[row["network"], f"`{row['kind']}`", f"{row['error']:.1e}", kilobytes(row["onnx_bytes"]),
                          *(kilobytes(row[name]) if name in row else "" for name in ("patch_bytes", "half_bytes"))]
                         for row in figures["export"]])]
    for name, statistics_of in (("gradients", "the batch"), ("gradients-fixed", "the network")):
        if name not in figures:
            continue
        parts += [f"Gradients against PyTorch in f64, batch norm on the statistics of {statistics_of}, relative "
                  "error: median over all tensors and batches, and the worst tensor's lower quartile over the batches, "
                  "PyTorch's own in f32 beside:\n",
                  table(["network", "tensors", "median", "worst", "worst, PyTorch f32"],
                        [[network, row["tensors"], f"{row['median']:.1e}", f"{row['worst']:.1e}",
                          f"{row['worst_torch_f32']:.1e}"]
                         for network, row in figures[name].items() if "tensors" in row])]
    if "latency" in figures:
        parts += ["Latency against ONNX Runtime, one thread:\n",
                  table(["network", "ONNX Runtime ms", "Graft ms", "ratio"],
                        [[row["network"], f"{row['ort_ms']:.2f}", f"{row['graft_ms']:.2f}", f"{row['ratio']:.2f}"]
                         for row in figures["latency"]])]
    if "int8" in figures:
        found = figures["int8"]
        ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in found["ratios"].items())
        parts += [f"int8 against ONNX Runtime, {found['network']}, one thread; `s8` and `u8` are its own quantised models with "
                  f"such activations, calibrated on {found['calibrated_on']} images ({found['method']}):\n",
                  table(["engine", "ms", "top-1 %"],
                        [[name, f"{found['latency_ms'][name]:.2f}", percent([found["top1"][name]])]
                         for name in found["latency_ms"]]),
                  f"Ratios of latency, medians over the rounds: {ratios}.\n"]
    if "training" in figures:
        training = figures["training"]
        parts += [f"A training step of MobileNetV2 against PyTorch: batch {training['batch']}, "
                  f"{training['resolution']} pixels, {training['threads']} threads:\n",
                  table(["kind", "PyTorch ms", "Graft ms", "ratio", "PyTorch MB", "Graft MB"],
                        [[f"`{kind}`", f"{row['torch_ms']:.1f}", f"{row['graft_ms']:.1f}", f"{row['ratio']:.2f}",
                          f"{row['torch_rss_bytes'] / 1e6:.0f}", f"{row['graft_rss_bytes'] / 1e6:.0f}"]
                         for kind, row in training["kinds"].items()])]
    missing = [command for name, command in PARITY_COMMANDS.items() if name not in figures]
    if missing:
        parts.append("Not measured: " + "; ".join(f"`{command}`" for command in missing) + ".\n")
    return parts


def settings(tasks, kinds, scale_lr_multiplier):
    parts = ["## Settings\n",
             table(["task", "images", "epochs", "augmentation", "pixels", "batch"],
                   [[name, f"{run.limit:,}" if run.limit else "all", run.epochs, run.augment, run.resolution, run.batch]
                    for name, run in tasks.items()]),
             f"Adam, one epoch of warm-up, then a cosine; scales and biases learn {scale_lr_multiplier} times as fast as weights. "
             "Learning rates " + ", ".join(f"{kind['rate']:g} for `{name}`" for name, kind in kinds.items()) + ".\n"]
    return parts


def render(tables, tasks, kinds, scale_lr_multiplier, backbone, date, resolution_task, note, is_quick):
    """The page. `tables` has what was asked for, by the names of results.py."""
    parts = ["# Results\n",
             f"Measured on {date} with {os.cpu_count()} cores ({describe_cpu()}), backbone `{backbone['name']}` "
             f"({backbone['sites']} sites, {backbone['dtype']}), by\n",
             "    python -m tools.experiments.results --backbone B.backbone --data DIR\n"]
    if note:
        parts.append(note + "\n")
    if is_quick:
        parts.append("**This is a trial run (`--quick`): few images, two epochs, one seed. Do not quote it.**\n")
    sections = {"accuracy": lambda found: accuracy(found, tables.get("sizes", {})),
                "resolution": lambda found: resolution(resolution_task, found),
                "sizes": lambda found: sizes(found, backbone), "int8": int8,
                "from-layer": many.render_accuracy, "many": many.render_latency, "memory": memory.render,
                "averages": trajectories.render, "unlearning": unlearning.render, "few-shot": few_shot.render, "heads": heads.render, "lsa": lsa.render,
                "simultaneous": simultaneous.render, "federation": federation.render, "peers": peers}
    for name, found in tables.items():
        parts += sections[name](found)
    parts += settings(tasks, kinds, scale_lr_multiplier)
    return "\n".join(parts)
