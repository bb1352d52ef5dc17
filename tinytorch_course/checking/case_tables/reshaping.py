"""Flattening and padding: cases, layers."""

import torch
import torch.nn.functional as F

from tinytorch_course.checking.cases import IMAGE, Case, LayerCase, Op, Timed, noncontiguous

OPS = [
    Op(
        "flatten",
        torch.flatten,
        any_shape=True,
        cases=[
            Case(((2, 3, 4),)),
            Case(((2, 3, 4, 5),), {"start_dim": 1}),
            Case(((2, 3, 4, 5),), {"start_dim": 1, "end_dim": 2}),
            Case(((2, 3, 4, 5),), {"start_dim": -3, "end_dim": -2}),
            Case(((2, 3),), {"start_dim": 1, "end_dim": 1}),
            Case(((),), note="scalar"),
            Case(((0, 3, 4),), {"start_dim": 1}),
            Case((noncontiguous(2, 3, 4),), {"start_dim": 1}),
        ],
        layers=[
            LayerCase("flatten", lambda L: L.flatten(), IMAGE),
            LayerCase("flatten", lambda L: L.flatten(start_dim=2, end_dim=3), IMAGE, "some"),
        ],
        timed={"flatten": Timed(lambda L: L.flatten(), (64, 7, 7))},
    ),
    Op(
        "pad2d",
        F.pad,
        cases=[
            *(
                Case((x,), {"pad": pad, "mode": mode})
                for mode in ("reflect", "replicate", "circular")
                for x in ((2, 3, 5, 6), (3, 5, 6), noncontiguous(2, 3, 5, 6))
                for pad in ((1, 1, 1, 1), (2, 0, 1, 3), (0, 0, 0, 0), (4, 4, 4, 4))
            ),
            Case(((2, 3, 2, 2),), {"pad": (7, 1, 0, 5), "mode": "replicate"}),
            Case(((0, 3, 5, 6),), {"pad": (1, 1, 1, 1), "mode": "replicate"}),
        ],
    ),
]
