"""Convolution: cases, layers, sizes."""

from typing import Any

import torch.nn.functional as F

from tinytorch_course.checking.cases import IMAGE, Case, LayerCase, Op, Timed, noncontiguous, on_grid

# (x, weight, bias), keywords
ARGUMENTS: list[tuple[tuple, dict[str, Any]]] = [
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {}),
    (((2, 3, 6, 7), (4, 3, 3, 3), None), {}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"padding": 1}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"padding": (2, 0)}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"padding": (0, 1)}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"padding": "valid"}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"padding": "same"}),
    (((2, 3, 6, 7), (4, 3, 2, 4), (4,)), {"padding": "same"}),
    (((2, 3, 6, 7), (4, 3, 2, 3), (4,)), {"padding": "same", "dilation": (3, 2)}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"stride": 2}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"stride": (1, 3)}),
    (((2, 3, 8, 7), (4, 3, 3, 3), (4,)), {"stride": (3, 2), "padding": 1}),
    (((2, 3, 8, 9), (4, 3, 2, 2), (4,)), {"stride": 3}),
    (((2, 3, 6, 7), (4, 3, 2, 3), (4,)), {"dilation": 2}),
    (((2, 3, 6, 7), (4, 3, 2, 3), (4,)), {"dilation": (3, 2), "padding": (1, 2), "stride": (2, 1)}),
    (((2, 4, 5, 6), (6, 2, 3, 3), (6,)), {"groups": 2, "padding": 1}),
    (((2, 4, 5, 6), (4, 1, 3, 3), (4,)), {"groups": 4}),
    (((2, 4, 5, 6), (8, 1, 2, 3), None), {"groups": 4, "stride": 2, "padding": (1, 0), "dilation": (1, 2)}),
    (((2, 3, 5, 6), (4, 3, 1, 1), (4,)), {}),
    (((2, 3, 5, 6), (4, 3, 1, 1), (4,)), {"stride": 2, "padding": 1}),
    (((2, 3, 5, 6), (4, 3, 5, 6), (4,)), {}),
    (((2, 3, 1, 7), (4, 3, 1, 3), (4,)), {"padding": (0, 1)}),
    (((1, 1, 5, 5), (1, 1, 3, 3), (1,)), {}),
    (((3, 5, 6), (4, 3, 3, 3), (4,)), {}),
    (((3, 5, 6), (4, 3, 3, 3), None), {"stride": 2, "padding": 1}),
    (((0, 3, 5, 6), (4, 3, 3, 3), (4,)), {"padding": 1}),
    ((noncontiguous(2, 3, 6, 7), noncontiguous(4, 3, 3, 3), noncontiguous(4)), {"padding": 1}),
    ((on_grid(2, 3, 6, 7), on_grid(4, 3, 3, 3), (4,)), {}),
]

CASES = [Case(inputs, keywords) for inputs, keywords in ARGUMENTS]

OPS = [
    Op(
        "conv2d",
        F.conv2d,
        cases=[*CASES, Case(((40, 8, 28, 28), (4, 8, 3, 3), (4,)), {"padding": 1}, note="several blocks")],
        layers=[
            LayerCase("conv2d", lambda L: L.conv2d(6, 4, 3), IMAGE),
            LayerCase("conv2d", lambda L: L.conv2d(6, 4, (3, 2), (2, 1), (1, 0), bias=False), IMAGE, "no bias"),
            LayerCase("conv2d", lambda L: L.conv2d(6, 4, 3, dilation=2, groups=2), IMAGE, "dilation, groups"),
            LayerCase("conv2d", lambda L: L.conv2d(6, 4, 4, padding="same"), IMAGE, "same"),
            LayerCase("conv2d", lambda L: L.conv2d(6, 4, 3, padding=(1, 2), padding_mode="reflect"), IMAGE, "reflect"),
            LayerCase("conv2d", lambda L: L.conv2d(6, 4, 3, 2, 2, padding_mode="replicate"), IMAGE, "replicate"),
            LayerCase(
                "conv2d", lambda L: L.conv2d(6, 4, 4, padding="same", padding_mode="circular"), IMAGE, "circular"
            ),
        ],
        timed={
            "conv2d": Timed(lambda L: L.conv2d(32, 64, 3, padding=1, bias=False), (32, 14, 14)),
            "conv2d-first": Timed(lambda L: L.conv2d(1, 32, 3, padding=1, bias=False), (1, 28, 28)),
            "conv2d-deep": Timed(lambda L: L.conv2d(256, 256, 3, padding=1, bias=False), (256, 7, 7)),
            "conv2d-stride": Timed(lambda L: L.conv2d(64, 128, 3, stride=2, padding=1, bias=False), (64, 28, 28)),
        },
    ),
    Op("conv2d_naive", F.conv2d, cases=CASES),
]
