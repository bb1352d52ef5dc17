"""Layer and group normalisation: cases, layers, sizes, likely mistakes."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tinytorch_course.checking.cases import (
    IMAGE,
    ROWS,
    Case,
    LayerCase,
    Likely,
    Op,
    Timed,
    noncontiguous,
    on_grid,
    scaled,
)


def standardise(
    x: Tensor,
    axes: tuple[int, ...],
    eps: float,
    *,
    mean_term: float = 1.0,
    variance_term: float = 1.0,
    correction: int = 0,
    eps_outside: bool = False,
) -> Tensor:
    """x̂, or what a wrong formula makes of it; the gradients that come by way of the statistics count so much."""
    count = math.prod(x.shape[axis] for axis in axes)
    mean = counting(x.mean(dim=axes, keepdim=True), mean_term)
    var = counting(((x - mean) ** 2).sum(dim=axes, keepdim=True) / (count - correction), variance_term)
    return (x - mean) / (torch.sqrt(var) + eps if eps_outside else torch.sqrt(var + eps))


def counting(value: Tensor, share: float) -> Tensor:
    """The same value, whose gradient counts so much: with 0 it is a constant."""
    return value.detach() + share * (value - value.detach())


def scale_and_shift(x_hat: Tensor, weight: Tensor | None, bias: Tensor | None, seen: Tensor | None = None) -> Tensor:
    """``weight · x̂ + bias``; for the weight's gradient, ``seen`` stands in the place of x̂ where it is given."""
    out = x_hat if weight is None else x_hat * weight
    if weight is not None and seen is not None:
        out = x_hat * weight.detach() + seen.detach() * (weight - weight.detach())
    return out if bias is None else out + bias


MISTAKES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {  # sentence -> its key, how the formula changes
    "mean and variance are taken for constants: they depend on every value of the sample, so two terms are missing, "
    "dx = (dx_hat - mean(dx_hat) - x_hat * mean(dx_hat * x_hat)) / sqrt(var + eps)": (
        ("mean-terms-dropped", {"mean_term": 0.0, "variance_term": 0.0}),
    ),
    "the variance is taken for a constant: the term x_hat * mean(dx_hat * x_hat) is missing": (
        ("mean-terms-dropped", {"variance_term": 0.0}),
    ),
    "the mean is taken for a constant: the term mean(dx_hat) is missing": (("mean-terms-dropped", {"mean_term": 0.0}),),
    "the way through the variance counts wrongly: d sqrt(v) is dv / (2 sqrt(v)), and d centred^2 is 2 centred": (
        *(("root-factor", {"variance_term": factor}) for factor in (2.0, 0.5, -1.0)),
    ),
    "eps stands outside the root: it belongs inside, sqrt(var + eps)": (("eps-misplaced", {"eps_outside": True}),),
    "the variance is divided by one less than the number of values: here it is the biased one": (
        ("n-1-for-n", {"correction": 1}),
    ),
}


def mistakes_of(normalised: Callable[..., Tensor]) -> list[Likely]:
    """The mistakes that every normalisation invites: ``normalised(standardise, <the op's arguments by name>)``."""
    wrong = [
        Likely(key, functools.partial(normalised, functools.partial(standardise, **changes)), sentence)
        for sentence, variants in MISTAKES.items()
        for key, changes in variants
    ]
    dweight = "x stands where x_hat, the normalised input, belongs: dweight is the sum of dout * x_hat"
    return [
        *wrong,
        Likely("input-for-normalised", functools.partial(normalised, standardise, weight_sees_x=True), dweight),
    ]


def layer_norm_by(standardise, x, normalized_shape, weight, bias, eps, *, axes=None, weight_sees_x=False):
    """Layer norm by another formula, or over other axes."""
    axes = axes or tuple(range(-len(normalized_shape), 0))
    return scale_and_shift(standardise(x, axes, eps), weight, bias, x if weight_sees_x else None)


def group_norm_by(standardise, x, num_groups, weight, bias, eps, *, groups=lambda G, C: G, weight_sees_x=False):
    """Group norm by another formula, or with other groups."""
    channels = (x.shape[1], *[1] * (x.dim() - 2))
    weight, bias = (None if values is None else values.reshape(channels) for values in (weight, bias))
    rows = x.reshape(x.shape[0], groups(num_groups, x.shape[1]), -1)
    return scale_and_shift(standardise(rows, (-1,), eps).reshape(x.shape), weight, bias, x if weight_sees_x else None)


