"""Functions that fast kernels call: what is not inlined into a kernel is not compiled for its instruction set.

A closure or a generic of the standard library that stays a function of its own runs on plain registers, through memory,
as often as the kernel calls it. So kernels, the functions `checked` and `kernel` that kernels/entry.rs makes and `tiles` of
int8/table.rs, may only call what is named here. What they call is read from the relocations of the compiled library of
graft-runtime.
Ends with "N passed, N failed".
"""

import argparse
import collections
import re
import sys
from pathlib import Path

from tests.arm.profile import BINUTILS, run

KERNEL = re.compile(r"graft_runtime::kernels::isa::(?:\w+::)+([A-Z]\w*)(?:::checked(?:::kernel)?$|.*>::tiles$)")
DATA = re.compile(r"^\.|^anon\.|(^|::)[A-Z][A-Z0-9_]*$")
ALLOWED = re.compile("|".join([
    r"^mem(cpy|set|move)$",
    r"^core::(panicking|option|result)::|^core::slice::index::slice_index_fail$|fmt::(Debug|Display)>?::fmt$",  # panics
    r"::checked::kernel$|Tiled.*>::tiles",
    r"::check(_\w+)?$|::kernels::check::",  # arguments, before the kernel runs
    r"^<graft_runtime::kernels::isa::portable::Portable(<.*>)? as .*::Lanes>::(dot|store)$",  # has no instruction set
    r"::Window::pad_before$|::int8::conv::simd::Windows::(new|clipped)$",  # sizes, not values
]))


def plain(symbol):
    """A demangled name without the hashes of its crates and itself."""
    return re.sub(r"::h[0-9a-f]{16}$|\[[0-9a-f]+\]", "", symbol)


def relocations(library):
    """Pairs of a function's section and a symbol that it refers to, as the library has them."""
    listing = run([BINUTILS + "objdump", "-r", library], text=True)
    if "aarch64" not in listing:  # it is of this machine
        listing = run(["objdump", "-r", library], text=True)
    function = re.compile(r"^\.text\.(unlikely\.)?")  # in front of its name: each has a section of its own
    section = None
    for line in listing.splitlines():
        if heading := re.match(r"RELOCATION RECORDS FOR \[(.*)\]:$", line):
            section = function.sub("", heading[1])
        elif record := re.match(r"[0-9a-f]+ R_\w+ +(.*?)([-+]0x[0-9a-f]+)?$", line):
            yield section, function.sub("", record[1])


def called(library):
    """For each kernel the functions that it refers to, and how often."""
    pairs = list(relocations(library))
    mangled = sorted({name for pair in pairs for name in pair})
    demangled = run(["c++filt", "-n"], input="\n".join(mangled), text=True).splitlines()
    names = dict(zip(mangled, map(plain, demangled), strict=True))
    calls = {}
    for caller, callee in ((names[caller], names[callee]) for caller, callee in pairs):
        if KERNEL.search(caller):
            functions = calls.setdefault(caller, collections.Counter())
            functions.update([callee] if not DATA.search(callee) else [])
    return calls


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("libraries", nargs="+", type=Path, metavar="RLIB", help="libgraft_runtime.rlib, in release mode")
    arguments = parser.parse_args()
    passed = failed = 0
    for library in arguments.libraries:
        calls = called(library)
        tables = {KERNEL.search(kernel)[1] for kernel in calls}
        print(f"{library}: kernels of {', '.join(sorted(tables)) or 'NONE'}")
        failed += not calls
        for caller, functions in sorted(calls.items()):
            refused = {callee: count for callee, count in functions.items() if not ALLOWED.search(callee)}
            passed, failed = passed + (not refused), failed + bool(refused)
            for callee, count in refused.items():
                print(f"    {caller} refers {count} times to {callee}")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
