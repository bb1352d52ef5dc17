"""Sums whose last bit does not depend on the number of threads.

Floating-point addition is not associative, and a library that shares one long sum among its threads rounds it in
another order for every number of them. A batch of products it shares otherwise: each is done by one thread, as if
alone. So a product is cut here into a fixed number of products. No library promises to work like that;
``tinytorch doctor --determinism`` tries whether yours does.

Legend: G independent products, M rows, K terms of each sum, N columns, P pieces.
"""

import torch
from torch import Tensor

PIECES = 8  # at least as many as threads: MKL lets several of them share a product if there are fewer products
SMALL = 2**16  # multiplications: fewer are done by one thread anyway


def matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """``a @ b``, with the same bits for any number of threads up to PIECES.

    Args: a (M, K); b (K, N); out (M, N) without gaps in memory, where to write the result, None for new memory.
    Returns: (M, N); without ``out``, where N is long beside M, its transpose is what lies in memory.
    """
    (rows, terms), columns = a.shape, b.shape[1]
    # A product of one row or column is shared among threads whatever its size.
    if a.is_cuda or (rows > 1 and columns > 1 and rows * terms * columns < SMALL):
        return torch.mm(a, b, out=out)
    # What is cut is the rows, since then nothing is left to add; unless they are few, or few beside the rest.
    if columns > 32 * rows:
        product = matmul(b.mT, a.mT).mT
    elif rows < 2 * PIECES or terms >= 8 * max(rows, columns):
        product = torch.bmm(_cut(a, 1).transpose(0, 1), _cut(b, 0)).sum(dim=0)  # (P, M, K/P), (P, K/P, N)
    else:
        pieces = _cut(a, 0)  # (P, M/P, K)
        into = None if out is None or rows % len(pieces) else out.view(*pieces.shape[:2], columns)
        product = torch.bmm(pieces, b.expand(len(pieces), terms, columns), out=into).view(-1, columns)
        if out is not None and into is not None:
            return out
        if len(product) > rows:  # zeros were added
            product = product[:rows]
    return product if out is None else out.copy_(product)


def bmm(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """:func:`matmul` of G pairs, (G, M, K) and (G, K, N)."""
    # (Into memory with gaps torch multiplies pair by pair.)
    if a.is_cuda or (len(a) >= PIECES and (out is None or out.is_contiguous())):
        return torch.bmm(a, b, out=out)
    if out is None:
        out = a.new_empty(*a.shape[:2], b.shape[2])
    for pair in zip(a, b, out, strict=True):
        matmul(*pair)
    return out


def _cut(x: Tensor, axis: int) -> Tensor:
    """``axis`` as two, (pieces, length of one). Where no number of pieces fits, zeros fill the last one."""
    size = x.shape[axis]
    pieces = PIECES
    if size % PIECES:
        pieces = next((count for count in range(PIECES, 2 * PIECES) if size % count == 0), PIECES)
        x = _padded(x, axis, -size % pieces)
    return x.view(*x.shape[:axis], pieces, x.shape[axis] // pieces, *x.shape[axis + 1 :])


def _padded(x: Tensor, axis: int, count: int) -> Tensor:
    """x with ``count`` zeros after its end along ``axis``."""
    if count == 0:
        return x
    return torch.cat([x, x.new_zeros(*x.shape[:axis], count, *x.shape[axis + 1 :])], dim=axis)
