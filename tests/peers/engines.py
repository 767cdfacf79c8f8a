"""One engine in a process of its own, with its best settings and without what Python costs: input and output are bound once.

Loads the tasks and prints their figures as JSON; then, for each number of runs that it reads, what these took. Memory is
what the process has grown by since all was loaded that an engine has once, such as its library. Tasks are copies of the
model's file, as a service with a model for each task has them.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

WARM_UP = 3


class OnnxRuntime:
    """ONNX Runtime on the CPU, with a model that was optimised for this machine beforehand."""
    IS_CHANNELS_LAST = HAS_CACHE = False

    @staticmethod
    def start():
        """Load what is there once for all tasks."""
        import onnxruntime
        return onnxruntime

    def __init__(self, onnxruntime, path, threads, image):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        self.path = path
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.binding, output = self.session.io_binding(), self.session.get_outputs()[0]
        self.output = onnxruntime.OrtValue.ortvalue_from_shape_and_type(output.shape, np.float32)
        self.binding.bind_cpu_input(self.session.get_inputs()[0].name, image)
        self.binding.bind_ortvalue_output(output.name, self.output)

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def scores(self):
        return self.output.numpy()

    def int8_layers(self):
        """For each layer with weights, whether it is computed in int8."""
        import onnx
        operators = [node.op_type for node in onnx.load(self.path).graph.node]
        return [operator.startswith("Q") for operator in operators if operator.endswith(("Conv", "Gemm", "MatMul"))]


class OpenVino:
    """OpenVINO for latency, in f32 or in the int8 of the model, with its cache of compiled models."""
    IS_CHANNELS_LAST, HAS_CACHE = False, True

    @staticmethod
    def start():
        import openvino
        core = openvino.Core()
        core.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin
        return core

    def __init__(self, core, path, threads, image):
        from openvino import Tensor
        self.model = core.compile_model(str(path), "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32", "CACHE_DIR": str(path.parent / "cache")})
        self.request = self.model.create_infer_request()
        self.request.set_input_tensor(Tensor(image))

    def run(self):
        self.request.infer(share_outputs=True)

    def scores(self):
        return self.request.get_output_tensor().data

    def int8_layers(self):
        facts = [operator.get_rt_info() for operator in self.model.get_runtime_model().get_ops()]
        return [fact["primitiveType"].astype(str).endswith("_I8") for fact in facts
                if fact["layerType"].astype(str) in ("Convolution", "FullyConnected")]


class LiteRt:
    """LiteRT with XNNPACK, which it takes by default."""
    IS_CHANNELS_LAST, HAS_CACHE = True, False

    @staticmethod
    def start():
        from ai_edge_litert.interpreter import Interpreter
        return Interpreter

    def __init__(self, interpreter, path, threads, image):
        self.interpreter = interpreter(str(path), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.interpreter.set_tensor(self.interpreter.get_input_details()[0]["index"], image)

    def run(self):
        self.interpreter.invoke()

    def scores(self):
        return self.interpreter.get_tensor(self.interpreter.get_output_details()[0]["index"])

    def int8_layers(self):
        dtypes = {tensor["index"]: tensor["dtype"] for tensor in self.interpreter.get_tensor_details()}
        return [all(dtypes[tensor] == np.int8 for tensor in operator["inputs"][:2])
                for operator in self.interpreter._get_ops_details()
                if operator["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]


ENGINES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "litert": LiteRt}


def resident():
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def milliseconds(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return 1e3 * (time.perf_counter() - start), result


def fill_cache(engine, files, threads, image):
    library = ENGINES[engine].start()
    for file in files:
        ENGINES[engine](library, file, threads, image)


def open_tasks(engine, files, threads, image):
    """The tasks, and what opening them took: medians, after the first one."""
    loader, tasks, loads, first_runs, memory = ENGINES[engine], [], [], [], {}
    if loader.HAS_CACHE:
        filler = multiprocessing.get_context("spawn").Process(target=fill_cache, args=(engine, files, threads, image))
        filler.start()
        filler.join()
    library, before = loader.start(), resident()
    for file in files:
        load, task = milliseconds(loader, library, file, threads, image)
        first_run, _ = milliseconds(task.run)
        tasks.append(task)
        loads.append(load)
        first_runs.append(load + first_run)
        memory[str(len(tasks))] = resident() - before
    layers = tasks[0].int8_layers()
    return tasks, {"load_ms": statistics.median(loads[1:] or loads), "memory": memory,
                   "open_and_run_ms": statistics.median(first_runs[1:] or first_runs),
                   "scores": tasks[0].scores().ravel().tolist(), "int8_layers": [sum(layers), len(layers)]}


def take_turn(tasks, runs):
    """Latency of the first task; and what a frame takes longer after one of another task, in microseconds."""
    times = [milliseconds(tasks[0].run)[0] for _ in range(WARM_UP + runs)][WARM_UP:]
    # A frame through each task in turn, and another one through the same.
    turns = [tasks[turn % len(tasks)] for turn in range(max(runs, 2 * len(tasks)))]
    switched = [milliseconds(task.run)[0] - milliseconds(task.run)[0] for task in turns]
    return {"latency_ms": statistics.median(times), "switch_us": 1e3 * statistics.median(switched)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("image", type=Path, help="an input as .npy: height, width, channel")
    parser.add_argument("files", nargs="+", type=Path, help="the model, then a copy for each further task")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    image = np.load(arguments.image)[None]
    if not ENGINES[arguments.engine].IS_CHANNELS_LAST:
        image = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    tasks, figures = open_tasks(arguments.engine, arguments.files, arguments.threads, image)
    print(json.dumps(figures), flush=True)
    for line in sys.stdin:
        print(json.dumps(take_turn(tasks, int(line))), flush=True)


if __name__ == "__main__":
    main()
