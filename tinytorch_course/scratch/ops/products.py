"""Sums whose last bit does not depend on the number of threads.

Floating-point addition is not associative, and a library that shares one long sum among its threads rounds it in another
order for every number of them. It shares a batch of products otherwise: each is done by one thread, as if alone. So a
product is cut into a fixed number of products here, and a sum into sums of fixed length. No library promises that it
works so; ``tinytorch doctor --determinism`` tries whether yours does.
"""

import torch
from torch import Tensor

PIECES = 8  # at least as many as there are threads: with fewer products than threads, MKL splits the products again
MOST_PIECES = 2 * PIECES
RUN = 4096  # numbers; torch splits a sum over more than 32,768 among its threads


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b``, each sum rounded in the same order by 1 to 8 threads.

    Args:
        a: (G, M, K). b: (G, K, N).

    Returns:
        (G, M, N); where N is the longest axis, its transpose is what lies in memory.
    """
    if a.is_cuda:
        return a @ b
    groups, rows, terms = a.shape
    columns = b.shape[2]
    if columns > max(rows, terms):
        return matmul(b.mT, a.mT).mT
    if rows >= terms:
        a = _cut(a, 1).flatten(0, 1)  # (G·pieces, M/pieces, K)
        b = b[:, None].expand(-1, len(a) // groups, -1, -1).flatten(0, 1)  # (G·pieces, K, N), where G is 1 nothing copied
        return torch.bmm(a, b).view(groups, -1, columns)[:, :rows]
    a, b = _cut(a, 2).transpose(1, 2), _cut(b, 1)  # (G, pieces, M, K/pieces), (G, pieces, K/pieces, N)
    return torch.bmm(a.flatten(0, 1), b.flatten(0, 1)).view(groups, -1, rows, columns).sum(dim=1)


def total(x: Tensor) -> Tensor:
    """The sum of all elements, a scalar: first along runs of fixed length, then over what these came to."""
    if x.is_cuda or x.numel() <= RUN:
        return x.sum()
    runs = _padded(x.flatten(), 0, -x.numel() % RUN).view(-1, RUN)
    return total(runs.sum(dim=1))


def _cut(x: Tensor, axis: int) -> Tensor:
    """``axis`` split in two, (pieces, length of a piece); zeros fill the last piece where no number of them fits."""
    size = x.shape[axis]
    pieces = next((count for count in range(PIECES, MOST_PIECES) if size % count == 0), PIECES)
    x = _padded(x, axis, -size % pieces)
    return x.unflatten(axis, (pieces, x.shape[axis] // pieces))


def _padded(x: Tensor, axis: int, count: int) -> Tensor:
    """x with ``count`` zeros after its end along ``axis``."""
    if count == 0:
        return x
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    return torch.cat([x, x.new_zeros(shape)], dim=axis)
