"""The parts that the parity and side-by-side scripts share: errors, patchtool, ONNX Runtime, preprocessing."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def fail(message, status=2):
    """End with one line on stderr. Status 2: the script could not run; 1: a check said no."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


def require(*modules):
    """Stop with one clear line if a Python package is missing."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        fail(f"missing Python packages: {', '.join(missing)}; "
             "hint: pip install -r the requirements.txt beside this script")


require("numpy", "onnxruntime", "PIL")
import numpy as np
import onnxruntime
from PIL import Image


class PatchtoolError(Exception):
    """A patchtool command that failed, with its one line of cause."""


class Patchtool:
    """The patchtool binary, each command as a call."""

    def __init__(self, path=None):
        """Take the binary at `path`, or the repository's release build, or the one on the PATH."""
        built = REPOSITORY / "target" / "release" / "patchtool"
        candidates = [path] if path else [built, "patchtool"]
        found = [binary for binary in map(shutil.which, map(str, candidates)) if binary]
        if not found:
            fail(f"no patchtool at {' or '.join(map(str, candidates))}; hint: cargo build --release -p patchtool")
        self.binary = found[0]

    def __call__(self, command, *arguments, kernels="auto", may_say_no=False):
        """Run one command with `--json` and return what it printed. `kernels` is GRAFT_KERNELS.

        Status 1, a check that said no, is an error unless `may_say_no`.
        """
        environment = {name: value for name, value in os.environ.items() if name != "GRAFT_KERNELS"}
        if kernels != "auto":
            environment["GRAFT_KERNELS"] = kernels
        done = subprocess.run([self.binary, command, "--json", *map(str, arguments)],
                              env=environment, capture_output=True, text=True)
        if done.returncode != 0 and not (may_say_no and done.returncode == 1):
            cause = next((line for line in done.stderr.splitlines() if "error" in line.lower()), done.stderr.strip())
            raise PatchtoolError(f"patchtool {command} (status {done.returncode}): {cause}")
        return json.loads(done.stdout)

    def version(self):
        return subprocess.run([self.binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def import_onnx(self, onnx_path, backbone, mean, std):
        """Import an ONNX model at its own resolution and return the path of the backbone."""
        resolution = input_resolution(ort_session(onnx_path))
        self("import", onnx_path, "-o", backbone, "--resolution", resolution, "--mean", mean, "--std", std,
             "--resize", "crop:0.875:bicubic", "--force")
        return backbone


def ort_session(path, threads=1):
    """An ONNX Runtime session of so many threads with every graph optimisation, on the CPU."""
    if not Path(path).is_file():
        fail(f"no ONNX model at {path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # Without VNNI, products of bytes saturate in 16 bits unless both operands are unsigned.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def input_resolution(session):
    """Height (= width) of the image that a session takes."""
    return session.get_inputs()[0].shape[2]


def ort_scores(session, image):
    """The scores for one preprocessed image, given as Graft holds it: height, width, channel."""
    feed = {session.get_inputs()[0].name: np.ascontiguousarray(image.transpose(2, 0, 1)[None])}
    return session.run(None, feed)[0].ravel()


def score_error(scores, expected):
    """The parity measure: largest difference, relative to the range of the expected scores."""
    return float(np.abs(scores - expected).max() / (expected.max() - expected.min()))


def read_dumped_input(path, resolution):
    """One input as `--dump-inputs` writes it: raw little-endian f32, height, width, channel."""
    return np.fromfile(path, "<f4").reshape(resolution, resolution, 3)


def per_channel(text):
    """One number, or one per channel separated by commas, as patchtool takes mean and std."""
    return np.array(text.split(","), np.float32)


def preprocess(image, resolution, mean, std):
    """What Graft's preprocessing should give, by PIL: bicubic resize, centre crop, normalise.

    The shorter side becomes resolution / 0.875 (256 for 224), as in ImageNet evaluation;
    sizes and offsets are rounded as torchvision rounds them.
    """
    image = image.convert("RGB")
    side = round(resolution / 0.875)
    shorter = min(image.size)
    image = image.resize([side * length // shorter for length in image.size], Image.Resampling.BICUBIC)
    left, top = (round((length - resolution) / 2) for length in image.size)
    pixels = np.asarray(image.crop((left, top, left + resolution, top + resolution)), np.float32)
    return (pixels - per_channel(mean)) / per_channel(std)


def add_common_flags(parser):
    """The flags that every script with patchtool takes."""
    parser.add_argument("--patchtool", metavar="PATH", help="the binary [target/release/patchtool, then the PATH]")
    parser.add_argument("--mean", default="127", help="input mean, one number or three with commas [127]")
    parser.add_argument("--std", default="128", help="input standard deviation, likewise [128]")
