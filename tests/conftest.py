"""The same tests on another machine (``pytest --rounding 3``, see ``tests/machines.py``), and a fake CUDA device."""

import atexit
import contextlib
import functools
import gc
import os
import signal

if "PYTEST_XDIST_WORKER" in os.environ:  # there are as many processes as cores; torch reads this when it is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
import typer.main
from fake_cuda import FakeCuda, pretend

from tinytorch_course.data import digits
from tinytorch_course.data.splits import Split
from tinytorch_course.instruments.rounding import RoundingAdversary
from tinytorch_course.lockstep import compare
from tinytorch_course.training.runs import RunFolder

# Whoever starts the tests in the background, or under nohup, has these ignored; a run would ignore them as well.
for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if signal.getsignal(number := getattr(signal, name, signal.SIGINT)) == signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_addoption(parser):
    group = parser.getgroup("another machine")
    group.addoption("--rounding", type=int, metavar="SEED", help="run every test under the rounding adversary")
    group.addoption("--threads", type=int, metavar="N", help="run every test with so many threads")
    group.addoption("--no-onednn", action="store_true", help="run every test without oneDNN")


def pytest_collection_finish():
    """What is imported and collected stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)


@pytest.fixture(autouse=True)
def another_machine(request):
    """The machine that the options ask for; none asked for, this one."""
    option, threads = request.config.getoption, torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        if option("--threads"):
            torch.set_num_threads(option("--threads"))
            stack.callback(torch.set_num_threads, threads)
        if option("--no-onednn"):
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        if option("--rounding") is not None:
            stack.enter_context(RoundingAdversary(option("--rounding")))
        yield


@pytest.fixture(scope="session", autouse=True)
def shortened():
    """What takes longer than the small runs of the tests: the embedded digits are read once, and every caller gets a
    copy; the command line is built once; a run's curves are not drawn, a comparison's memory is not measured. Gives
    what does both.
    """
    once = functools.cache(digits.read)
    draw, measure = RunFolder.plot_curves, compare.peak_memory
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        patch.setattr(digits, "read", lambda: tuple(Split(*(part.clone() for part in split)) for split in once()))
        patch.setattr(RunFolder, "plot_curves", lambda *_: None)
        patch.setattr(compare, "peak_memory", lambda *_: None)
        yield draw, measure


@pytest.fixture
def curves(monkeypatch, shortened):
    """In this test a run's curves are drawn."""
    monkeypatch.setattr(RunFolder, "plot_curves", shortened[0])


@pytest.fixture
def memory(monkeypatch, shortened):
    """In this test a comparison's memory is measured."""
    monkeypatch.setattr(compare, "peak_memory", shortened[1])


@pytest.fixture
def cuda(monkeypatch):
    """A fake CUDA device, entered; ``cuda.waits`` says where Python waited for it. See ``fake_cuda.py``."""
    with FakeCuda() as device:  # first: torch's own fake device asks, too, whether there is a real one
        pretend(monkeypatch)
        yield device
        monkeypatch.undo()
