"""The program `patchtool`: what the extension module has of it, run as a program of its own."""

import signal
import sys

from ._graft import program


def main() -> None:
    # As a program that is no Python: Ctrl-C ends it at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(program(sys.argv))
