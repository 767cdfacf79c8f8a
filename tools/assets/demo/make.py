#!/usr/bin/env python3
"""Cut the demo's data sets out of real ones: nine small tar archives, laid out class/image.

    sign-digits     photographs of hand signs for 0 to 9, 48x48 JPEG
    fashion         Fashion-MNIST: clothes, 28x28 PNG in 16 greys
    greek           Omniglot: ten letters drawn by twenty people, 48x48 PNG in 16 greys
    sanskrit        Omniglot: five characters drawn by twenty people, as they are: 105x105 PNG, black on white

Each gives NAME-train.tar and NAME-test.tar, but sanskrit: a patch is generated from sanskrit-1.tar or sanskrit-5.tar,
one or five drawings of each. The same seed gives the same bytes (with the
same version of Pillow): names, order, times and owners in the archives are fixed.
"""

import argparse
import gzip
import io
import os
import random
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
SIDE = 48  # the demo backbone's input
PARTS = {"sign-digits": (25, 10), "fashion": (30, 10), "greek": (14, 6)}  # train and test images a class
FASHION = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"]
SANSKRIT = {"1": range(1, 2), "5": range(1, 6), "test": range(6, 21)}  # people who draw; the first five characters
GREEK = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def fail(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def sample(rng, items, count):
    """`count` of `items`, in their own order."""
    if len(items) < count:
        fail(f"{count} images a class are wanted, and there are only {len(items)}")
    return [items[index] for index in sorted(rng.sample(range(len(items)), count))]


def jpeg(image):
    """A photograph as the demo's side, small: Huffman tables of its own, colour at half resolution."""
    data = io.BytesIO()
    image = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    image.save(data, "JPEG", quality=80, optimize=True, subsampling="4:2:0")
    return data.getvalue()


def png(image):
    """A grey image in 16 levels: four bits a pixel."""
    levels = (np.asarray(image.convert("L"), np.uint16) * 15 + 127) // 255
    packed = Image.fromarray(levels.astype(np.uint8)).convert("P")
    packed.putpalette([level * 17 for level in range(16) for _ in range(3)])
    data = io.BytesIO()
    packed.save(data, "PNG", optimize=True, bits=4)
    return data.getvalue()


def sign_digits(rng, folder, part, count):
    """Yield (path, bytes) of a part, out of the whole data set's same part."""
    with tarfile.open(folder / f"sign-digits-{part}.tar") as archive:
        names = sorted(member.name for member in archive if member.isfile())
        for label in sorted({name.split("/")[0] for name in names}):
            for name in sample(rng, [name for name in names if name.split("/")[0] == label], count):
                yield f"{label}/{Path(name).stem}.jpg", jpeg(Image.open(archive.extractfile(name)))


def read_idx(path):
    """The array in a gzipped IDX file of bytes."""
    data = gzip.decompress(path.read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, ">u4", dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def fashion(rng, folder, part, count):
    """Yield (path, bytes) of a part, out of Fashion-MNIST's same part."""
    prefix = {"train": "train", "test": "t10k"}[part]
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    for label, name in sorted(enumerate(FASHION), key=lambda pair: pair[1]):
        for index in sample(rng, np.flatnonzero(labels == label).tolist(), count):
            yield f"{name}/{index:05}.png", png(Image.fromarray(images[index]))


def greek(rng, path, part, count):
    """Yield (path, bytes) of a part: the people who drew for training do not draw for the test."""
    drawers = list(range(1, 21))
    rng.shuffle(drawers)
    train = PARTS["greek"][0]
    chosen = sorted(drawers[:train][:count] if part == "train" else drawers[train:][:count])
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if "/Greek/" in name and name.endswith(".png"))
        for index, letter in enumerate(GREEK, 1):
            drawings = [name for name in names if f"/character{index:02}/" in name]
            for drawer in chosen:
                image = Image.open(io.BytesIO(archive.read(drawings[drawer - 1]))).convert("L")
                image = image.resize((SIDE, SIDE), Image.Resampling.BOX)
                yield f"{letter}/{drawer:02}.png", png(ImageOps.autocontrast(image))


def sanskrit(path, drawers):
    """Yield (path, bytes) of the first five characters by these people."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if "/Sanskrit/" in name and name.endswith(".png"))
        for character in [f"character{index:02}" for index in range(1, 6)]:
            drawings = [name for name in names if f"/{character}/" in name]
            for drawer in drawers:
                yield f"{character}/{drawer:02}.png", archive.read(drawings[drawer - 1])


def write_tar(path, files):
    """An archive whose bytes depend on nothing but names and contents."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
        end = archive.offset + 2 * tarfile.BLOCKSIZE  # two blocks of zeros end an archive; tapes alone want more
    os.truncate(path, end)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sign-digits", type=Path, required=True, metavar="DIR",
                        help="folder with sign-digits-train.tar and sign-digits-test.tar, class/image.jpg")
    parser.add_argument("--fashion", type=Path, default="/usr/share/datasets/fashion-mnist", metavar="DIR",
                        help="folder with the gzipped IDX files [Debian's dataset-fashion-mnist]")
    parser.add_argument("--omniglot", type=Path, required=True, metavar="ZIP",
                        help="images_background_small1.zip of Omniglot")
    parser.add_argument("--sanskrit", type=Path, required=True, metavar="ZIP",
                        help="images_background_small2.zip of Omniglot")
    parser.add_argument("--output", type=Path, default=HERE, metavar="DIR", help="where to write [beside this script]")
    parser.add_argument("--seed", type=int, default=1, help="which images are chosen [1]")
    arguments = parser.parse_args()

    sources = {"sign-digits": (sign_digits, arguments.sign_digits), "fashion": (fashion, arguments.fashion),
               "greek": (greek, arguments.omniglot)}
    written = []
    for name, (read, source) in sources.items():
        if not source.exists():
            fail(f"no {name} at {source}")
        for part, count in zip(("train", "test"), PARTS[name]):
            # Letters need one order of the drawers for both parts; elsewhere the parts are apart already.
            path = arguments.output / f"{name}-{part}.tar"
            write_tar(path, read(random.Random(arguments.seed), source, part, count))
            written.append(path)
    for part, drawers in SANSKRIT.items():
        path = arguments.output / f"sanskrit-{part}.tar"
        write_tar(path, sanskrit(arguments.sanskrit, drawers))
        written.append(path)
    for path in written:
        print(f"{path.name:24} {path.stat().st_size:9,} bytes")
    print(f"{'total':24} {sum(path.stat().st_size for path in written):9,} bytes")


if __name__ == "__main__":
    main()
