#!/usr/bin/env python3
"""Make the images of the cases: of every class of every task one test image, as the network takes it.

    ./images.py CIFAR10-TEST.tar [PATCHTOOL]

`patchtool` decodes and scales them (48x48, bicubic). They are stored as lossless PNG, so that the cases depend on
neither. Each is the second of its class in its archive.
"""

import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DEMO = ROOT / "tools/assets/demo"
SIDE, MEAN, STD = 48, 127, 64  # of the demo's backbone


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels):
    """An RGB image of SIDE x SIDE."""
    rows = b"".join(b"\0" + pixels[row:row + SIDE * 3] for row in range(0, len(pixels), SIDE * 3))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9))
            + chunk(b"IEND", b""))


def pixels(patchtool, image, work):
    """What the network takes, by way of patchtool's normalised input."""
    inputs = work / "inputs"
    subprocess.run([patchtool, "run", "--quiet", "--backbone", DEMO / "demo.backbone", "--dump-inputs", inputs, image],
                   check=True, stdout=subprocess.DEVNULL)
    values = next(inputs.glob("*.f32")).read_bytes()
    return bytes(round(value * STD + MEAN) for (value,) in struct.iter_unpack("<f", values))


def second_of_each_class(archive):
    names = sorted(member.name for member in archive if member.isfile())
    for label in sorted({name.split("/")[0] for name in names}):
        yield label, [name for name in names if name.split("/")[0] == label][1]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    patchtool = sys.argv[2] if len(sys.argv) == 3 else ROOT / "target/release/patchtool"
    archives = {"own": Path(sys.argv[1])}
    archives |= {task: DEMO / f"{task}-test.tar" for task in ("sign-digits", "fashion", "greek")}
    for task, path in archives.items():
        folder = HERE / "images" / task
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path) as archive:
            for label, name in second_of_each_class(archive):
                with tempfile.TemporaryDirectory() as work:
                    image = Path(work) / Path(name).name
                    image.write_bytes(archive.extractfile(name).read())
                    (folder / f"{label}.png").write_bytes(png(pixels(patchtool, image, Path(work))))


if __name__ == "__main__":
    main()
