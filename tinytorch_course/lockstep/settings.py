"""How long a comparison lasts and how exact it is. Importable without torch, for ``--help``."""

import math

from tinytorch_course.errors import InputError

DEFAULT_STEPS = 100
DEFAULT_TOLERANCE = {"float64": 1e-9, "float32": None}


def check_settings(steps: int | None, epochs: int | None, tolerance: float | None) -> None:
    """Raise :class:`InputError` for what no comparison can have."""
    if steps is not None and epochs is not None:
        raise InputError("--steps and --epochs both say how long to train: give one of them")
    if steps is not None and steps < 1:
        raise InputError(f"--steps must be at least 1, but it is {steps}")
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise InputError(f"--tolerance must be a finite number of at least 0, but it is {tolerance}")
