import torch
import torch.nn.functional as F

from tinytorch_course.checking.cases import Case, Table, noncontiguous
from tinytorch_course.scratch.ops import reshaping

TABLE = Table(
    module=reshaping,
    twins={"flatten": torch.flatten, "pad2d": F.pad},
    cases=[
        Case("flatten", ((2, 3, 4),)),
        Case("flatten", ((2, 3, 4, 5),), {"start_dim": 1}),
        Case("flatten", ((2, 3, 4, 5),), {"start_dim": 1, "end_dim": 2}),
        Case("flatten", ((2, 3, 4, 5),), {"start_dim": -3, "end_dim": -2}),
        Case("flatten", ((2, 3),), {"start_dim": 1, "end_dim": 1}),
        Case("flatten", ((),), note="scalar"),
        Case("flatten", ((0, 3, 4),), {"start_dim": 1}),
        Case("flatten", (noncontiguous(2, 3, 4),), {"start_dim": 1}),
        *(
            Case("pad2d", (x,), {"pad": pad, "mode": mode})
            for mode in ("reflect", "replicate", "circular")
            for x in ((2, 3, 5, 6), (3, 5, 6), noncontiguous(2, 3, 5, 6))
            for pad in ((1, 1, 1, 1), (2, 0, 1, 3), (0, 0, 0, 0), (4, 4, 4, 4))
        ),
        Case("pad2d", ((2, 3, 2, 2),), {"pad": (7, 1, 0, 5), "mode": "replicate"}),
        Case("pad2d", ((0, 3, 5, 6),), {"pad": (1, 1, 1, 1), "mode": "replicate"}),
    ],
)
