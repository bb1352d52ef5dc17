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
from fake_cuda import FakeCuda, pretend

from tinytorch_course.data import digits
from tinytorch_course.data.splits import Split
from tinytorch_course.instruments.rounding import RoundingAdversary
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
def curves_undrawn():
    """Drawing a run's curves takes longer than the small runs of the tests; gives what draws them."""
    draw, RunFolder.plot_curves = RunFolder.plot_curves, lambda *_: None
    yield draw
    RunFolder.plot_curves = draw


@pytest.fixture(scope="session", autouse=True)
def digits_read_once():
    """Reading the embedded digits, too; every caller gets a copy."""
    read, once = digits.read, functools.cache(digits.read)
    digits.read = lambda: tuple(Split(split.images.clone(), split.labels.clone()) for split in once())
    yield
    digits.read = read


@pytest.fixture
def curves(monkeypatch, curves_undrawn):
    """In this test a run's curves are drawn."""
    monkeypatch.setattr(RunFolder, "plot_curves", curves_undrawn)


@pytest.fixture
def cuda(monkeypatch):
    """A fake CUDA device, entered; ``cuda.waits`` says where Python waited for it. See ``fake_cuda.py``."""
    with FakeCuda() as device:  # first: torch's own fake device asks, too, whether there is a real one
        pretend(monkeypatch)
        yield device
        monkeypatch.undo()
