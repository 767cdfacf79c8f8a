"""Memory of many tasks in several processes: proportional set sizes, in which a shared page counts once for all."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.parity.common import REPOSITORY
from tools.experiments import many
from tools.experiments.markdown import table

NETWORK, DTYPE, VARIANT = "MobileNetV2, 224 px", "f32", "all"
TASKS = [1, 10, 100, 1000]
PROCESSES = [1, 2, 4]


def measure(bench):
    """{tasks: {processes: {part: bytes}}}"""
    key = {"what": "memory", "network": NETWORK, "dtype": DTYPE, "variant": VARIANT, "tasks": TASKS, "processes": PROCESSES}
    return bench.results.get(key, lambda: measure_now(bench))


def measure_now(bench):
    folder = bench.work / "memory"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "graft-runtime", "--example", "resident"], cwd=REPOSITORY, check=True)
    program = Path(bench.patchtool.binary).parent / "examples" / "resident"
    backbones = many.make_backbones(bench, NETWORK, folder)
    patch = many.make_patches(bench, backbones, DTYPE, VARIANT, folder)[0]
    found = {}
    for tasks in TASKS:
        patches = folder / "patches"
        shutil.rmtree(patches, ignore_errors=True)
        patches.mkdir()
        for number in range(tasks):  # files of their own, as of so many tasks
            shutil.copy(patch, patches / f"{number:04}.patch")
        found[tasks] = {}
        for processes in PROCESSES:
            print(f"memory of {tasks} tasks in {processes} processes", file=sys.stderr, flush=True)
            found[tasks][processes] = measure_processes(program, backbones[DTYPE], patches, processes)
        shutil.rmtree(patches)
    return {"files": {"backbone": backbones[DTYPE].stat().st_size, "patch": patch.stat().st_size}, "found": found}


def measure_processes(program, backbone, patches, count):
    """Bytes of all processes together: of the mapped backbone, of mapped patches, of everything else."""
    running = [subprocess.Popen([program, backbone, patches], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in running:
            process.stdout.readline()  # all tasks have run
        parts = [proportional(process.pid, backbone.name) for process in running]
    finally:
        for process in running:
            process.communicate()
    return {name: sum(part[name] for part in parts) for name in parts[0]}


def proportional(process, backbone):
    """Proportional set sizes of a process, in bytes."""
    found, part = {"backbone": 0, "patches": 0, "rest": 0}, "rest"
    with open(f"/proc/{process}/smaps") as lines:
        for line in lines:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                part = "backbone" if line.rstrip().endswith(backbone) else "patches" if line.rstrip().endswith(".patch") else "rest"
            elif line.startswith("Pss:"):
                found[part] += 1024 * int(line.split()[1])
    return found


def render(measured):
    """The section of RESULTS.md."""
    files, found = measured["files"], measured["found"]
    mega = lambda count: f"{count / 1e6:.1f}"  # noqa: E731
    rows = []
    for tasks, of_processes in found.items():
        for processes, parts in of_processes.items():
            rows.append([tasks, processes, mega(parts["backbone"]), mega(parts["patches"]), mega(parts["rest"]), mega(sum(parts.values()))])
    return ["## Memory of many tasks\n",
            f"Megabytes of all processes together, as proportional set sizes: a page that several processes share counts once. "
            f"{NETWORK}, {DTYPE}, backbone of {mega(files['backbone'])} MB and patches of {files['patch'] / 1e3:.0f} kB, all of them mapped "
            f"(`Backbone::map`, `Patch::map`) and each run once; the rest is arenas and the program (`runtime/examples/resident.rs`).\n",
            table(["tasks", "processes", "backbone", "patches", "rest", "all"], rows)]
