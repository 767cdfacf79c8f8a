"""Those who take turns: `patchtool bench`, and engines in processes of their own, each checked before it is timed."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.parity.common import REPOSITORY, PatchtoolError, score_error

import numpy as np

TASKS = [1, 2, 5, 20]
# GRAFT_KERNELS and ONEDNN_MAX_CPU_ISA. The default is a limit, too: OpenVINO's AMX and bf16 kernels die on some machines.
ISAS = {"": ("auto", "AVX512_CORE_FP16"), "avx2": ("avx2", "AVX2"), "avx-vnni": ("avx-vnni", "AVX2_VNNI")}
F32_ERROR = 1e-3  # largest, of the range of the scores
INT8_CORRELATION = 0.7  # least: of random weights, eight bits keep less than of trained ones


@contextlib.contextmanager
def pinned(threads):
    """This process, and those that it starts, on as many processors as there are threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Graft:
    """`patchtool bench`, with patches for all sites."""

    def __init__(self, patchtool, network, dtype, threads, kernels, tasks):
        self.patchtool, self.threads, self.kernels = patchtool, threads, kernels
        self.backbone = network.files["graft"][dtype]
        self.patches = Path(tempfile.mkdtemp(dir=network.folder))
        patchtool("extract", "--backbone", self.backbone, "--kind", "bn", "-o", self.patches / "1.patch")
        for task in range(2, tasks[-1] + 1):
            shutil.copy(self.patches / "1.patch", self.patches / f"{task}.patch")
        report = self.bench(1, *(["--resident", ",".join(map(str, tasks[1:]))] if tasks[1:] else []))
        # What a process grows by: the backbone's file, all of which is read, and the arena, a large one in whole large pages.
        arena, page = report["arena_bytes"], 2 << 20
        alone = report["backbone_bytes"] + (-(-arena // page) * page if arena >= page // 2 else arena)
        memory = {str(row["patches"]): alone + row["resident_bytes"] for row in report["resident"]}
        self.figures = {"load_ms": report["open_full_us"] / 1e3, "memory": {"1": alone, **memory},
                        "open_and_run_ms": (report["open_full_us"] + report["first_run_us"]) / 1e3}
        self.scores = graft_scores(patchtool, self.backbone, network.photo, kernels)
        is_int8 = patchtool("inspect", self.backbone)["dtype"] == "int8"
        self.int8_layers, self.note = [is_int8, 1], f"{report['kernels']} kernels"

    def bench(self, runs, *more):
        return self.patchtool("bench", "--backbone", self.backbone, "--patch", self.patches, "--threads", self.threads,
                              "--runs", runs, *more, kernels=self.kernels)

    def take_turn(self, runs):
        report = self.bench(runs)
        return {"latency_ms": report["latency_ms"]["median"], "switch_us": report["switch_us"]}

    def close(self):
        shutil.rmtree(self.patches)


class Peer:
    """Another engine, as tests.peers.engines runs it. Each task has a copy of the model, as it has weights of its own."""

    def __init__(self, engine, network, dtype, threads, limit, tasks):
        file, self.folder = network.files[engine][dtype], Path(tempfile.mkdtemp(dir=network.folder))
        copies = [self.folder / f"{task}{file.suffix}" for task in range(tasks[-1])]
        for copy in copies:
            for part in [file, file.with_suffix(".bin")] if file.suffix == ".xml" else [file]:
                shutil.copy(part, copy.with_suffix(part.suffix))
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.peers.engines", engine, network.image, *copies, "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, cwd=REPOSITORY,
            env=os.environ | {"ONEDNN_MAX_CPU_ISA": limit})
        try:
            found = self.read()
        except PatchtoolError:
            self.close()
            raise
        self.scores, self.int8_layers = np.array(found.pop("scores")), found.pop("int8_layers")
        memory = {str(count): found["memory"][str(count)] for count in tasks}
        self.figures, self.note = {**found, "memory": memory}, ""

    def read(self):
        """The next figures."""
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            cause = (self.errors.read().strip().splitlines() or ["?"])[-1]
            raise PatchtoolError(f"status {self.process.wait()}: {cause}")
        return json.loads(line)

    def take_turn(self, runs):
        with contextlib.suppress(BrokenPipeError):  # then there are no figures either
            print(runs, file=self.process.stdin, flush=True)
        return self.read()

    def close(self):
        self.process.communicate()
        self.errors.close()
        shutil.rmtree(self.folder)


def graft_scores(patchtool, backbone, photo, kernels="auto"):
    report = patchtool("run", "--backbone", backbone, "--scores", photo, kernels=kernels)
    return np.array(report["results"][0]["scores"])


def check(contestant, expected, dtype):
    """Whether a contestant computes the network, and in its dtype; notes by how much."""
    int8, layers = contestant.int8_layers
    error, correlation = score_error(contestant.scores, expected), np.corrcoef(contestant.scores, expected)[0, 1]
    if int8 != (layers if dtype == "int8" else 0) or layers == 0:
        raise PatchtoolError(f"{int8} of {layers} layers are in int8")
    if error > F32_ERROR if dtype == "f32" else correlation < INT8_CORRELATION:
        raise PatchtoolError(f"the scores are others: {error:.1e} of their range, correlation {correlation:.2f}")
    agrees = f"error {error:.0e}" if dtype == "f32" else f"correlation {correlation:.2f}"
    contestant.figures["check"] = ", ".join(filter(None, [agrees, contestant.note]))


def open_contestant(patchtool, engine, network, dtype, threads, isa, tasks):
    """A contestant that was checked; none for an instruction set that its engine cannot be limited to."""
    kernels, limit = ISAS[isa]
    if engine == "graft":
        contestant = Graft(patchtool, network, dtype, threads, kernels, tasks)
    elif isa and engine != "openvino":
        return None
    else:
        contestant = Peer(engine, network, dtype, threads, limit, tasks)
    try:
        check(contestant, graft_scores(patchtool, network.files["graft"]["f32"], network.photo), dtype)
    except PatchtoolError:
        contestant.close()
        raise
    return contestant
