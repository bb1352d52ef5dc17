"""Timing two things so that the machine's moods hit both alike."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

WARM_UPS = 2


class Timing(NamedTuple):
    """Times of both implementations in seconds; ratios are scratch / torch, so below 1 is faster than torch."""

    scratch: float  # medians
    torch: float
    ratio: float  # median of the rounds' ratios
    low: float  # their quartiles
    high: float
    rounds: int


def time_alternately(
    scratch: Callable[[], Any],
    torch: Callable[[], Any],
    rounds: int,
    *,
    synchronize: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Run both in every round, the second first in every other one, and compare them round by round.

    Args:
        rounds: at least 1, after two that warm up and do not count.
        synchronize: waits until the device has done what was asked of it.
    """
    seconds: dict[str, list[float]] = {"scratch": [], "torch": []}
    runs = [("scratch", scratch), ("torch", torch)]
    for number in range(WARM_UPS + rounds):
        for name, run in runs if number % 2 == 0 else reversed(runs):
            synchronize()
            start = clock()
            run()
            synchronize()
            if number >= WARM_UPS:
                seconds[name].append(clock() - start)
    ratios = [ours / theirs for ours, theirs in zip(seconds["scratch"], seconds["torch"], strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive") if rounds > 1 else ratios * 3
    return Timing(statistics.median(seconds["scratch"]), statistics.median(seconds["torch"]), ratio, low, high, rounds)
