import torch

from tinytorch_course.checking.cases import Case, Table, noncontiguous
from tinytorch_course.scratch.ops import residual


def add_twin(x, shortcut, alpha=1):
    return torch.add(x, shortcut, alpha=alpha)


TABLE = Table(
    module=residual,
    twins={"add": add_twin},
    cases=[
        Case("add", ((2, 3, 4, 4), (2, 3, 4, 4))),
        Case("add", ((2, 3), (2, 3)), {"alpha": -0.5}),
        Case("add", ((2, 3, 4), (3, 1))),
        Case("add", ((1, 4), (2, 3, 4)), {"alpha": 2}),
        Case("add", ((), (2, 3))),
        Case("add", ((0, 3), (1, 3))),
        Case("add", (noncontiguous(2, 3), noncontiguous(2, 3))),
    ],
)
