"""Dropout: cases, layers, sizes."""

import torch

from tinytorch_course.checking.cases import IMAGE, Case, LayerCase, Op, Timed, noncontiguous

MASK = torch.tensor([[True, False, True], [False, False, True]])


def dropout_twin(x, p=0.5, training=True, mask=None):
    """torch offers no way to give F.dropout a mask, so the definition stands in for it."""
    if not training:
        return x * 1
    return x * mask / (1 - p) if p < 1 else x * 0


OPS = [
    Op(
        "dropout",
        dropout_twin,
        cases=[
            Case(((2, 3),), {"mask": MASK}),
            *(Case(((2, 3),), {"p": p, "mask": MASK}) for p in (0.0, 0.1, 0.25, 0.9)),
            Case(((2, 3),), {"p": 1.0, "mask": torch.zeros_like(MASK)}),
            Case(((2, 3),), {"training": False}),
            Case((noncontiguous(2, 3),), {"p": 0.3, "mask": MASK}),
            Case(((0, 3),), {"mask": MASK[:0]}),
        ],
        layers=[
            LayerCase("dropout", lambda L: L.dropout(0.3), IMAGE),
            LayerCase("dropout", lambda L: L.dropout(1.0), IMAGE, "everything"),
        ],
        timed={"dropout": Timed(lambda L: L.dropout(0.5), (3136,))},
    )
]
