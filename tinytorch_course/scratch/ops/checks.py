"""Checks that every op makes on its arguments, so that a mistake is named where it was made."""

import torch
from torch import Tensor


def require(condition: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless ``condition`` holds."""
    if not condition:
        raise ValueError(message)


def can_be_read(x: Tensor) -> bool:
    """Whether a check may look at the values of ``x``, and not at its shape, dtype and device alone.

    Not on a GPU, for Python would wait there until all that was asked for before is done, in every step. Nor while a
    compiler only writes the operations down: it cannot follow what depends on numbers.
    """
    return not (x.is_cuda or torch.compiler.is_compiling())


def require_float(**tensors: Tensor | None) -> None:
    """Every tensor given must be floating point, of one dtype and on one device. ``None`` is passed over."""
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    for name, tensor in given.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor, but it is a {type(tensor).__name__}")
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be a floating-point tensor, but its dtype is {tensor.dtype}")
    first_name, first = next(iter(given.items()))
    for name, tensor in given.items():
        if tensor.dtype != first.dtype:
            raise TypeError(f"{name} has dtype {tensor.dtype}, but {first_name} has {first.dtype}: they must be equal")
        if tensor.device != first.device:
            raise ValueError(f"{name} is on {tensor.device}, but {first_name} is on {first.device}: move one of them")


def require_dim(name: str, tensor: Tensor, allowed: tuple[int, ...], layout: str) -> None:
    """``tensor`` must have one of the ``allowed`` numbers of axes; ``layout`` says what they mean."""
    require(tensor.dim() in allowed, f"{name} must be {layout}, but its shape is {tuple(tensor.shape)}")


def require_same_shape(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
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


def pair(name: str, value: int | tuple[int, ...] | list[int], *, minimum: int) -> tuple[int, int]:
    """An int for both axes, or one int for each of (vertical, horizontal); none below ``minimum``."""
    values = tuple(value) if isinstance(value, (tuple, list, torch.Size)) else (value,)
    if any(isinstance(v, bool) or not isinstance(v, int) for v in values):
        raise TypeError(f"{name} must be an integer or a pair of integers, but it is {value!r}")
    require(len(values) in (1, 2), f"{name} must be an integer or a pair of integers, but it is {value!r}")
    require(min(values) >= minimum, f"{name} must be at least {minimum}, but it is {value!r}")
    return values * 2 if len(values) == 1 else values