def group_norm_twin(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """torch's, but for a bias without a weight, whose gradient torch 2.10 fails to give."""
    if weight is None and bias is not None:
        return F.group_norm(x, num_groups, eps=eps) + bias.view(1, -1, *[1] * (x.dim() - 2))
    return F.group_norm(x, num_groups, weight, bias, eps)


GROUPS = "num_groups groups of neighbouring channels have a mean and a variance each, but here "
F3, F4, F45 = (3,), (4,), (4, 5)

OPS = [
    Op(
        "layer_norm",
        F.layer_norm,
        any_shape=True,
        cases=[
            Case(((5, 3), F3, F3, F3)),
            Case(((2, 4, 3), F3, F3, F3)),
            Case(((2, 3, 4, 5), F45, F45, F45), note="several axes"),
            *(Case(((5, 3), F3, weight, bias)) for weight in (None, F3) for bias in (None, F3)),
            *(Case(((5, 3), F3, F3, F3), {"eps": eps}) for eps in (0.1, 1e-8, 0.0)),
            Case(((3,), F3, F3, F3), note="one sample"),
            Case((F45, F45, F45, F45), note="all axes"),
            Case(((4, 1), (1,), (1,), (1,)), note="one value a sample: x_hat is 0"),
            Case(((0, 3), F3, F3, F3), note="empty batch"),
            Case(((2, 0), (0,), (0,), (0,)), note="empty samples"),
            Case((noncontiguous(4, 3), F3, F3, F3)),
            Case((scaled(1e-3, 4, 3), F3, F3, F3), note="little deviation: eps counts"),
            Case((scaled(1.0, 4, 3, shift=1e4), F3, F3, F3), differences=False, note="a large mean"),
            Case((on_grid(4, 3, levels=1), F3, F3, F3), note="constant samples"),
        ],
        layers=[
            LayerCase("layer_norm", lambda L: L.layer_norm(6), ROWS),
            LayerCase("layer_norm", lambda L: L.layer_norm((8, 8), eps=0.1), IMAGE, "several axes"),
            LayerCase("layer_norm", lambda L: L.layer_norm(8, elementwise_affine=False), IMAGE, "not affine"),
            LayerCase("layer_norm", lambda L: L.layer_norm(8, bias=False), IMAGE, "no bias"),
        ],
        timed={"layer_norm": Timed(lambda L: L.layer_norm(128), (64, 128))},
        mistakes=[
            *mistakes_of(layer_norm_by),
            Likely(
                "wrong-axis",
                functools.partial(layer_norm_by, standardise, axes=(0,)),
                "the means go over the batch, as batch norm's: each sample has a mean and a variance of its own",
            ),
        ],
    ),
    Op(
        "group_norm",
        group_norm_twin,
        any_shape=True,
        cases=[
            Case(((2, 4, 3), 2, F4, F4)),
            Case(((2, 4, 3, 5), 2, F4, F4)),
            Case(((2, 4, 3, 2, 3), 2, F4, F4), note="volumes"),
            Case(((3, 4), 2, F4, F4), note="rows"),
            *(Case(((2, 4, 3), groups, F4, F4)) for groups in (1, 4)),
            *(Case(((2, 4, 3), 2, weight, bias)) for weight in (None, F4) for bias in (None, F4)),
            *(Case(((2, 4, 3), 2, F4, F4), {"eps": eps}) for eps in (0.1, 1e-8, 0.0)),
            Case(((1, 4, 3), 2, F4, F4), note="one sample"),
            Case(((3, 4), 4, F4, F4), note="one value a group: x_hat is 0"),
            Case(((0, 4, 3), 2, F4, F4), note="empty batch"),
            Case((noncontiguous(2, 4, 3), 2, F4, F4)),
            Case((scaled(1e-3, 2, 4, 3), 2, F4, F4), note="little deviation: eps counts"),
            Case((scaled(1.0, 2, 4, 3, shift=1e4), 2, F4, F4), differences=False, note="a large mean"),
            Case((on_grid(2, 4, 3, levels=1), 2, F4, F4), note="constant groups"),
        ],
        layers=[
            LayerCase("group_norm", lambda L: L.group_norm(2, 6), IMAGE),
            LayerCase("group_norm", lambda L: L.group_norm(3, 6, eps=0.1, affine=False), IMAGE, "not affine"),
            LayerCase("group_norm", lambda L: L.group_norm(1, 6), ROWS, "rows"),
        ],
        timed={"group_norm": Timed(lambda L: L.group_norm(8, 32), (32, 28, 28))},
        mistakes=[
            *mistakes_of(group_norm_by),
            *(
                Likely("wrong-groups", functools.partial(group_norm_by, standardise, groups=groups), GROUPS + what)
                for groups, what in (
                    (lambda G, C: 1, "the means go over all channels, as layer norm's"),
                    (lambda G, C: C, "each channel has a mean of its own, as in instance norm"),
                    (lambda G, C: C // G, "num_groups is taken for the number of channels in a group"),
                )
            ),
        ],
    ),
]
