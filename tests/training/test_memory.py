import platform
import sys

import pytest
import torch

from tinytorch_course.training import memory
from tinytorch_course.training.memory import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_freed_memory_needs_no_new_pages():
    import resource  # Windows has none

    assert keep_freed_memory()

    def faults_of_a_step():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        held = [torch.ones(3_000_000) for _ in range(3)]
        del held
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults_of_a_step()
    pages = 3 * 3_000_000 * 4 / resource.getpagesize()
    assert min(faults_of_a_step() for _ in range(5)) < pages / 100


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert not keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())  # musl has no mallopt
    assert not keep_freed_memory()
