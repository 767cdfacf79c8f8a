"""What the parity and side-by-side scripts share: errors, patchtool, ONNX Runtime, preprocessing."""

import importlib.util
import sys


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


def ort_session(path):
    """A single-threaded ONNX Runtime session with every graph optimisation, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def score_error(scores, expected):
    """The parity measure: largest difference, relative to the range of the expected scores."""
    return float(np.abs(scores - expected).max() / (expected.max() - expected.min()))
