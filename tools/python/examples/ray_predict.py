"""Labels images with patches on the machines of a Ray cluster.

    python ray_predict.py --backbone demo.backbone --patch fashion.patch --output labels photos more.tar

Writes a row for each image and patch, with its path, label and probability, as CSV, Parquet or JSON lines: a folder of files, of
which each worker writes its own. An image that cannot be read has the error in its row. Every machine sees the files under the
same paths, and has this wheel.
"""

import argparse
import pathlib
import sys
import tarfile

import numpy
import ray

import graft

IMAGES = ["jpg", "jpeg", "png"]


class Labeller:
    """What a worker has open: the patches and a session. It is made there, once; patches and their backbone come as paths and
    digests, and all workers of a machine map the same backbone."""

    def __init__(self, patches):
        self.session = graft.Session(patches[0].backbone)
        # Patches that see the same pixels share a call, and in it the layers that are the same.
        self.groups = {}
        for patch in patches:
            sees = (patch.input_shape, patch.resize, *patch.mean, *patch.std)
            self.groups.setdefault(sees, []).append(patch)

    def __call__(self, batch):
        """Rows for a batch of files, `path` and `bytes`."""
        rows = []
        for patches in self.groups.values():
            paths, pictures = [], []
            for path, content in zip(batch["path"], batch["bytes"]):
                try:
                    pictures.append(patches[0].preprocess(content))
                    paths.append(path)
                except graft.FileError as error:
                    rows += [(path, patch.name, "", numpy.nan, str(error)) for patch in patches]
            if not pictures:
                continue
            for patch, scores in zip(patches, self.session.run_many(patches, numpy.stack(pictures))):
                probabilities = patch.probabilities(scores)
                for path, of in zip(paths, probabilities):
                    rows.append((path, patch.name, patch.labels[of.argmax()], of.max(), ""))
        return dict(zip(["path", "patch", "label", "probability", "error"], map(list, zip(*rows))))


def members(row):
    """The images in an archive."""
    with tarfile.open(row["archive"]) as archive:
        for member in archive:
            if member.isfile() and member.name.rpartition(".")[2].lower() in IMAGES:
                yield {"path": f"{row['archive']}/{member.name}", "bytes": archive.extractfile(member).read()}


def files(source):
    """The images in a folder or tar archive, as a data set of `path` and `bytes`."""
    if pathlib.Path(source).is_dir():
        return ray.data.read_binary_files(source, include_paths=True, file_extensions=IMAGES)
    return ray.data.from_items([{"archive": source}]).flat_map(members)


def label(sources, patches, workers):
    """The rows of all images in folders and archives, as a data set."""
    first, *others = map(files, sources)
    images = first.union(*others) if others else first
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers)
    return images.map_batches(Labeller, fn_constructor_args=[patches], compute=pool, batch_size=64, num_cpus=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="folders and tar archives of JPEG and PNG images")
    parser.add_argument("--backbone", required=True, metavar="B")
    parser.add_argument("--patch", required=True, action="append", metavar="P", help="may be given several times")
    parser.add_argument("--output", required=True, metavar="FOLDER", type=pathlib.Path, help="a new folder")
    parser.add_argument("--format", default="csv", choices=["csv", "parquet", "json"], help="of the files in it (%(default)s)")
    parser.add_argument("--workers", type=int, metavar="N", help="at most so many, of a core each; by default one a core")
    parser.add_argument("--address", metavar="A", help="a Ray cluster, such as auto; by default this machine alone")
    arguments = parser.parse_args()
    if arguments.output.exists():
        parser.error(f"{arguments.output} is there already: give a new folder")
    backbone = graft.Backbone.open(arguments.backbone)
    patches = [graft.Patch.open(path, backbone) for path in arguments.patch]
    sources = [str(pathlib.Path(path).absolute()) for path in arguments.images]
    ray.init(address=arguments.address)
    workers = arguments.workers or int(ray.cluster_resources()["CPU"])
    rows = label(sources, patches, workers).materialize()
    if not rows.count():
        sys.exit(f"no JPEG or PNG images in {', '.join(sources)}")
    getattr(rows, f"write_{arguments.format}")(str(arguments.output.absolute()))
    failed = rows.filter(lambda row: row["error"] != "").count()
    print(f"{rows.count()} rows, {failed} of them of images that cannot be read")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
