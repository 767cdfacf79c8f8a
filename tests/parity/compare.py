"""Compare Graft's scores with ONNX Runtime's, on the same inputs.

Every model is imported by patchtool and run on every image. ONNX Runtime gets the
very input that patchtool used (`--dump-inputs`), so that only the network is
compared: the largest difference must be at most 1e-4 of the score range.
That input is compared on its own with PIL's resize and crop.

Without --onnx the models are built on the spot with random weights (models.py).
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.parity import common
from tests.parity.common import Patchtool, PatchtoolError, fail, require

require("onnx")
from tests.parity import models
import numpy as np
from PIL import Image, ImageDraw

SCORE_TOLERANCE = 1e-4  # largest difference of a score, relative to the range of the scores
PIXEL_TOLERANCE = 0.5  # mean difference from PIL in steps of 1/255: rounding gives up to 0.3, a wrong filter 7
SIZES = [(160, 120), (120, 160), (256, 256), (301, 223), (97, 131), (640, 427), (64, 48)]
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}


def figure(value):
    """A number for JSON, which knows neither NaN nor infinity."""
    return float(value) if np.isfinite(value) else None


def draw_image(rng, kind, size):
    """One synthetic picture: noise, a gradient, shapes, or shapes on a noisy gradient."""
    width, height = size
    noise = rng.integers(0, 256, (height, width, 3))
    across, down = np.linspace(0, 1, width)[None, :, None], np.linspace(0, 1, height)[:, None, None]
    gradient = 255 * (rng.random(3) * across + rng.random(3) * down) / 2
    pixels = {"noise": noise, "gradient": gradient, "shapes": np.zeros_like(noise) + rng.integers(0, 256, 3),
              "mixed": 0.7 * gradient + 0.3 * noise}[kind]
    image = Image.fromarray(pixels.astype("uint8"))
    if kind in ("shapes", "mixed"):
        draw = ImageDraw.Draw(image)
        for shape in [draw.ellipse, draw.rectangle] * 4:
            (left, right), (top, bottom) = (np.sort(rng.integers(0, length, 2)) for length in size)
            shape([left, top, right, bottom], fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def make_images(folder, count=20):
    """Write `count` pictures as PNG, the same ones every time; one of them is grey."""
    rng = np.random.default_rng(20)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        kind = ["noise", "gradient", "shapes", "mixed"][index % 4]
        image = draw_image(rng, kind, SIZES[index % len(SIZES)])
        image = image.convert("L") if index == count - 1 else image
        image.save(folder / f"{index:02}-{kind}.png")


def compare(patchtool, name, onnx_path, backbone, images, kernels, folder, arguments):
    """Run both sides on `images`, print the model's line and return its figures with the verdict."""
    session = common.ort_session(onnx_path)
    resolution = common.input_resolution(session)
    inputs = folder / f"{name}-{kernels}-inputs"
    report = patchtool("run", "--backbone", backbone, "--scores", "--dump-inputs", inputs, *images, kernels=kernels)
    if len(report["results"]) != len(images):
        raise PatchtoolError(f"patchtool run gave {len(report['results'])} results for {len(images)} images")

    errors, pixel_errors, agreements = [], [], 0
    for index, (path, result) in enumerate(zip(images, report["results"])):
        used = common.read_dumped_input(inputs / f"{index:04}.f32", resolution)
        expected = common.ort_scores(session, used)
        scores = np.array(result["scores"], np.float32)
        if scores.shape != expected.shape:
            raise PatchtoolError(f"patchtool run gave {scores.size} scores, ONNX Runtime {expected.size}")
        errors.append(common.score_error(scores, expected))
        agreements += int(scores.argmax() == expected.argmax())
        with Image.open(path) as image:
            independent = common.preprocess(image, resolution, arguments.mean, arguments.std)
        pixel_errors.append(np.abs((used - independent) * common.per_channel(arguments.std)).mean())

    error, pixel_error = np.max(errors), np.max(pixel_errors)  # np.max keeps a NaN, and a NaN must fail
    passed = error <= SCORE_TOLERANCE and pixel_error <= PIXEL_TOLERANCE
    print(f"{name:22} {kernels:10} {error:9.1e} of the range   top-1 {agreements}/{len(images)}   "
          f"input {pixel_error:.2f}/255 from PIL   {'PASS' if passed else 'FAIL'}", flush=True)
    return {"network": name, "kernels": kernels, "error": figure(error), "passed": bool(passed)}


def cases(arguments, folder):
    """The (name, ONNX file, backbone or None) to compare."""
    if arguments.onnx:
        return [(arguments.onnx.stem, arguments.onnx, arguments.backbone)]
    return [(name, models.build(name, folder, arguments.resolution, arguments.width, arguments.seed), None)
            for name in arguments.models]


def run_cases(patchtool, images, folder, arguments):
    """Compare every model with every choice of kernels; returns the figures of each."""
    results = []
    for name, onnx_path, backbone in cases(arguments, folder):
        for kernels in arguments.kernels:
            try:
                backbone = backbone or patchtool.import_onnx(onnx_path, folder / f"{name}.backbone",
                                                             arguments.mean, arguments.std)
                chosen = images[:1] if kernels == "reference" else images
                results.append(compare(patchtool, name, onnx_path, backbone, chosen, kernels, folder, arguments))
            except PatchtoolError as error:
                print(f"{name:22} {kernels:10} FAIL: {error}", flush=True)
                results.append({"network": name, "kernels": kernels, "error": None, "passed": False})
    return results


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_common_flags(parser)
    models.add_model_flags(parser)
    parser.add_argument("--onnx", type=Path, help="compare this model instead of the built ones")
    parser.add_argument("--backbone", type=Path, help="with --onnx: its backbone [imported from --onnx]")
    parser.add_argument("--images", type=Path, metavar="DIR", help="use these images [20 synthetic ones]")
    parser.add_argument("--kernels", type=lambda text: text.split(","), default=["auto", "reference"],
                        help="values of GRAFT_KERNELS, with commas; reference runs one image [auto,reference]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep models, images and inputs here")
    arguments = parser.parse_args()
    if arguments.backbone and not arguments.onnx:
        parser.error("--backbone needs --onnx")
    return arguments


def main():
    arguments = parse_arguments()
    patchtool = Patchtool(arguments.patchtool)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not arguments.images:
            make_images(folder / "images")
        source = arguments.images or folder / "images"
        images = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        if not images:
            fail(f"no images in {source}")
        results = run_cases(patchtool, images, folder, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    verdicts = [row["passed"] for row in results]
    print(f"{sum(verdicts)} passed, {len(verdicts) - sum(verdicts)} failed")
    return 0 if verdicts and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
