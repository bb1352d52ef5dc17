import torch
import torch.nn.functional as F

from tinytorch_course.checking.cases import Case, Table, noncontiguous, on_grid
from tinytorch_course.scratch.ops import pooling

MAX_KEYWORDS = [
    {"kernel_size": 2},
    {"kernel_size": (2, 3)},
    {"kernel_size": (2, 3), "stride": ()},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 1},
    {"kernel_size": 3, "stride": (1, 2), "padding": 1},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)},
    {"kernel_size": 2, "stride": 3},
    {"kernel_size": 2, "dilation": 2},
    {"kernel_size": (2, 3), "stride": 1, "dilation": (3, 2), "padding": (1, 1)},
    {"kernel_size": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 3, "dilation": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 1},
]
AVG_KEYWORDS = [
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

TABLE = Table(
    module=pooling,
    twins={
        "max_pool2d": F.max_pool2d,
        "max_pool2d_naive": F.max_pool2d,
        "avg_pool2d": F.avg_pool2d,
        "avg_pool2d_naive": F.avg_pool2d,
        "adaptive_avg_pool2d": F.adaptive_avg_pool2d,
        "adaptive_avg_pool2d_naive": F.adaptive_avg_pool2d,
    },
    cases=[
        *(Case(op, (SHAPE,), keywords) for op in ("max_pool2d", "max_pool2d_naive") for keywords in MAX_KEYWORDS),
        *(
            Case(op, (on_grid(*SHAPE),), keywords, differences=False, note="ties")
            for op in ("max_pool2d", "max_pool2d_naive")
            for keywords in MAX_KEYWORDS
        ),
        Case("max_pool2d", (SHAPE,), {"kernel_size": 3, "stride": 2, "return_indices": True}),
        Case("max_pool2d", (on_grid(*SHAPE),), {"kernel_size": 2, "return_indices": True}, differences=False),
        Case("max_pool2d", (torch.zeros(1, 1, 4, 6),), {"kernel_size": 2}, differences=False, note="all tied"),
        Case("max_pool2d", (ALL_MINUS_INF,), {"kernel_size": 3, "padding": 1, "stride": 1}, differences=False),
        *(Case(op, (SHAPE,), keywords) for op in ("avg_pool2d", "avg_pool2d_naive") for keywords in AVG_KEYWORDS),
        *(
            Case(op, (SHAPE,), {"output_size": size})
            for op in ("adaptive_avg_pool2d", "adaptive_avg_pool2d_naive")
            for size in ADAPTIVE_SIZES
        ),
        *(
            Case(op, (x,), keywords, note=note)
            for op, keywords in (
                ("max_pool2d", {"kernel_size": 2}),
                ("max_pool2d_naive", {"kernel_size": 2}),
                ("avg_pool2d", {"kernel_size": 2}),
                ("avg_pool2d_naive", {"kernel_size": 2}),
                ("adaptive_avg_pool2d", {"output_size": 3}),
                ("adaptive_avg_pool2d_naive", {"output_size": 3}),
            )
            for x, note in (
                ((3, 5, 6), "unbatched"),
                ((1, 1, 4, 4), "one image"),
                ((0, 3, 4, 4), "empty batch"),
                (noncontiguous(2, 3, 4, 6), ""),
            )
        ),
    ],
)
