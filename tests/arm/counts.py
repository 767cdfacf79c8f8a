"""Instructions and modelled cycles of AArch64 inference, compared with what counts.tsv has recorded.

QEMU counts the instructions of an inference exactly; llvm-mca says what they would cost on a core, without caches and
branches that miss. Neither is a time, both show what a change of the code does. Figures depend on the compiler: against
the recorded ones of the same rustc more than 1 % of growth is a failure, against those of another one more than 10 %.
Ends with "N passed, N failed".
"""

import argparse
import concurrent.futures
import csv
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.arm import cycles, profile
from tests.parity import models
from tests.parity.common import REPOSITORY, Patchtool

RECORDED = Path(__file__).with_name("counts.tsv")
COLUMNS = ["network", "core", "rustc", "instructions", "cycles"]
SAME_RUSTC, OTHER_RUSTC = 0.01, 0.10  # growth that is let pass
DEMO = REPOSITORY / "tools" / "assets" / "demo"
NETWORKS = {"demo": None, "mobilenet-v2": "mobilenet-v2-folded", "lite0": "efficientnet-lite0"}


class Core(NamedTuple):
    """A core: QEMU's CPU with the same instructions, and LLVM's name of its model."""
    cpu: str
    model: str


CORES = {
    "cortex-a72": Core("cortex-a72", "cortex-a72"),
    # LLVM's cortex-a76 is an older core; the Neoverse N1 is the same one in servers.
    "cortex-a76": Core("cortex-a76", "neoverse-n1"),
    "cortex-a55": Core("cortex-a76", "cortex-a55"),
    # With i8mm.
    "cortex-a710": Core("max", "neoverse-n2"),
}
MEASURED = ["cortex-a72", "cortex-a76", "cortex-a55", "cortex-a710"]


def build_backbones(patchtool, network, resolution, folder):
    """The backbones of a network in f32 and in int8, by name."""
    if NETWORKS[network] is None:
        return {network: DEMO / "demo.backbone", f"{network}-int8": DEMO / "int8" / "demo.backbone"}
    name = f"{network}-{resolution}"
    float_backbone, int8_backbone = folder / f"{name}.backbone", folder / f"{name}-int8.backbone"
    model = models.build(NETWORKS[network], folder, resolution)
    patchtool.import_onnx(model, float_backbone, "127", "128")
    patchtool("quantize", float_backbone, "--calibrate", DEMO / "fashion-test.tar", "-o", int8_backbone, "--force")
    return {name: float_backbone, f"{name}-int8": int8_backbone}


def growth(figures, recorded):
    """How much larger instructions and cycles are than recorded ones, as a share."""
    pairs = [(figures[name], int(recorded[name])) for name in COLUMNS[3:] if figures[name] and recorded[name]]
    return [now / before - 1 for now, before in pairs]


def judge(figures, rows):
    """What is to be said about the figures of one network on one core, and whether they pass."""
    known = [row for row in rows if all(row[name] == figures[name] for name in COLUMNS[:2])]
    same = [row for row in known if row["rustc"] == figures["rustc"]]
    recorded = next(iter(same or known), None)
    if recorded is None:
        return "not recorded", True
    grown = growth(figures, recorded)
    said = " ".join(f"{100 * share:+.2f} %" for share in grown) + ("" if same else f" against rustc {recorded['rustc']}")
    if max(grown) > (SAME_RUSTC if same else OTHER_RUSTC):
        before = ", ".join(f"{int(recorded[name]):,} {name}" for name in COLUMNS[3:] if recorded[name])
        return f"{said}  GREW: recorded are {before}", False
    return said + ("  smaller: record it" if same and min(grown) < -SAME_RUSTC else ""), True


def record(measured, rows):
    """Write the measured figures over the recorded ones of the same compiler."""
    keys = {tuple(figures[name] for name in COLUMNS[:3]) for figures in measured}
    kept = [row for row in rows if tuple(row[name] for name in COLUMNS[:3]) not in keys]
    with RECORDED.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(kept + measured, key=lambda row: [row[name] for name in COLUMNS[:3]]))


