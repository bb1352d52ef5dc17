"""Mistakes in the ops that move, drop or add values: dropout, flatten, padding, addition."""

from typing import Any

import torch
from torch import Tensor

from tinytorch_course.diagnosis.hypotheses import Predictions, function, gradient

DROPOUT, PAD, FLATTEN = ("dropout",), ("pad2d",), ("flatten",)


def _masked(x: Tensor, mask: Tensor | None, training: bool, factor: float) -> Tensor:
    return x * mask * factor if training and mask is not None else x * 1


def _another_mask(dout: Tensor, p: float, training: bool, got: Predictions, **_: Any) -> Tensor:
    """What was got, if every entry is 0 or scaled dout."""
    scaled = dout / (1 - p)
    return torch.where(got[0] == 0, 0, scaled) if training else dout


def _repeating_the_edge(x: Tensor, pad: tuple[int, int, int, int], mode: str) -> Tensor:
    """numpy's "symmetric": the mirror stands beyond the edge pixel, so that this is shown twice."""
    if mode != "reflect":
        raise ValueError("not reflected")
    left, right, top, bottom = pad
    for axis, before, after in ((-2, top, bottom), (-1, left, right)):
        size = x.shape[axis]
        place = torch.arange(-before, size + after)
        place = torch.where(place < 0, -place - 1, place)
        place = (size - 1) - (size - 1 - place).abs()
        x = x.index_select(axis, place.clamp(0, size - 1))
    return x


# fmt: off
HYPOTHESES = [
    function("scale-forgotten", DROPOUT, lambda x, p, training, mask, **_: _masked(x, mask, training, 1.0),
             "the scale 1 / (1 - p) is forgotten: what is kept must make up for what is dropped"),
    function("scale-wrong", DROPOUT, lambda x, p, training, mask, **_: _masked(x, mask, training, 1 / p if p else 1.0),
             "it is divided by p, the part that is dropped: divide by 1 - p, the part that is kept"),
    function("scale-wrong", DROPOUT, lambda x, p, training, mask, **_: _masked(x, mask, training, 1 - p),
             "it is multiplied by 1 - p: in training divide by it (and do nothing in evaluation)"),
    gradient("mask-missing", DROPOUT, lambda dout, **_: dout,
             "dout comes through unchanged: multiply it by forward's mask and by 1 / (1 - p)"),
    gradient("mask-missing", DROPOUT,
             lambda dout, p, training, **_: dout / (1 - p) if training and p < 1 else dout,
             "the mask is not applied: what forward dropped gets no gradient"),
    gradient("mask-inverted", DROPOUT,
             lambda dout, p, training, mask, **_: dout * ~mask / (1 - p) if training else dout,
             "the mask is the wrong way round: the gradient passes where forward kept the value"),
    gradient("another-mask", DROPOUT, _another_mask,
             "backward has another mask than forward: draw it once, in forward, and keep it in the cache"),
    gradient("memory-order", FLATTEN,
             lambda dout, x, **_: dout.reshape(x.shape[::-1]).permute(tuple(range(x.dim()))[::-1]),
             "the numbers come back column by column: reshape fills row by row, so give it x's own shape"),
    function("edge-repeated", PAD, _repeating_the_edge,
             "the edge pixel is repeated: 'reflect' mirrors at it, so that the first pixel outside is x[1], not x[0]"),
]
