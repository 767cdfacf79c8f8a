"""One engine in a process of its own: loads a model, runs it, keeps more of it, and prints the figures as JSON.

Whatever an engine has for ever, such as its library, is not counted: memory is what the process has grown by since the
engine was imported. Tasks are copies of the model's file, as a service with a model for each task has them.
"""

import argparse
import importlib
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np


class OnnxRuntime:
    """ONNX Runtime on the CPU, with every graph optimisation."""
    MODULE = "onnxruntime"

    def __init__(self, path, threads):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]
        self.shape = self.input.shape

    def run(self, image):
        return self.session.run(None, {self.input.name: image})[0]


class OpenVino:
    """OpenVINO for latency, in f32 or in the int8 of the model."""
    MODULE = "openvino"

    def __init__(self, path, threads):
        import openvino
        self.core = openvino.Core()
        model = self.core.compile_model(str(path), "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32"})
        self.request = model.create_infer_request()
        self.shape = list(model.input(0).shape)

    def run(self, image):
        return self.request.infer([image])[0]


class LiteRt:
    """LiteRT with XNNPACK."""
    MODULE = "ai_edge_litert.interpreter"

    def __init__(self, path, threads):
        from ai_edge_litert.interpreter import Interpreter
        self.interpreter = Interpreter(str(path), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input, self.output = self.interpreter.get_input_details()[0], self.interpreter.get_output_details()[0]
        self.shape = list(self.input["shape"])

    def run(self, image):
        self.interpreter.set_tensor(self.input["index"], image.astype(self.input["dtype"]))
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output["index"])


ENGINES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "litert": LiteRt}


def resident():
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def milliseconds(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return 1e3 * (time.perf_counter() - start), result


def measure(engine, files, threads, runs):
    """Figures of one engine: `files` are its tasks, of which the first is measured alone."""
    loader = ENGINES[engine]
    importlib.import_module(loader.MODULE)
    before, tasks, memory = resident(), [], {}
    for file in files:
        tasks.append(loader(file, threads))
        image = np.random.default_rng(1).normal(0, 0.5, tasks[-1].shape).astype("f4")
        tasks[-1].run(image)
        memory[str(len(tasks))] = resident() - before
    load, task = milliseconds(loader, files[0], threads)
    first_run, _ = milliseconds(task.run, image)
    times = [milliseconds(task.run, image)[0] for _ in range(runs + 3)][3:]
    # A frame through each task in turn, and another one through the same: the difference is what the turn costs.
    turns = [tasks[turn % len(tasks)] for turn in range(max(runs, 2 * len(tasks)))]
    switched = [milliseconds(task.run, image)[0] - milliseconds(task.run, image)[0] for task in turns]
    return {"load_ms": load, "open_and_run_ms": load + first_run, "latency_ms": statistics.median(times),
            "switch_ms": statistics.median(switched), "memory": memory}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("files", nargs="+", type=Path, help="the model, then a copy for each further task")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=40)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.engine, arguments.files, arguments.threads, arguments.runs)))


if __name__ == "__main__":
    main()
