"""Checks on the plain numbers that optimizers, schedules and initializers take, kin to ``ops/checks.py``."""

import math
from typing import Any


def require_number(
    name: str,
    value: Any,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> None:
    """``value`` must be a finite int or float with ``minimum <= value <= maximum`` and ``above < value < below``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, but it is {value!r}")
    if not (math.isfinite(value) and minimum <= value <= maximum and above < value < below):
        limits = {"at least": minimum, "above": above, "at most": maximum, "below": below}
        allowed = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if math.isfinite(limit))
        raise ValueError(f"{name} must be {allowed or 'finite'}, but it is {value}")


def require_integer(name: str, value: Any, *, minimum: int) -> None:
    """``value`` must be an int of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, but it is {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, but it is {value}")
