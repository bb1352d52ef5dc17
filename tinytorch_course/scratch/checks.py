"""Checks of arguments, one helper for each kind, so that a mistake is named where it was made.

An op's checks stand together in one function beside it, which :func:`once` keeps out of every step but the first.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from math import inf, isfinite
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def once(check: Callable[..., Result]) -> Callable[..., Result]:
    """``check``, which looks at no tensor's values, run only once for all arguments that look alike to it.

    Tensors look alike by shape, dtype and device, so a run is checked in its first step. What was returned then is
    returned again.
    """
    passed: dict[Any, Result] = {}

    @wraps(check)
    def checked(*args: Any) -> Result:
        looks = tuple((x.shape, x.dtype, x.device) if isinstance(x, Tensor) else repr(x) for x in args)
        if looks not in passed:
            passed[looks] = check(*args)
        return passed[looks]

    return checked


# Not on a GPU, for Python would wait there until all that was asked for before is done, in every step. (A wrong class
# is refused there all the same: gather and scatter stop the program with a device-side assert.) Nor while a compiler
# only writes the operations down: it cannot follow what depends on numbers.
def can_be_read(x: Tensor) -> bool:
    """Whether a check may look at the values of ``x``, and not at its shape, dtype and device alone."""
    return not (x.is_cuda or torch.compiler.is_compiling())


def require(condition: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless ``condition`` holds."""
    if not condition:
        raise ValueError(message)


# --- tensors ---------------------------------------------------------------------------------------------------------


def require_float(**tensors: Tensor | None) -> None:
    """Every tensor given must be floating point, of one dtype and on one device. All but the first may be None."""
    first = next(iter(tensors))
    given: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor is None and name != first:
            continue
        if not isinstance(tensor, Tensor):
            kind = "None" if tensor is None else f"a {type(tensor).__name__}"
            raise TypeError(f"{name} must be a tensor, but it is {kind}")
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be a floating-point tensor, but its dtype is {tensor.dtype}")
        given[name] = tensor
    for name, tensor in given.items():
        dtype, device = given[first].dtype, given[first].device
        if tensor.dtype != dtype:
            raise TypeError(f"{name} has dtype {tensor.dtype}, but {first} has {dtype}: they must be equal")
        if tensor.device != device:
            raise ValueError(f"{name} is on {tensor.device}, but {first} is on {device}: move one of them")


def require_dim(name: str, tensor: Tensor, allowed: tuple[int, ...], layout: str) -> None:
    """``tensor`` must have one of the ``allowed`` numbers of axes; ``layout`` says what they mean."""
    require(tensor.dim() in allowed, f"{name} must be {layout}, but its shape is {tuple(tensor.shape)}")


def require_per(what: str, count: int, **tensors: Tensor | None) -> None:
    """Every tensor given must be of shape (count,), one value per ``what``. ``None`` is passed over."""
    for name, tensor in tensors.items():
        if tensor is not None and tensor.shape != (count,):
            shape = tuple(tensor.shape)
            raise ValueError(f"{name} must have shape ({count},), one value per {what}, but its shape is {shape}")


def require_same_shape(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Both tensors must have one shape."""
    require(
        tensor.shape == other.shape,
        f"{name} has shape {tuple(tensor.shape)}, but {other_name} has {tuple(other.shape)}: they must be equal",
    )


def normalize_dim(name: str, dim: int, ndim: int) -> int:
    """A possibly negative axis as one counted from the front. A scalar counts as having one axis, as in torch."""
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise TypeError(f"{name} must be an integer, but it is {dim!r}")
    ndim = max(ndim, 1)
    if not -ndim <= dim < ndim:
        raise IndexError(f"{name} must be from {-ndim} to {ndim - 1} for a tensor of {ndim} axes, but it is {dim}")
    return dim % ndim


# --- plain values ----------------------------------------------------------------------------------------------------


def require_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """``value`` must be one of at least two ``choices``."""
    words = f"{', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
    require(value in choices, f"{name} must be {words}, but it is {value!r}")


def require_number(
    name: str, value: Any, *, minimum: float = -inf, maximum: float = inf, above: float = -inf, below: float = inf
) -> None:
    """``value`` must be a finite int or float with ``minimum <= value <= maximum`` and ``above < value < below``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, but it is {value!r}")
    if isfinite(value) and minimum <= value <= maximum and above < value < below:
        return
    limits = {"at least": minimum, "above": above, "at most": maximum, "below": below}
    allowed = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if isfinite(limit))
    raise ValueError(f"{name} must be {allowed or 'finite'}, but it is {value}")


def require_integer(name: str, value: Any, *, minimum: int) -> None:
    """``value`` must be an int of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, but it is {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, but it is {value}")


def require_probability(name: str, value: float) -> None:
    """``value`` must be from 0 to 1."""
    require(0 <= value <= 1, f"{name} must be a probability from 0 to 1, but it is {value}")


def pair(name: str, value: int | tuple[int, ...] | list[int], *, minimum: int) -> tuple[int, int]:
    """An int for both axes, or one int for each of (vertical, horizontal); none below ``minimum``."""
    values = tuple(value) if isinstance(value, (tuple, list, torch.Size)) else (value,)
    if any(isinstance(v, bool) or not isinstance(v, int) for v in values):
        raise TypeError(f"{name} must be an integer or a pair of integers, but it is {value!r}")
    require(len(values) in (1, 2), f"{name} must be an integer or a pair of integers, but it is {value!r}")
    require(min(values) >= minimum, f"{name} must be at least {minimum}, but it is {value!r}")
    return values[0], values[-1]
