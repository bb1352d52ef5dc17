"""The sum of a residual block: cases, layers."""

import torch

from tinytorch_course.checking.cases import Case, Op, noncontiguous


def add_twin(x, shortcut, alpha=1):
    """``x + alpha · shortcut``."""
    return torch.add(x, shortcut, alpha=alpha)


OPS = [
    Op(
        "add",
        add_twin,
        any_shape=True,
        cases=[
            Case(((2, 3, 4, 4), (2, 3, 4, 4))),
            Case(((2, 3), (2, 3)), {"alpha": -0.5}),
            Case(((2, 3, 4), (3, 1))),
            Case(((1, 4), (2, 3, 4)), {"alpha": 2}),
            Case(((), (2, 3))),
            Case(((0, 3), (1, 3))),
            Case((noncontiguous(2, 3), noncontiguous(2, 3))),
        ],
    )
]
