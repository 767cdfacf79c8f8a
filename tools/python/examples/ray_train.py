"""Trains a patch for each of many tasks on the machines of a Ray cluster.

    python ray_train.py --backbone demo.backbone --output patches fashion-train.tar sign-digits-train.tar

A task is a data set, a folder or an archive laid out class/image.(jpg|png), and gets the patch of its name in the output folder.
Every machine sees the files under the same paths, and has this wheel.

A worker that is killed is replaced by one that goes on from its checkpoint. A task that fails is reported, and costs only itself;
the same command again trains what is missing. The patches are those that one machine would train, to the byte.
"""

import argparse
import pathlib
import sys

import ray

import graft


def train_task(backbone, data, patch, options):
    """Trains a task and writes its patch, whole or not at all; returns the report of the training."""
    trained = patch.with_suffix(".safetensors")
    checkpoint = pathlib.Path(f"{trained}.checkpoint")
    report = graft.train(backbone, data, trained, resume=checkpoint.exists(), force=True, **options)
    graft.export(trained, backbone, patch, force=True)
    return report


def train_all(backbone, tasks, options, retries=3):
    """Trains all tasks, pairs of a data set and a patch to write: yields each patch and its report, or error, as they end.

    The backbone reaches the workers as its path and digest: those of one machine map the same memory.
    """
    remote = ray.remote(num_cpus=options.get("threads", 1), max_retries=retries)(train_task)
    running = {remote.remote(backbone, data, patch, options): patch for data, patch in tasks}
    while running:
        (ended,), _ = ray.wait(list(running))
        patch = running.pop(ended)
        try:
            yield patch, ray.get(ended)
        except ray.exceptions.RayError as error:
            yield patch, getattr(error, "cause", None) or error


def named(task):
    """The name and the path of a task: `NAME=PATH`, or a path, of which the last part is the name."""
    name, _, path = task.rpartition("=")
    path = pathlib.Path(path).absolute()
    return name or path.stem, path


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", metavar="TASK", help="a data set: PATH, or NAME=PATH")
    parser.add_argument("--backbone", required=True, metavar="B", help="the backbone of all patches")
    parser.add_argument("--output", required=True, metavar="FOLDER", type=pathlib.Path, help="where patches go")
    parser.add_argument("--address", metavar="A", help="a Ray cluster, such as auto; by default this machine alone")
    parser.add_argument("--kind", default="bn+head", help="what is trained (%(default)s)")
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="times that each image is learned from (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of all tasks (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="cores for a task (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="another option of graft.train")
    parser.add_argument("--retries", type=int, default=3, metavar="N", help="new workers for a task whose worker died (%(default)s)")
    parser.add_argument("--force", action="store_true", help="train again what has a patch or a checkpoint already")
    arguments = parser.parse_args()
    if arguments.threads < 1:
        parser.error("a task has at least one thread")
    tasks = [named(task) for task in arguments.tasks]
    names = [name for name, _ in tasks]
    if twice := {name for name in names if names.count(name) > 1}:
        parser.error(f"two tasks have the name {min(twice)}: give them names, as NAME=PATH")
    options = {name: getattr(arguments, name) for name in ("kind", "epochs", "seed", "threads")}
    for option in arguments.set:
        name, _, value = option.partition("=")
        options[name.replace("-", "_")] = value or True
    return arguments, tasks, options


def main():
    arguments, tasks, options = read_arguments()
    output = arguments.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    missing, failed = [], 0
    for name, data in tasks:
        patch = output / f"{name}.patch"
        if arguments.force:
            patch.with_suffix(".safetensors.checkpoint").unlink(missing_ok=True)
        elif patch.exists():
            print(f"{name}: there already; --force trains it again")
            continue
        missing.append((data, patch))
    backbone = graft.Backbone.open(arguments.backbone)
    ray.init(address=arguments.address)
    for patch, result in train_all(backbone, missing, options, arguments.retries):
        if isinstance(result, Exception):
            failed += 1
            print(f"{patch.stem}: failed: {result}")
            continue
        best = result["best"]
        right = best["validation_accuracy"]
        accuracy = "not validated" if right is None else f"{right:.1%} of the validation images right"
        print(f"{patch.stem}: {accuracy}, epoch {best['epoch']}, {result['seconds']:.0f} s")
    print(f"{len(missing) - failed} patches trained, {failed} tasks failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
