"""How much memory a training step takes at its peak, as torch's own allocators count it."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(warm_up: Callable[[], Any], step: Callable[[], Any], device: torch.device) -> int | None:
    """The bytes that ``step`` holds at its peak, beyond what stood before it.

    Every allocation through torch's allocator counts, in either implementation; what a library takes behind its back
    does not. ``warm_up`` is run first, so that what is allocated once and for all, such as moments, stands already.

    Returns:
        The bytes, or None if torch's profiler tells nothing about memory.
    """
    warm_up()
    gc.collect()  # or what others left behind might be given back in the middle of the step
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    with _without_stderr(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    if not events:
        return None
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()  # negative where memory is given back
        peak = max(peak, held)
    return peak


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """The profiler's library writes notes of its own to file descriptor 2, past Python: not for this moment."""
    before = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(nowhere)
        os.close(before)
