"""One table of Graft beside OpenVINO, ONNX Runtime and LiteRT: what a user of any of them would compare.

Networks of MobileNetV2's and EfficientNet-Lite0's shape with random weights, in f32 and int8, on 1 and 2 threads, at 96 and
224 pixels. In each round every engine has its turn, each in a process of its own, so that a slow moment of the machine
hits all; figures are medians over the rounds.

    latency     milliseconds of an inference
    load        of opening the model, ready to run (Graft: with the digest of every byte checked)
    open+run    of that and the first inference
    1 2 5 20    MB of memory for so many tasks: a model each; in Graft one backbone with its arena, and a patch each
    switch      microseconds that a frame takes longer when it is another task's turn

--isa limits engines that can be limited to an instruction set: Graft (GRAFT_KERNELS) and OpenVINO (ONEDNN_MAX_CPU_ISA).
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.parity import models
from tests.parity.common import REPOSITORY, Patchtool, PatchtoolError
from tests.parity.int8 import quantise
from tests.peers.latency import describe_cpu

import numpy as np
from onnxruntime.quantization import QuantType

NETWORKS = {"mobilenet-v2": "mobilenet-v2-folded", "lite0": "efficientnet-lite0"}
TASKS = [1, 2, 5, 20]
CALIBRATION = 16  # images that int8 is calibrated with; latency does not depend on them
IMAGES = REPOSITORY / "tools" / "assets" / "demo" / "fashion-test.tar"
# Environment of Graft and of OpenVINO. The default is a limit, too: OpenVINO's AMX and bf16 kernels die on some machines.
ISAS = {"": ({}, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16"}),
        "avx2": ({"GRAFT_KERNELS": "avx2"}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
        "avx-vnni": ({"GRAFT_KERNELS": "avx-vnni"}, {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"})}


def openvino_int8(onnx_path, images):
    """The int8 model that OpenVINO's own tools make."""
    import nncf
    import openvino
    nncf.set_log_level("ERROR")
    model = openvino.convert_model(onnx_path)
    with contextlib.redirect_stdout(io.StringIO()):  # it draws its progress where our table goes
        quantised = nncf.quantize(model, nncf.Dataset([image.transpose(2, 0, 1)[None] for image in images]))
    path = onnx_path.with_suffix(".int8.xml")
    openvino.save_model(quantised, path)
    return path


def litert_models(onnx_path, images, folder):
    """The f32 and the int8 model of LiteRT, by dtype; none without onnx2tf."""
    try:
        import onnx2tf
    except ImportError:
        return {}
    calibration = folder / "calibration.npy"
    np.save(calibration, np.stack(images))
    done = subprocess.run(
        [sys.executable, "-m", "onnx2tf", "-i", onnx_path, "-o", folder / onnx_path.stem, "-oiqt", "-qt", "per-channel",
         "-cind", "input", calibration, "[[[[0.0,0.0,0.0]]]]", "[[[[1.0,1.0,1.0]]]]", "-n"], capture_output=True, text=True)
    found = {"f32": "float32", "int8": "full_integer_quant"}
    paths = {dtype: folder / onnx_path.stem / f"{onnx_path.stem}_{word}.tflite" for dtype, word in found.items()}
    if not all(path.exists() for path in paths.values()):
        print(f"LiteRT is left out: onnx2tf made no models: {(done.stderr.strip().splitlines() or ['?'])[-1]}", file=sys.stderr)
        return {}
    return paths


def prepare(patchtool, network, resolution, folder):
    """The files of a network: {engine: {dtype: file}}."""
    folder = folder / f"{network}-{resolution}"
    folder.mkdir()
    model = models.build(NETWORKS[network], folder, resolution)
    images = list(models.synthetic_images(np.random.default_rng(2), CALIBRATION, resolution).transpose(0, 2, 3, 1))
    backbone, int8 = folder / "f32.backbone", folder / "int8.backbone"
    patchtool.import_onnx(model, backbone, "127", "128")
    patchtool("quantize", backbone, "--calibrate", IMAGES, "-o", int8)
    files = {"graft": {"f32": backbone, "int8": int8}, "onnxruntime": {"f32": model},
             "openvino": {"f32": model, "int8": openvino_int8(model, images)}, "litert": litert_models(model, images, folder)}
    files["onnxruntime"]["int8"] = quantise(model, images, QuantType.QUInt8)
    return {engine: found for engine, found in files.items() if found}


