"""The examples for Ray, on a cluster of two nodes of this machine, and what the README has for Dask."""

import csv
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time

import pytest

import graft
from conftest import DEMO, ROOT, SNEAKER

ray = pytest.importorskip("ray", reason="Ray is not installed: tests/run wheels")
import pyarrow.parquet
import ray.cluster_utils
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
PATCHTOOL = pathlib.Path(sys.executable).with_name("patchtool")
sys.path.insert(0, str(EXAMPLES))
import ray_predict
import ray_train

QUICK = {"kind": "bn+head", "epochs": 2, "seed": 3, "threads": 1, "resolution": "32"}


@pytest.fixture(scope="module")
def cluster():
    for module in (ray_predict, ray_train, sys.modules[__name__]):
        ray.cloudpickle.register_pickle_by_value(module)
    cluster = ray.cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def backbone():
    return graft.Backbone.open(DEMO / "demo.backbone")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """Twenty data sets: pairs of classes of the demo's, of ten images each."""
    folder = tmp_path_factory.mktemp("tasks")
    for name in ("fashion", "greek", "sign-digits"):
        with tarfile.open(DEMO / f"{name}-train.tar") as archive:
            archive.extractall(folder / "all" / name, filter="data")
    classes = sorted((folder / "all").glob("*/*/"))
    for index in range(20):
        for own in (classes[index], classes[-1 - index % 7]):
            for image in sorted(own.iterdir())[:10]:
                (folder / f"task-{index:02}" / own.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(image, folder / f"task-{index:02}" / own.name)
    return sorted(folder.glob("task-*"))


def serial(backbone, data, folder, options):
    """The bytes of the patch that a task has without Ray."""
    folder.mkdir(exist_ok=True)
    ray_train.train_task(backbone, data, folder / f"{data.stem}.patch", options)
    return (folder / f"{data.stem}.patch").read_bytes()


def test_patches_of_two_nodes_are_those_of_one_process(tmp_path, monkeypatch, cluster, backbone, tasks):
    train_task = ray_train.train_task

    def train_and_tell(*arguments):
        train_task(*arguments)
        return ray.get_runtime_context().get_node_id()

    monkeypatch.setattr(ray_train, "train_task", train_and_tell)
    pairs = [(data, tmp_path / f"{data.stem}.patch") for data in tasks]
    bad = tmp_path / "bad.patch"
    results = dict(ray_train.train_all(backbone, [(DEMO / "README.md", bad), *pairs], QUICK))
    error = results.pop(bad)
    assert isinstance(error, graft.Error) and error.hint and not bad.exists()
    assert len(results) == 20 and set(results.values()) == {node["NodeID"] for node in ray.nodes()}
    monkeypatch.undo()
    patches = {serial(backbone, data, tmp_path / "serial", QUICK) for data in tasks}
    assert len(patches) == 20
    assert patches == {patch.read_bytes() for _, patch in pairs}


def killer(checkpoint):
    """A thread that kills the process that trains with this checkpoint, once there is one to go on from."""
    lock = f"{checkpoint}.lock"

    def work():
        end = time.monotonic() + 300
        while not checkpoint.exists() and time.monotonic() < end:
            time.sleep(0.01)
        for file in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
            try:
                process, is_lock = int(file.parts[2]), os.readlink(file) == lock
            except OSError:
                continue
            if is_lock and process != os.getpid():
                os.kill(process, signal.SIGKILL)
                return

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("retries", [0, 2])
def test_a_worker_that_is_killed_costs_its_own_task(tmp_path, cluster, backbone, tasks, retries):
    options = QUICK | {"epochs": 10, "checkpoint_every": 0}
    victim, *others = [(data, tmp_path / f"{data.stem}.patch") for data in (DEMO / "fashion-train.tar", *tasks[:3])]
    checkpoint = tmp_path / "fashion-train.safetensors.checkpoint"
    thread = killer(checkpoint)
    results = dict(ray_train.train_all(backbone, [victim, *others], options, retries))
    thread.join()
    assert all(results[patch]["best"]["epoch"] for _, patch in others)
    if retries == 0:
        assert isinstance(results[victim[1]], ray.exceptions.WorkerCrashedError)
        assert checkpoint.exists() and not victim[1].exists()
        # The same once more goes on from there.
        results = dict(ray_train.train_all(backbone, [victim], options, retries))
    assert results[victim[1]]["best"]["epoch"] and not checkpoint.exists()
    assert victim[1].read_bytes() == serial(backbone, victim[0], tmp_path / "serial", options)


class Watched(ray_predict.Labeller):
    def memory(self):
        """Kilobytes of the backbone's map in this process: all that are there, its share of them, and those it has copied."""
        return mapped(self.session.backbone.path)


def mapped(path):
    sizes, is_own = {"Rss": 0, "Pss": 0, "Anonymous": 0}, False
    for line in pathlib.Path("/proc/self/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if "-" in name.split()[0]:
            is_own = line.endswith(str(path))
        elif is_own and name in sizes:
            sizes[name] += int(value.split()[0])
    return sizes


@pytest.mark.parametrize("workers", [1, 4])
def test_workers_of_a_machine_share_one_backbone(tmp_path, cluster, workers):
    for name in ("demo.backbone", "fashion.patch", "sign-digits.patch"):
        shutil.copy(DEMO / name, tmp_path)
    backbone = graft.Backbone.open(tmp_path / "demo.backbone")
    patches = [graft.Patch.open(tmp_path / name, backbone) for name in ("fashion.patch", "sign-digits.patch")]
    own = Watched(patches)
    there = [
        ray.remote(Watched).options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(patches)
        for node in ray.nodes() for _ in range(workers)
    ]  # fmt: skip
    batch = {"path": ["sneaker"], "bytes": [SNEAKER.read_bytes()]}
    expected = own(batch)
    for worker in there:
        assert ray.get(worker.__call__.remote(batch)) == expected
    sizes = [own.memory(), *ray.get([worker.memory.remote() for worker in there])]
    size = backbone.path.stat().st_size / 1024
    assert all(each["Rss"] > 0.9 * size and each["Anonymous"] == 0 for each in sizes)
    # Both nodes are this machine: one copy for all.
    assert sum(each["Pss"] for each in sizes) == pytest.approx(size, rel=0.1)


def test_the_lines_for_dask(tmp_path, capsys, backbone, tasks):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    readme = (ROOT / "tools/python/README.md").read_text()
    (lines,) = re.findall(r"^    client = .*\n(?:    .*\n)+", readme, re.MULTILINE)
    pairs = [(data, tmp_path / f"{data.stem}.patch") for data in tasks[:3]]
    known = {"backbone": backbone, "distributed": distributed, "tasks": pairs, "train_task": ray_train.train_task}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as machines:
        exec(textwrap.dedent(lines).replace("scheduler:8786", machines.scheduler_address), known)
        known["client"].close()
    assert capsys.readouterr().out.count("validation_accuracy") == 3
    for data, patch in pairs:
        assert patch.read_bytes() == serial(backbone, data, tmp_path / "serial", {"threads": 1})


def run(example, cluster, *arguments):
    command = [sys.executable, EXAMPLES / example, "--address", cluster.address, "--backbone", DEMO / "demo.backbone", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_script_that_trains(tmp_path, cluster, backbone, tasks):
    options = ["--output", tmp_path / "new", "--kind=bn+head", "--epochs=2", "--seed=3", "--set=resolution=32"]
    done = run("ray_train.py", cluster, *options, tasks[0], f"bad={DEMO / 'README.md'}")
    assert done.returncode == 1 and "bad: failed: " in done.stdout and "1 patches trained, 1 tasks failed" in done.stdout, done
    patch = tmp_path / "new/task-00.patch"
    assert patch.read_bytes() == serial(backbone, tasks[0], tmp_path / "serial", QUICK)
    before = patch.stat().st_mtime_ns
    done = run("ray_train.py", cluster, *options, *tasks[:2])
    assert done.returncode == 0 and "task-00: there already" in done.stdout and (tmp_path / "new/task-01.patch").exists(), done
    assert patch.stat().st_mtime_ns == before
    assert run("ray_train.py", cluster, *options, tasks[2], f"task-02={tasks[3]}").returncode == 2


def rows_of(folder):
    for file in folder.iterdir():
        if file.suffix == ".csv":
            yield from csv.DictReader(file.open())
        elif file.suffix == ".parquet":
            yield from pyarrow.parquet.read_table(file).to_pylist()
        else:
            yield from map(json.loads, file.open())


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_the_script_that_labels(tmp_path, cluster, form):
    photos = tmp_path / "photos"
    shutil.copytree(ROOT / "tests/cases/images", photos)
    cut = photos / "cut.png"
    cut.write_bytes(SNEAKER.read_bytes()[:200])
    with tarfile.open(DEMO / "fashion-test.tar") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    shutil.copy(DEMO / "fashion-test.tar", tmp_path / "packed.tar")
    patches = [f"--patch={DEMO / name}" for name in ("fashion.patch", "sign-digits.patch")]
    output = ["--output", tmp_path / "labels", "--format", form]
    done = run("ray_predict.py", cluster, *patches, *output, photos, tmp_path / "packed.tar")
    command = [PATCHTOOL, "run", "--json", "--top=1", "-b", DEMO / "demo.backbone", *patches, photos, tmp_path / "unpacked"]
    expected = json.loads(subprocess.run(command, capture_output=True).stdout)["results"]
    assert len(expected) > 200 and done.returncode == 1, done
    assert f"{len(expected) + 2} rows, 2 of them of images that cannot be read" in done.stdout
    found = {(row["path"].replace("packed.tar", "unpacked"), row["patch"]): row for row in rows_of(tmp_path / "labels")}
    for name in ("fashion.patch", "sign-digits.patch"):
        assert "truncated" in found.pop((str(cut), name))["error"]
    # JSON has ten digits.
    digits = 10 if form == "json" else 20
    labelled = {key: (row["label"], float(row["probability"])) for key, row in found.items()}
    tops = {(row["image"], row["patch"]): row["top"][0] for row in expected}
    assert labelled == {key: (top["label"], round(top["probability"], digits)) for key, top in tops.items()}
    assert run("ray_predict.py", cluster, *patches, *output, photos).returncode == 2
