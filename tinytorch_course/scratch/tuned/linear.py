"""Gains no time, but the same bits for any number of threads (tests/training/test_threads.py).

What it costs, and how :mod:`products` does it, stands in docs/measured.md.
"""

from torch import Tensor

from tinytorch_course.scratch.ops.linear import LinearCache, check_linear
from tinytorch_course.scratch.tuned.products import matmul

__all__ = ["linear_backward", "linear_forward"]


def linear_forward(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, LinearCache]:
    """As its textbook form."""
    check_linear(x, weight, bias)
    out = matmul(rows(x), rows(weight).mT).reshape(*x.shape[:-1], *weight.shape[:-1])  # (..., O)
    return out if bias is None else out + bias, LinearCache(x, weight, bias is not None)


def linear_backward(dout: Tensor, cache: LinearCache, *, need_dx: bool = True) -> tuple[Tensor | None, ...]:
    """As its textbook form."""
    x, weight, has_bias = cache
    dout_rows = dout.reshape(len(rows(x)), len(rows(weight)))  # (B, O)
    dx = matmul(dout_rows, rows(weight)).reshape(x.shape) if need_dx else None
    dweight = matmul(dout_rows.mT, rows(x)).reshape(weight.shape)
    return dx, dweight, dout_rows.sum(dim=0) if has_bias else None


def rows(x: Tensor) -> Tensor:
    """All axes but the last as one."""
    return x.reshape(x.shape[:-1].numel(), x.shape[-1])
