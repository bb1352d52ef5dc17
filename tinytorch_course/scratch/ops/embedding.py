"""Embedding: a table of vectors, one for each word, looked up by number.

Legend: V words, D numbers in a vector, ``...`` any number of axes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import can_be_read, require_dim, require_float


class EmbeddingCache(NamedTuple):
    """Which rows were looked up; of the weight, backward needs nothing but its shape."""

    input: Tensor  # (...), integers
    shape: torch.Size  # (V, D)
    padding_idx: int | None


def embedding_forward(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> tuple[Tensor, EmbeddingCache]:
    """Look up rows: ``out = weight[input]``, the product of one-hot rows with the weight, without the zeros.

    Backward gives every row what arrived at the places where it was looked up: ``dweight[v] = Σ dout`` over all places
    with ``input = v``; 0 for a row that nobody asked for, and for the row ``padding_idx``. The input gets no gradient.

    Args: input (...), integers from 0 to V − 1, int64 or int32; weight (V, D); padding_idx, a row that does not learn,
        counted from the end if negative; it is looked up as any other.
    Returns: out (..., D), and the cache.
    Raises: IndexError for a number that is no row's (on the CPU; a GPU stops by a device-side assert), TypeError for
        other dtypes, ValueError if weight is not (V, D).
    Source: Bengio, Ducharme, Vincent & Jauvin (2003), "A neural probabilistic language model", section 2, matrix C.
    """
    padding_idx = check_embedding(input, weight, padding_idx)
    rows = weight[input.flatten()]  # one for each place
    return rows.reshape(*input.shape, weight.shape[1]), EmbeddingCache(input, weight.shape, padding_idx)


def embedding_backward(dout: Tensor, cache: EmbeddingCache) -> Tensor:
    """Gradient of :func:`embedding_forward`: dweight (V, D)."""
    input, shape, padding_idx = cache
    # out[place] = weight[input[place]]: a row that was looked up twice has two gradients, and their sum is its own
    drows = dout.reshape(input.numel(), shape[1])
    dweight = dout.new_zeros(shape).index_add(0, input.flatten(), drows)
    if padding_idx is None:
        return dweight
    learns = torch.arange(shape[0], device=dout.device) != padding_idx
    return torch.where(learns[:, None], dweight, 0)


def check_embedding(input: Tensor, weight: Tensor, padding_idx: int | None) -> int | None:
    """``padding_idx``, counted from the front."""
    require_float(weight=weight)
    require_dim("weight", weight, (2,), "(V, D)")
    kind = input.dtype if isinstance(input, Tensor) else type(input).__name__
    if kind not in (torch.int64, torch.int32):
        raise TypeError(f"input must hold row numbers, torch.int64 or torch.int32, but its dtype is {kind}")
    count = len(weight)
    if can_be_read(input):
        outside = input[(input < 0) | (input >= count)]
        if outside.numel():
            raise IndexError(f"input must hold row numbers from 0 to {count - 1}, but it has {outside[0].item()}")
    if padding_idx is not None and not -count <= padding_idx < count:
        raise IndexError(f"padding_idx must be a row number from {-count} to {count - 1}, but it is {padding_idx}")
    return padding_idx if padding_idx is None else padding_idx % count
