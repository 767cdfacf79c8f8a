"""Ctrl-C, handlers of signals, forks and little memory: a session never hangs, and is never used twice at a time."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy
import pytest

from conftest import DEMO

# What every program below begins with, and the seconds after which it is taken to hang.
START = """
import gc, os, resource, signal, sys, threading, time
import numpy, graft
backbone = graft.Backbone.open(sys.argv[1])
own, session = backbone.identity(), graft.Session(backbone, threads=2)
picture, many = numpy.zeros((48, 48, 3), numpy.uint8), numpy.zeros((2_000, 48, 48, 3), numpy.uint8)

def later(call, seconds=0.3):
    threading.Timer(seconds, call).start()

def in_background(call):
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    time.sleep(0.3)
    return thread
"""
PATIENCE = 60


def run(program):
    command = [sys.executable, "-X", "faulthandler", "-c", START + program, DEMO / "demo.backbone"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_handler_that_runs_the_session_it_interrupts():
    assert run("""
def handler(*_):
    try:
        session.run(own, picture)
    except graft.Error as error:
        print("refused" if "signal" in str(error) and error.hint else error)
    print(graft.Session(backbone).run(own, picture).shape == (own.classes,))
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.3)
print(len(session.run(own, many)))
""") == ["refused", "True", "2000"]


def test_a_handler_that_closes_the_session_it_interrupts():
    assert run("""
signal.signal(signal.SIGALRM, lambda *_: session.close())
signal.setitimer(signal.ITIMER_REAL, 0.3)
print(len(session.run(own, many)))
try:
    session.run(own, picture)
except graft.ClosedError:
    print("closed")
""") == ["2000", "closed"]


def test_ctrl_c_ends_waiting_for_a_session():
    assert run("""
thread = in_background(lambda: session.run(own, numpy.zeros((200_000, 48, 48, 3), numpy.uint8)))
later(lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    session.run(own, picture)
except KeyboardInterrupt:
    print("stopped", thread.is_alive(), flush=True)
    os._exit(0)
""") == ["stopped", "True"]


def test_closing_does_not_wait_for_another_thread():
    assert run("""
thread = in_background(lambda: print(len(session.run(own, many)), flush=True))
session.close()
print(thread.is_alive(), flush=True)
thread.join()
""") == ["True", "2000"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("end", ["session.close()", "del session; gc.collect()", "session.__exit__(None, None, None)"])
@pytest.mark.parametrize("before", ["session.run(own, many[:9])", "thread = in_background(lambda: session.run(own, many))"])
def test_a_fork_ends_the_session_of_its_parent(before, end):
    assert run(f"""
{before}
child = os.fork()
if child == 0:
    {end}
    print(len(graft.Session(backbone).run(own, many[:2])), flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1] == 0, session.run(own, picture).shape == (own.classes,))
""") == ["2", "True", "True"]


def test_ctrl_c_ends_the_preprocessing_of_a_batch(fashion):
    pictures = numpy.zeros((600, 1000, 1000, 1), numpy.uint8)
    fashion.preprocess(pictures[:2])
    start = time.monotonic()
    fashion.preprocess(pictures[:30])
    share = time.monotonic() - start
    timer = threading.Timer(share, os.kill, (os.getpid(), signal.SIGINT))
    start = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fashion.preprocess(pictures)
    assert time.monotonic() - start < 10 * share
    timer.join()


def test_a_batch_that_does_not_fit_in_memory():
    """Its result is 48 times as large as it is."""
    assert run("""
mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
small = numpy.zeros((400_000, 12, 12, 1), numpy.uint8)
resource.setrlimit(resource.RLIMIT_AS, (mapped + (1 << 30), ) * 2)
try:
    own.preprocess(small)
except MemoryError as error:
    print("too", "large")
print(own.preprocess(small[:2]).shape[0])
""") == ["too", "large", "2"]
