import torch.nn.functional as F

from tinytorch_course.checking.cases import Case, Table, noncontiguous
from tinytorch_course.scratch.ops import linear

TABLE = Table(
    module=linear,
    twins={"linear": F.linear},
    cases=[
        Case("linear", ((5, 3), (4, 3), (4,))),
        Case("linear", ((5, 3), (4, 3), None)),
        Case("linear", ((5, 3), (4, 3))),
        Case("linear", ((1, 3), (4, 3), (4,)), note="batch of one"),
        Case("linear", ((0, 3), (4, 3), (4,)), note="empty batch"),
        Case("linear", ((3,), (4, 3), (4,)), note="unbatched"),
        Case("linear", ((2, 6, 5, 3), (4, 3), (4,)), note="many batch axes"),
        Case("linear", ((5, 3), (3,)), note="a weight of one axis"),
        Case("linear", ((5, 3), (1, 3), (1,))),
        Case("linear", ((5, 1), (4, 1), (4,))),
        Case("linear", (noncontiguous(5, 3), noncontiguous(4, 3), noncontiguous(4))),
    ],
)
