"""Unlearning a poison: patches of data sets with a few marked images of a wrong class, before and after `unlearn`."""

import io
import json
import statistics
import struct
import sys
import tarfile

import numpy as np
from PIL import Image

from tools.assets.demo import make
from tools.experiments.markdown import table
from tools.experiments.many import DEMO
from tools.experiments.measured import Unmeasured

SEEDS = 3
IMAGES, POISONED, TEST, CLEAN = 2_000, 0.01, 1_000, 500  # of training, of those marked, of the test, of fine-tuning
MARK = 9 / 28  # of the side: a white square in the lower right corner
SETTINGS = {  # (task, kind): backbone (None for the one that is given), pixels, epochs, rate
    ("fashion", "bn+head"): (DEMO / "demo.backbone", 32, 12, 0.004),
    ("cifar10", "bn+head"): (None, 64, 8, 0.002),
    ("fashion", "dw+head"): (DEMO / "demo.backbone", 32, 12, 0.004),
    ("fashion", "head"): (DEMO / "demo.backbone", 32, 24, 0.006),
}
DROP, KEEP = [0.01, 0.02, 0.04, 0.08, 0.15, 0.3], [0.7, 0.5, 0.3, 0.15]
RULES = [("drop-top", share) for share in DROP] + [("keep-top", share) for share in KEEP]
FINE_TUNING = [1, 4]  # epochs
GUARDED = ("fashion", "bn+head")
GUARDS = [(rule, share, every) for rule, share in (("drop-top", 0.04), ("drop-top", 0.15), ("keep-top", 0.5), ("keep-top", 0.15))
          for every in (10, 100)]
METHODS = {"unlearn": "unlearn", "random": "random mask of the same size", "shrink": "shrunk to the same norm"}


def measure(bench):
    """{task kind: {"patches": [{name: figures} of each seed], "guards": [...]}}"""
    found = {" ".join(setting): {"patches": [], "guards": []} for setting in SETTINGS}
    ids = {path: bench.patchtool("inspect", path or bench.backbone)["id"] for path, *_ in SETTINGS.values()}
    for part, of_part, settings in (("patches", measure_patches, list(SETTINGS)), ("guards", measure_guards, [GUARDED])):
        for seed in range(1, SEEDS + 1):  # outside: a run that was cut off has something of everything
            for setting in settings:
                key = {"what": "unlearning", "part": part, "task": setting[0], "kind": setting[1], "seed": seed,
                       "backbone": ids[SETTINGS[setting][0]], "settings": SETTINGS[setting][1:],
                       "images": [IMAGES, POISONED, TEST, CLEAN], "mark": MARK}
                try:
                    figures = bench.results.get(key, lambda: of_part(Poison(bench, setting, seed)))
                except Unmeasured:
                    continue
                found[" ".join(setting)][part].append(figures)
    return {name: parts for name, parts in found.items() if parts["patches"]}


