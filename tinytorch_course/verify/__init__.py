"""Proof: the gradient checker, the tables of cases, the planted mistakes that the checks must reject, the diagnosis.

``check_gradient`` and ``GradientCheck`` are imported when they are first asked for: they need torch, which takes
seconds, and the command line has work to do before.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytorch_course.verify.gradients import GradientCheck, check_gradient

__all__ = ["GradientCheck", "check_gradient"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tinytorch_course.verify import gradients

    return getattr(gradients, name)
