"""What an AArch64 program executes, block by block, counted by QEMU with the plugin blocks.c."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

BINUTILS = "aarch64-linux-gnu-"
PAGE = 4096  # bytes, of QEMU's AArch64
LIBRARIES = "?"  # the function of blocks that are not the program's own
# Debian's arm64 libc where it is installed, else the cross compiler's.
ROOT = "/" if Path("/lib/ld-linux-aarch64.so.1").exists() else "/usr/aarch64-linux-gnu"


class Block(NamedTuple):
    """Instructions that are executed one after the other: where the program's file has them, and what they are."""
    function: str
    address: int
    words: tuple


def run(command, **options):
    """The output of a command; ends the script where it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, **options)
    if done.returncode != 0:
        said = done.stderr if options.get("text") else done.stderr.decode(errors="replace")
        sys.exit(f"error: {command[0]} failed (status {done.returncode}): {said.strip()}")
    return done.stdout


def build_plugin(folder):
    """Compile the plugin for the QEMU that is installed."""
    version = int(re.search(r"version (\d+)", run(["qemu-aarch64", "--version"], text=True))[1])
    plugin = folder / "blocks.so"
    run(["cc", "-O2", "-shared", "-fPIC", f"-DAPI={1 if version < 9 else 2}", "-o", plugin,
         Path(__file__).with_name("blocks.c")])
    return plugin


class Program:
    """The example `repeat` of graft-runtime, run by QEMU."""

    def __init__(self, path, plugin):
        self.path, self.plugin = path, plugin
        symbols = run([BINUTILS + "nm", path], text=True).splitlines()
        self.start = next(int(line.split()[0], 16) for line in symbols if line.endswith(" _start"))

    def rustc(self):
        """The version of the compiler that made it."""
        comment = run([BINUTILS + "readelf", "-p", ".comment", self.path], text=True)
        return re.search(r"rustc version (\S+)", comment)[1]

    def executions(self, cpu, backbone, runs, output):
        """How often each block is executed, and what the program said."""
        said = run(["qemu-aarch64", "-cpu", cpu, "-L", ROOT, "-plugin", f"{self.plugin},out={output}", "-d", "plugin",
                    self.path, backbone, runs], text=True)
        lines = [line.split() for line in output.read_text().splitlines()]
        moved = next(int(address, 16) for function, address, *_ in lines if function == "_start") - self.start
        counts = Counter()
        for function, address, count, *words in lines:
            # Libraries lie anywhere: their blocks are told apart by what is in them.
            address = int(address, 16) - moved if function != LIBRARIES else 0
            counts[Block(function, address, tuple(int(word, 16) for word in words))] += int(count)
        return counts, said

    def inference(self, cpu, backbone, folder):
        """The executions of one inference, not the first, and the name of its kernels."""
        counts, said = self.executions(cpu, backbone, 2, folder / f"{backbone.stem}.{cpu}.2")
        counts.subtract(self.executions(cpu, backbone, 1, folder / f"{backbone.stem}.{cpu}.1")[0])
        return join_pages(+counts), said.split()[0]


def join_pages(counts):
    """The same executions with blocks whole that QEMU cut where a page ends: where code lies must not change its cycles."""
    joined = Counter(counts)
    starts = {block.address: block for block in counts if block.function != LIBRARIES}
    for block in sorted(starts.values(), key=lambda block: -block.address):
        end = block.address + 4 * len(block.words)
        after = starts.get(end)
        if end % PAGE == 0 and after and joined[after] == joined[block]:
            whole = Block(block.function, block.address, block.words + after.words)
            joined[whole] = joined.pop(block)
            del joined[after]
            starts[block.address] = whole
    return joined


def instructions(counts):
    """The number of instructions executed."""
    return sum(count * len(block.words) for block, count in counts.items())


def disassemble(blocks, folder):
    """The instructions of each block as text."""
    words = sorted({word for block in blocks for word in block.words})
    binary = folder / "words.bin"
    binary.write_bytes(b"".join(word.to_bytes(4, "little") for word in words))
    listing = run([BINUTILS + "objdump", "-D", "-b", "binary", "-m", "aarch64", "--no-show-raw-insn", binary], text=True)
    # "   8:	add	x0, x1, x2	// a remark"
    lines = re.findall(r"^ *[0-9a-f]+:\t(.*)$", listing, re.MULTILINE)
    text = {word: re.split(r"\s*//", line)[0].replace("\t", " ") for word, line in zip(words, lines, strict=True)}
    return {block: [text[word] for word in block.words] for block in blocks}


def kernels(blocks, program):
    """For each block of the program, the kernel that it is of, such as int8/depthwise, and its function."""
    known = [block for block in blocks if block.function != LIBRARIES]
    listing = run([BINUTILS + "addr2line", "-a", "-i", "-e", program.path], text=True,
                  input="\n".join(f"{block.address:#x}" for block in known))
    # Of each block the lines of source that it is of, that of the innermost inlined function first.
    sources = re.split(r"^0x[0-9a-f]+\n", listing, flags=re.MULTILINE)[1:]
    functions = run([BINUTILS + "c++filt"], text=True, input="\n".join(block.function for block in known)).splitlines()
    names = {}
    for block, source, function in zip(known, sources, functions, strict=True):
        kernel = re.search(r"/kernels/((?:f32|int8)/\w+)/", source)
        names[block] = kernel[1] if kernel else "", re.sub(r"::h[0-9a-f]{16}$", "", function)
    return names