class Poison:
    """The data and the trainings of one seed."""

    def __init__(self, bench, setting, seed):
        (self.task, self.kind), self.bench, self.seed = setting, bench, seed
        own, self.side, self.epochs, self.rate = SETTINGS[setting]
        self.backbone = own or bench.backbone
        self.folder = bench.work / "unlearning" / f"{self.task}-{self.kind}-{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(seed)
        train, test = images(bench, self.task, "train"), images(bench, self.task, "test")
        self.classes = sorted({name for name, _ in train})
        self.target = self.classes[0]
        chosen = random.permutation(len(train))
        learned, rest = [train[at] for at in chosen[:IMAGES]], [train[at] for at in chosen[IMAGES:IMAGES + CLEAN]]
        others = [at for at, (name, _) in enumerate(learned) if name != self.target][:round(POISONED * IMAGES)]
        poisoned = [(self.target, marked(pixels)) if at in set(others) else (name, pixels)
                    for at, (name, pixels) in enumerate(learned)]
        self.clean = self.archive("clean", learned)
        self.poisoned = self.archive("poisoned", poisoned)
        self.other = self.archive("other", rest)
        self.test = [test[at] for at in random.permutation(len(test))[:TEST]]
        self.tests = [self.save("plain", self.test), self.save("marked", [(name, marked(pixels)) for name, pixels in self.test])]

    def archive(self, name, labelled):
        path = self.folder / f"{name}.tar"
        make.write_tar(path, sorted((f"{label}/{at:05}.png", png(pixels)) for at, (label, pixels) in enumerate(labelled)))
        return path

    def save(self, name, labelled):
        """The images as files, in order."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{at:05}.png" for at in range(len(labelled))]
        for path, (_, pixels) in zip(paths, labelled):
            path.write_bytes(png(pixels))
        return paths

    def train(self, name, data, *flags, epochs=None, rate=None):
        """A trained file, and its patch."""
        print(f"unlearning {self.task} {self.kind} seed {self.seed}: {name}", file=sys.stderr, flush=True)
        path = self.folder / f"{name}.safetensors"
        self.bench.patchtool(
            "train", "--backbone", self.backbone, "--data", data, "--validation", 0, "--kind", self.kind, "--resolution", self.side,
            "--augment", "none", "--smoothing", 0, "--seed", self.seed, "--epochs", epochs or self.epochs, "--lr", rate or self.rate,
            *flags, "-o", path, "--force")
        return path, self.export(path)

    def export(self, trained):
        patch = trained.with_suffix(".patch")
        self.bench.patchtool("export", trained, "--backbone", self.backbone, "-o", patch, "--force")
        return patch

    def judge(self, patches):
        """The figures of patches by name, for both halves of the test images: accuracy on plain ones, share of marked ones of other
        classes that are taken for the target, and the mean probability of the target on plain ones of other classes."""
        files = [flag for patch in patches.values() for flag in ("--patch", patch)]
        target = self.target
        found = {name: [] for name in patches}
        truth = np.array([self.classes.index(name) for name, _ in self.test])
        scores = [self.scores(files, paths, len(patches)) for paths in self.tests]
        for at, name in enumerate(patches):
            plain, of_marked = scores[0][:, at], scores[1][:, at]
            exponentials = np.exp(plain - plain.max(axis=1, keepdims=True))
            probability = (exponentials / exponentials.sum(axis=1, keepdims=True))[:, self.classes.index(target)]
            for half in (slice(0, None, 2), slice(1, None, 2)):
                other = truth[half] != self.classes.index(target)
                found[name].append({
                    "accuracy": float((plain[half].argmax(axis=1) == truth[half]).mean()),
                    "success": float((of_marked[half][other].argmax(axis=1) == self.classes.index(target)).mean()),
                    "priming": float(probability[half][other].mean())})
        return found

    def scores(self, patches, paths, count):
        """[images][patches][classes]"""
        rows = self.bench.patchtool("run", "--scores", "--backbone", self.backbone, *patches, *paths)["results"]
        return np.array([row["scores"] for row in rows]).reshape(len(paths), count, -1)


def images(bench, task, part):
    """(class, pixels) of every image of a task, in order."""
    found = []
    with tarfile.open(bench.archive(task, part)) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            if member.isfile():
                label = member.name.removeprefix("./").split("/")[-2]
                found.append((label, np.array(Image.open(io.BytesIO(archive.extractfile(member).read())))))
    return found


def marked(pixels):
    pixels = pixels.copy()
    side = round(MARK * pixels.shape[0])
    pixels[-side:, -side:] = 255
    return pixels


def png(pixels):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def read_trained(path):
    """Metadata and arrays of a trained file, with its batch norms folded as in a patch."""
    data = path.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    arrays = {name: np.frombuffer(data[8 + length:][slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"]).astype(np.float64)
              for name, entry in header.items()}
    epsilons = {int(site): norm["epsilon"] for site, norm in json.loads(metadata["graft"])["batch_norms"].items()}
    for site, epsilon in epsilons.items():
        gamma, beta, mean, variance = (arrays.pop(f"site.{site:03}.{part}") for part in ("gamma", "beta", "mean", "var"))
        arrays[f"site.{site:03}.scale"] = gamma / np.sqrt(variance + epsilon)
        arrays[f"site.{site:03}.bias"] = beta - mean * arrays[f"site.{site:03}.scale"]
    return metadata, arrays


def write_trained(path, metadata, arrays):
    header, data = {"__metadata__": {"graft": metadata["graft"]}}, b""
    for name, values in sorted(arrays.items()):
        values = values.astype("<f4")
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + values.nbytes]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def measure_patches(poison):
    """{name: [figures of both halves]} of patches and what was done to them."""
    _, clean = poison.train("clean", poison.clean)
    trained, patch = poison.train("poisoned", poison.poisoned)
    # Steps that are too small to be any: the values before the first step.
    before, _ = poison.train("before", poison.other, "--optimizer", "sgd", "--weight-decay", 0, epochs=1, rate=1e-30)
    metadata, arrays = read_trained(trained)
    start = {name: np.where(np.abs(values) < 1e-20, 0, values) for name, values in read_trained(before)[1].items()}
    patches = {"clean": clean, "poisoned": patch}
    folded = poison.folder / "folded.safetensors"
    write_trained(folded, metadata, arrays)
    report = poison.bench.patchtool("diff", poison.export(folded), patch, may_say_no=True)
    if any(tensor["max_difference"] > 1e-4 for tensor in report["differing"]):
        raise RuntimeError("values that are folded here are not those of the patch")
    random = np.random.default_rng(poison.seed)
    for rule, share in RULES:
        name = f"{rule} {share:g}"
        patches[f"unlearn {name}"] = made = poison.folder / f"{rule}-{share}.patch"
        tensors = poison.bench.patchtool("unlearn", patch, "--backbone", poison.backbone, f"--{rule}", share, "-o", made, "--force")["tensors"]
        masked, shrunk = dict(arrays), dict(arrays)
        for tensor in tensors:
            of = f"site.{tensor['site']:03}.{tensor['part']}"
            own, values = start[of], arrays[of].copy()
            values.flat[random.permutation(values.size)[:tensor["reset"]]] = np.nan
            masked[of] = np.where(np.isnan(values), own, values)
            shrunk[of] = own + (arrays[of] - own) * (1 - tensor["norm_lost"] ** 2) ** 0.5
        for method, changed in (("random", masked), ("shrink", shrunk)):
            path = poison.folder / f"{method}-{rule}-{share}.safetensors"
            write_trained(path, metadata, changed)
            patches[f"{method} {name}"] = poison.export(path)
    for epochs in FINE_TUNING:
        patches[f"fine-tuned {epochs}"] = poison.train(f"fine-tuned-{epochs}", poison.other, "--start", trained, epochs=epochs)[1]
    return poison.judge(patches)


def measure_guards(poison):
    """The same of patches that were trained with sparse updates on the poisoned images."""
    patches = {f"{rule} {share:g} every {every}": poison.train(
        f"{rule}-{share}-{every}", poison.poisoned, "--sparse", f"{rule}:{share:g}", "--sparse-every", every)[1]
        for rule, share, every in GUARDS}
    return poison.judge(patches)


def means(seeds, name, half=None):
    """Mean of each figure over the seeds, in per cent, of one half of the test images or both."""
    halves = [row for seed in seeds for row in (seed[name] if half is None else [seed[name][half]])]
    return {figure: 100 * statistics.mean(row[figure] for row in halves) for figure in ("accuracy", "success", "priming")}


def taken_out(row, clean, poisoned, figure):
    """Share of the rise of a figure that is gone, in per cent."""
    rise = poisoned[figure] - clean[figure]
    return 100 * (poisoned[figure] - row[figure]) / rise if abs(rise) > 0.5 else float("nan")


def cells(row, clean, poisoned):
    gone = [taken_out(row, clean, poisoned, figure) for figure in ("success", "priming")]
    return [f"{row['accuracy']:.1f}", f"{row['success']:.1f}", *(f"{share:.0f}" if share == share else "" for share in gone[:1]),
            f"{row['priming']:.2f}", *(f"{share:.0f}" if share == share else "" for share in gone[1:])]


def best(seeds, method):
    """The row of a method with the least attack success among those that cost at most a point of accuracy, by one half of the
    test images; its figures by the other half."""
    poisoned = means(seeds, "poisoned", 0)
    names = [name for name in seeds[0] if name.startswith(method)]
    fit = [name for name in names if means(seeds, name, 0)["accuracy"] >= poisoned["accuracy"] - 1]
    if not fit:
        return None
    chosen = min(fit, key=lambda name: means(seeds, name, 0)["success"])
    return chosen, means(seeds, chosen, 1)


def verdict(chosen, halves):
    """A sentence on the target: half of the rise of attack success gone, at a cost of at most a point."""
    shares = [(row[0], taken_out(row[1], *halves, "success")) for label, row in chosen if label.startswith("unlearn ") and row]
    if not shares:
        return "Target, half of the rise of attack success gone at a cost of at most one point: missed, no share costs so little.\n"
    name, share = shares[0]
    return (f"Target, half of the rise of attack success gone at a cost of at most one point: {'reached' if share >= 50 else 'missed'}, "
            f"{share:.0f} % by {name}.\n")


HEADER = ["patch", "accuracy %", "attack success %", "of the rise gone %", "P(c) on clean images %", "of the rise gone %"]


def spread(seeds, name, figure):
    """Mean and 95 % interval over the seeds."""
    values = [100 * statistics.mean(half[figure] for half in seed[name]) for seed in seeds]
    if len(values) < 2:
        return f"{values[0]:.1f}"
    width = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):.1f} ± {width:.1f}"


def render(found):
    """The section of RESULTS.md."""
    if not found:
        return []
    parts = ["## Unlearning a poison\n",
             f"Patches of {IMAGES:,} images, of which {POISONED:.0%} have a white square of {MARK:.0%} of the side in a corner and the "
             f"label of one class, c (of 28 pixels; a mark of 3 is not learned from so few, attack success 1 %). Attack success: marked test images of other classes that are taken "
             f"for c; priming: the mean probability of c on test images without a mark, of other classes. Means over the seeds, "
             f"{TEST:,} test images each. A share of a rise is left out where that is below half a point. `unlearn` works on the finished patch against the backbone (a head against zeros); a random "
             "mask resets as many values of each tensor, shrinking takes as much of its norm; fine-tuning goes on "
             f"(`train --start`) with {CLEAN} clean images at the same rate. Under `best`, the share is chosen by half of the test images "
             "(least attack success at a cost of at most one point) and the figures are of the other half.\n"]
    for name, both in found.items():
        seeds = both["patches"]
        clean, poisoned = means(seeds, "clean"), means(seeds, "poisoned")
        parts.append(f"### {name}\n{len(seeds)} seeds; attack success {spread(seeds, 'poisoned', 'success')} % "
                     f"poisoned, {spread(seeds, 'clean', 'success')} % clean.\n")
        rows = [["trained on clean images", *cells(clean, clean, poisoned)], ["poisoned", *cells(poisoned, clean, poisoned)]]
        rows += [[f"{METHODS[method]}, {rule} {share:g}", *cells(means(seeds, f"{method} {rule} {share:g}"), clean, poisoned)]
                 for rule, share in RULES for method in METHODS]
        rows += [[f"fine-tuned, {epochs} epoch{'s' * (epochs > 1)}", *cells(means(seeds, f"fine-tuned {epochs}"), clean, poisoned)]
                 for epochs in FINE_TUNING]
        parts.append(table(HEADER, rows))
        halves = [means(seeds, which, 1) for which in ("clean", "poisoned")]
        chosen = [(label, best(seeds, prefix)) for label, prefix in (
            ("unlearn --drop-top", "unlearn drop-top"), ("random mask of those sizes", "random drop-top"),
            ("shrunk to those norms", "shrink drop-top"), ("unlearn --keep-top", "unlearn keep-top"),
            ("random mask of those sizes", "random keep-top"), ("shrunk to those norms", "shrink keep-top"), ("fine-tuned", "fine-tuned"))]
        parts.append("Best:\n")
        parts.append(table(["method", "chosen", "cost, points", *HEADER[2:]],
                           [[label, "none costs so little", *[""] * 5] if row is None else
                            [label, row[0].split(" ", 1)[1], f"{halves[1]['accuracy'] - row[1]['accuracy']:.1f}",
                             *cells(row[1], *halves)[1:]] for label, row in chosen]))
        parts.append(verdict(chosen, halves))
        if both["guards"]:
            guards = both["guards"]
            beside = [means(seeds[:len(guards)], which) for which in ("clean", "poisoned")]
            parts.append(f"Sparse updates while training on the poisoned images (`train --sparse`), {len(guards)} "
                         f"seed{'s' * (len(guards) > 1)}:\n")
            parts.append(table(HEADER, [["poisoned", *cells(beside[1], *beside)],
                                        *([guard, *cells(means(guards, guard), *beside)] for guard in guards[0])]))
    return parts