def graft(patchtool, backbone, threads, runs, environment, folder):
    """Graft's figures, from `patchtool bench` with patches for all sites."""
    patches = folder / f"{backbone.stem}.patches"
    if not patches.exists():
        patches.mkdir()
        patchtool("extract", "--backbone", backbone, "--kind", "bn", "-o", patches / "1.patch")
        for task in range(2, TASKS[-1] + 1):
            shutil.copy(patches / "1.patch", patches / f"{task}.patch")
    found = patchtool("bench", "--backbone", backbone, "--patch", patches, "--threads", threads, "--runs", runs,
                      "--resident", ",".join(map(str, TASKS[1:])), kernels=environment.get("GRAFT_KERNELS", "auto"))
    alone = found["backbone_bytes"] + found["arena_bytes"]
    resident = {str(row["patches"]): alone + row["resident_bytes"] for row in found["resident"]}
    return {"latency_ms": found["latency_ms"]["median"], "load_ms": found["open_full_us"] / 1e3,
            "open_and_run_ms": (found["open_full_us"] + found["first_run_us"]) / 1e3,
            "memory": {"1": alone, **resident}, "switch_ms": found["swap_ns"]["median"] / 1e6}


def peer(engine, file, threads, runs, environment):
    """A peer's figures, from a process of its own. Each task has a copy of the model, as it has weights of its own."""
    with tempfile.TemporaryDirectory() as folder:
        copies = [file]
        for task in range(1, TASKS[-1]):
            copies.append(Path(folder) / f"{task}{file.suffix}")
            for part in [file, file.with_suffix(".bin")] if file.suffix == ".xml" else [file]:
                shutil.copy(part, copies[-1].with_suffix(part.suffix))
        done = subprocess.run([sys.executable, "-m", "tests.peers.engines", engine, *copies, "--threads", str(threads), "--runs",
                               str(runs)], capture_output=True, text=True, cwd=REPOSITORY, env=os.environ | environment)
    if done.returncode != 0:
        raise PatchtoolError(f"{engine} (status {done.returncode}): {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def medians(rounds):
    """The median of each figure."""
    return {key: {inner: statistics.median(turn[key][inner] for turn in rounds) for inner in rounds[0][key]}
            if isinstance(rounds[0][key], dict) else statistics.median(turn[key] for turn in rounds) for key in rounds[0]}


def row(name, figures):
    memory = " ".join(f"{figures['memory'][str(tasks)] / 1e6:7.1f}" for tasks in TASKS)
    print(f"{name:48} {figures['latency_ms']:8.2f} {figures['load_ms']:8.2f} {figures['open_and_run_ms']:9.2f} {memory} "
          f"{1e3 * figures['switch_ms']:9.2f}", flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patchtool", metavar="PATH", help="the binary [target/release/patchtool, then the PATH]")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--resolutions", nargs="+", type=int, default=[96, 224], metavar="PX")
    parser.add_argument("--dtypes", nargs="+", choices=["f32", "int8"], default=["f32", "int8"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--isa", nargs="+", choices=list(ISAS)[1:], default=[], help="also limited to these instruction sets")
    parser.add_argument("--rounds", type=int, default=3, help="how often they take turns [3]")
    parser.add_argument("--runs", type=int, default=40, help="runs of each in a round [40]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    return parser.parse_args()


def compare(patchtool, files, dtype, threads, arguments, folder):
    """All engines on one network: their figures by name, without those that cannot run here."""
    turns = {}
    for _ in range(arguments.rounds):
        for isa, (own, openvino) in [(isa, ISAS[isa]) for isa in ["", *arguments.isa]]:
            for engine, by_dtype in files.items():
                name = f"{engine} {isa}".strip()
                if isa and engine not in ("graft", "openvino"):
                    continue
                try:
                    turn = (graft(patchtool, by_dtype[dtype], threads, arguments.runs, own, folder) if engine == "graft"
                            else peer(engine, by_dtype[dtype], threads, arguments.runs, openvino))
                    turns.setdefault(name, []).append(turn)
                except PatchtoolError as error:
                    print(f"{name} is left out: {error}", file=sys.stderr)
    return {name: medians(rounds) for name, rounds in turns.items()}


def main():
    arguments = parse_arguments()
    patchtool, results = Patchtool(arguments.patchtool), []
    print(f"{describe_cpu()}; {arguments.rounds} rounds of {arguments.runs} runs")
    print(f"{'':48} {'ms':>8} {'ms':>8} {'ms':>9} {'MB of memory, tasks':>31} {'us':>9}")
    print(f"{'':48} {'latency':>8} {'load':>8} {'open+run':>9} " + " ".join(f"{n:7}" for n in TASKS) + f" {'switch':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for network in arguments.networks:
            for resolution in arguments.resolutions:
                files = prepare(patchtool, network, resolution, Path(folder))
                for dtype in arguments.dtypes:
                    for threads in arguments.threads:
                        found = compare(patchtool, files, dtype, threads, arguments, files["graft"][dtype].parent)
                        for engine, figures in found.items():
                            row(f"{network} {resolution} {dtype} x{threads} {engine}", figures)
                            results.append({"network": network, "resolution": resolution, "dtype": dtype, "threads": threads,
                                            "engine": engine, **figures})
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
