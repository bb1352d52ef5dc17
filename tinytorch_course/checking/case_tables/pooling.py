"""Pooling: cases, layers, sizes."""

from typing import Any

import torch
import torch.nn.functional as F

from tinytorch_course.checking.cases import IMAGE, Case, LayerCase, Op, Timed, noncontiguous, on_grid

MAX_KEYWORDS: list[dict[str, Any]] = [
    {"kernel_size": 2},
    {"kernel_size": (2, 3)},
    {"kernel_size": (2, 3), "stride": ()},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 1},
    {"kernel_size": 3, "stride": (1, 2), "padding": 1},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)},
    {"kernel_size": 2, "stride": 3},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 2, "dilation": 2},
    {"kernel_size": (2, 3), "stride": 1, "dilation": (3, 2), "padding": (1, 1)},
    {"kernel_size": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 3, "dilation": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 1},
]
AVG_KEYWORDS: list[dict[str, Any]] = [
    *(keywords for keywords in MAX_KEYWORDS if "dilation" not in keywords),
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "count_include_pad": False, "ceil_mode": True},
    {"kernel_size": (2, 3), "divisor_override": 5},
    {"kernel_size": 3, "stride": 2, "padding": 1, "divisor_override": -2, "ceil_mode": True},
]
ADAPTIVE_SIZES = [1, 2, 3, (2, 5), (None, 3), (4, None), (9, 11)]
SHAPE = (2, 3, 7, 8)

ALL_MINUS_INF = torch.full((1, 1, 4, 4), -torch.inf, dtype=torch.float64)


def on_other_shapes(**keywords):
    """Cases of the shapes that are easily forgotten."""
    shapes = {"unbatched": (3, 5, 6), "one image": (1, 1, 4, 4), "empty batch": (0, 3, 4, 4)}
    cases = [Case((shape,), keywords, note=note) for note, shape in shapes.items()]
    return [*cases, Case((noncontiguous(2, 3, 4, 6),), keywords)]


MAX_CASES = [
    *(Case((SHAPE,), keywords) for keywords in MAX_KEYWORDS),
    *(Case((on_grid(*SHAPE),), keywords, differences=False, note="ties") for keywords in MAX_KEYWORDS),
]
AVG_CASES = [*(Case((SHAPE,), keywords) for keywords in AVG_KEYWORDS), *on_other_shapes(kernel_size=2)]
ADAPTIVE_CASES = [*(Case((SHAPE,), {"output_size": size}) for size in ADAPTIVE_SIZES), *on_other_shapes(output_size=3)]

OPS = [
    Op(
        "max_pool2d",
        F.max_pool2d,
        cases=[
            *MAX_CASES,
            Case((SHAPE,), {"kernel_size": 3, "stride": 2, "return_indices": True}),
            Case((on_grid(*SHAPE),), {"kernel_size": 2, "return_indices": True}, differences=False),
            Case((torch.zeros(1, 1, 4, 6),), {"kernel_size": 2}, differences=False, note="all tied"),
            Case((ALL_MINUS_INF,), {"kernel_size": 3, "padding": 1, "stride": 1}, differences=False),
            *on_other_shapes(kernel_size=2),
        ],
        layers=[
            LayerCase("max_pool2d", lambda L: L.max_pool2d(3, 2, 1, 1, ceil_mode=True), IMAGE),
            LayerCase("max_pool2d", lambda L: L.max_pool2d(2, dilation=2), IMAGE, "dilation"),
        ],
        timed={"max_pool2d": Timed(lambda L: L.max_pool2d(2), (32, 28, 28))},
    ),
    Op("max_pool2d_naive", F.max_pool2d, cases=[*MAX_CASES, *on_other_shapes(kernel_size=2)]),
    Op(
        "avg_pool2d",
        F.avg_pool2d,
        cases=AVG_CASES,
        layers=[
            LayerCase("avg_pool2d", lambda L: L.avg_pool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), IMAGE),
            LayerCase("avg_pool2d", lambda L: L.avg_pool2d(2, divisor_override=3), IMAGE, "divisor"),
        ],
        timed={"avg_pool2d": Timed(lambda L: L.avg_pool2d(2), (32, 28, 28))},
    ),
    Op("avg_pool2d_naive", F.avg_pool2d, cases=AVG_CASES),
    Op(
        "adaptive_avg_pool2d",
        F.adaptive_avg_pool2d,
        cases=ADAPTIVE_CASES,
        layers=[LayerCase("adaptive_avg_pool2d", lambda L: L.adaptive_avg_pool2d((3, None)), IMAGE)],
        timed={"adaptive_avg_pool2d": Timed(lambda L: L.adaptive_avg_pool2d(1), (64, 7, 7))},
    ),
    Op("adaptive_avg_pool2d_naive", F.adaptive_avg_pool2d, cases=ADAPTIVE_CASES),
]
