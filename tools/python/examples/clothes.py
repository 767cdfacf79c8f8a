"""A tour of Graft in Python, in cells: one backbone, patches of it, and pictures of how they do.

    patchtool demo --keep demo
    python clothes.py demo plots        # or cell by cell, in an editor that knows them, or a notebook

Needs matplotlib. Writes four pictures to the folder `plots`.
"""

# %% One backbone, and a patch of it
import pathlib
import sys
import tarfile
import time

import matplotlib

# A notebook shows pictures where they are made, and its kernel has arguments of its own.
is_notebook = "ipykernel" in sys.modules
if not is_notebook:
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import graft

demo, plots = map(pathlib.Path, ["demo", "plots"] if is_notebook else sys.argv[1:3])
plots.mkdir(exist_ok=True)
backbone = graft.Backbone.open(demo / "demo.backbone")
ready = graft.Patch.open(demo / "fashion.patch", backbone)
session = graft.Session(backbone, threads=2)
print(backbone)
print(ready, "of", ready.path.stat().st_size, "bytes for", ready.labels)

# %% Test pictures as one batch
with tarfile.open(demo / "fashion-test.tar") as archive:
    archive.extractall(plots / "test", filter="data")
files = sorted((plots / "test").glob("*/*"))
pictures = np.stack([ready.preprocess(file) for file in files])
truth = np.array([ready.labels.index(file.parent.name) for file in files])
start = time.perf_counter()
scores = session.run(ready, pictures)
print(f"{len(pictures)} pictures in {time.perf_counter() - start:.3f} s: {(scores.argmax(axis=1) == truth).mean():.0%} right")

# %% What it is sure of
figure, axes = plt.subplots(2, 4, figsize=(10, 5))
for axis, index in zip(axes.flat, range(0, len(pictures), len(pictures) // 8)):
    probabilities = ready.probabilities(scores[index])
    best = probabilities.argmax()
    axis.imshow(pictures[index])
    axis.set_title(f"{ready.labels[best]} {probabilities[best]:.0%}", color="black" if best == truth[index] else "red")
    axis.axis("off")
figure.savefig(plots / "sure.png")

# %% Train another one, and watch it
epochs = []


def watch(event):
    if event["event"] == "epoch":
        epochs.append(event)
        print(f"epoch {event['epoch']}: loss {event['loss']:.2f}, {event['validation_accuracy']:.0%} of the validation images")


report = graft.train(
    backbone, demo / "fashion-train.tar", plots / "mine.safetensors", test=demo / "fashion-test.tar",
    validation=0.2, epochs=8, augment="crop,flip", force=True, progress=watch,
)  # fmt: skip
mine = graft.export(plots / "mine.safetensors", backbone, plots / "mine.patch", force=True)
print(f"trained in {report['seconds']:.0f} s: {report['best']['test_accuracy']:.0%} of the test images")

figure, axis = plt.subplots()
axis.plot([event["epoch"] for event in epochs], [event["accuracy"] for event in epochs], label="training")
axis.plot([event["epoch"] for event in epochs], [event["validation_accuracy"] for event in epochs], label="validation")
axis.set(xlabel="epoch", ylabel="share right", ylim=(0, 1))
axis.legend()
figure.savefig(plots / "training.png")

# %% Without training: a head of one pass over the pictures, which can forget a class again
learned = graft.generate(
    backbone, demo / "fashion-train.tar", plots / "learned.patch", method="ridge", keep_sums=True, force=True
)
without = graft.forget(learned, plots / "without.patch", classes=["shirt"], force=True)
print(f"{learned.classes} classes, {without.classes} after it forgot shirts")

# %% All of them on the same pictures, in one call
patches = {"ready": ready, "trained": mine, "learned": learned}
shares = {}
for name, of in zip(patches, session.run_many(list(patches.values()), pictures)):
    names = np.array(patches[name].labels)[of.argmax(axis=1)]
    shares[name] = (names == np.array(ready.labels)[truth]).mean()
int8 = graft.quantize(backbone, demo / "fashion-train.tar", plots / "int8.backbone", calibration_images=100, force=True)
small = graft.export(
    plots / "mine.safetensors", int8, plots / "int8.patch", calibrate=demo / "fashion-train.tar", force=True
)
shares["trained, int8"] = graft.evaluate(int8, small, demo / "fashion-test.tar")["accuracy"]

figure, axis = plt.subplots()
axis.bar(list(shares), list(shares.values()))
axis.set(ylabel="share of the test images right", ylim=(0, 1))
figure.savefig(plots / "patches.png")
print({name: round(float(share), 2) for name, share in shares.items()})

# %% Which classes are taken for which
confusion = np.zeros((len(ready.labels),) * 2, int)
np.add.at(confusion, (truth, scores.argmax(axis=1)), 1)
figure, axis = plt.subplots(figsize=(6, 6))
axis.imshow(confusion, cmap="Blues")
axis.set_xticks(range(len(ready.labels)), ready.labels, rotation=90)
axis.set_yticks(range(len(ready.labels)), ready.labels)
axis.set(xlabel="taken for", ylabel="is")
figure.tight_layout()
figure.savefig(plots / "confusion.png")
