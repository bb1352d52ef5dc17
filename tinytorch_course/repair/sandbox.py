"""What keeps a candidate from doing harm: a clock for each, no files written, no processes, no network.

A mutated line of the learner's code may delete another file than it did, or never end. All of it runs in the child
process that checks the code; this is what holds it within that.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MEMORY = 4 * 2**30  # bytes that candidates may take beyond what is taken already
FORBIDDEN = (
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink", "os.chmod", "os.chown",
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.spawn", "os.posix_spawn", "os.startfile", "os.kill",
    "os.killpg", "os.putenv", "os.utime", "subprocess.Popen", "socket.", "shutil.", "tempfile.", "urllib.",
    "ctypes.", "signal.", "sqlite3.", "webbrowser.",
)  # fmt: skip

TICK, TICKS = 0.25, 4  # seconds, and how many of them one candidate may take

_guarding = False
_hooked = False
_ticks = 0


class OutOfBounds(BaseException):
    """A candidate took too long, or wanted what it may not have."""


def _hook(event: str, args: tuple) -> None:
    if not _guarding:
        return
    if event == "open":
        mode, flags = args[1], args[2]
        writes = isinstance(mode, str) and set(mode) & set("wax+")
        if writes or (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)):
            raise OutOfBounds(event)
    elif event.startswith(FORBIDDEN):
        raise OutOfBounds(event)


@contextmanager
def guarded() -> Iterator[None]:
    """Until it ends, candidates can be run: what they print is dropped, and memory is limited."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_hook)  # there is no way to take it back
        _hooked = True
    streams = sys.stdout, sys.stderr, sys.stdin
    with open(os.devnull, "w") as nowhere, open(os.devnull) as nothing, limited_memory(), _ringing():
        sys.stdout, sys.stderr, sys.stdin = nowhere, nowhere, nothing
        try:
            yield
        finally:
            sys.stdout, sys.stderr, sys.stdin = streams


@contextmanager
def limited_memory(more: int = MEMORY) -> Iterator[None]:
    """Until it ends, this process gets no more than so many bytes beyond what it has, where the system can do that."""
    try:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as sizes:
            now = int(sizes.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + more if hard == resource.RLIM_INFINITY else hard, hard))
    except (ImportError, OSError, ValueError):  # not on this system
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def candidate() -> Iterator[None]:
    """One candidate runs: it may not write files, start processes or speak to the network, nor take long."""
    global _guarding, _ticks
    _ticks, _guarding = 0, True
    try:
        yield
    finally:
        _guarding = False


def _ring(*_: Any) -> None:
    global _ticks
    _ticks += 1
    if _guarding and _ticks > TICKS:
        raise OutOfBounds("it took too long")


@contextmanager
def _ringing() -> Iterator[None]:
    """One clock for all candidates, which counts what each has taken: to set one for each would cost more than they do.

    Where there is no such signal (on Windows), the parent's clock is all there is.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
