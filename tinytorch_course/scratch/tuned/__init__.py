"""Faster forms of a few ops: same names, signatures and caches as in ``ops``, proved by the same cases.

A layer or optimizer that is built takes the ``chosen`` form of its functions: that of the same name here, if there is
one. While ``using("textbook")`` is open it takes them as they are, and keeps them for as long as it lives.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from tinytorch_course.scratch.tuned import adam, convolution, linear, normalization, pooling

__all__ = ["chosen", "using"]

FAMILIES = (linear, convolution, normalization, pooling, adam)
Op = TypeVar("Op", bound=Callable[..., Any])

_form: ContextVar[str] = ContextVar("form", default="tuned")


def chosen(op: Op) -> Op:
    """The form of ``op`` that what is built now is made of."""
    if _form.get() == "textbook":
        return op
    return next((vars(family)[op.__name__] for family in FAMILIES if op.__name__ in family.__all__), op)


@contextlib.contextmanager
def using(form: str) -> Iterator[None]:
    """While this is open, layers and optimizers are built of these ops, "tuned" or "textbook"."""
    before = _form.set(form)
    try:
        yield
    finally:
        _form.reset(before)