def show_functions(counts, costs, names):
    """Instructions and cycles by kernel and function, the most first."""
    instructions, cost = Counter(), Counter()
    for block, count in counts.items():
        name = names.get(block, ("", "(libraries)"))
        instructions[name] += count * len(block.words)
        cost[name] += count * costs.get(block, 0)
    total = instructions.total()
    for (kernel, function), count in instructions.most_common():
        if count >= total / 1000:
            print(f"{count / 1e6:10.3f} M {100 * count / total:5.1f} % {cost[kernel, function] / 1e6:10.3f} M cycles  "
                  f"{kernel:16} {function}")


def show_blocks(counts, costs, names, disassembly, most):
    """The blocks with most instructions executed, disassembled."""
    for block in sorted(counts, key=lambda block: -counts[block] * len(block.words))[:most]:
        kernel, function = names.get(block, ("", "(libraries)"))
        print(f"{counts[block]:,} x {len(block.words)} instructions, {costs.get(block, 0):.1f} cycles: {kernel} {function}")
        print("\n".join(f"    {line}" for line in disassembly[block]))


def measure(program, name, backbone, cpu, cores, folder):
    """The figures of a network on the cores that have the instructions of `cpu`, and what they were made of."""
    with tempfile.TemporaryDirectory(dir=folder) as own:  # others measure at the same time
        counts, kernels = program.inference(cpu, backbone, Path(own))
        disassembly = profile.disassemble(counts, Path(own))
    found = []
    for core in cores:
        costs = cycles.model(list(counts), disassembly, CORES[core].model) if cycles.LLVM_MCA else {}
        modelled = round(sum(costs[block] * count for block, count in counts.items())) if costs else ""
        figures = dict(zip(COLUMNS, [name, core, program.rustc(), profile.instructions(counts), modelled]))
        found.append((figures, kernels, counts, costs, disassembly))
    return found


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patchtool", metavar="PATH", help="the binary [target/release/patchtool, then the PATH]")
    parser.add_argument("--program", type=Path, required=True, help="graft-runtime's example repeat, for AArch64")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="of which networks [all]")
    parser.add_argument("--backbones", nargs="+", type=Path, metavar="B", help="of these backbones instead")
    parser.add_argument("--cores", nargs="+", choices=CORES, default=MEASURED,
                        help=f"on which cores, of {', '.join(CORES)} [{' '.join(MEASURED)}]")
    parser.add_argument("--resolution", type=int, default=96, help="input height and width of the networks [96]")
    parser.add_argument("--record", action="store_true", help="write the figures to counts.tsv")
    parser.add_argument("--funcs", action="store_true", help="show instructions and cycles by function")
    parser.add_argument("--blocks", type=int, default=0, metavar="N", help="show the N blocks with most instructions")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    with RECORDED.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    measured, passed, failed = [], 0, 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(folder)
        program = profile.Program(arguments.program, profile.build_plugin(folder))
        patchtool = Patchtool(arguments.patchtool)
        backbones = {path.stem: path for path in arguments.backbones or []}
        if not backbones:
            for network in arguments.networks:
                backbones |= build_backbones(patchtool, network, arguments.resolution, folder)
        cpus = {CORES[core].cpu: [other for other in arguments.cores if CORES[other].cpu == CORES[core].cpu]
                for core in arguments.cores}
        tasks = [pool.submit(measure, program, name, backbone, cpu, cores, folder)
                 for name, backbone in backbones.items() for cpu, cores in cpus.items()]
        for figures, kernels, counts, costs, disassembly in (found for task in tasks for found in task.result()):
            said, passes = judge(figures, rows)
            measured.append(figures)
            passed, failed = passed + passes, failed + (not passes)
            print(f"{figures['network']:22} {figures['core']:11} {kernels:12} {figures['instructions']:12,} instructions "
                  f"{figures['cycles'] or 0:12,} cycles  {said}", flush=True)
            names = profile.kernels(counts, program) if arguments.funcs or arguments.blocks else {}
            if arguments.funcs:
                show_functions(counts, costs, names)
            show_blocks(counts, costs, names, disassembly, arguments.blocks)
    if arguments.record:
        record(measured, rows)
        return 0
    print("to accept what changed: tests/arm/run --record, and commit tests/arm/counts.tsv")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
