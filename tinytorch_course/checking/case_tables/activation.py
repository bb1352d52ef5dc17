import torch
import torch.nn.functional as F

from tinytorch_course.checking.cases import Case, Table, noncontiguous, on_grid, scaled
from tinytorch_course.scratch.ops import activation

ZEROS = torch.tensor([0.0, -0.0, 1.0, -1.0], dtype=torch.float64)

TABLE = Table(
    module=activation,
    twins={
        "relu": F.relu,
        "leaky_relu": F.leaky_relu,
        "gelu": F.gelu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "softmax": F.softmax,
        "log_softmax": F.log_softmax,
    },
    cases=[
        *(Case(op, ((3, 4),)) for op in ("relu", "leaky_relu", "gelu", "sigmoid", "tanh")),
        *(Case(op, ((),), note="scalar") for op in ("relu", "leaky_relu", "gelu", "sigmoid", "tanh")),
        *(Case(op, ((0, 4),), note="empty") for op in ("relu", "leaky_relu", "gelu", "sigmoid", "tanh")),
        *(Case(op, (noncontiguous(3, 4),)) for op in ("relu", "leaky_relu", "gelu", "sigmoid", "tanh")),
        *(Case(op, (scaled(1e4, 3, 4),)) for op in ("relu", "leaky_relu", "gelu", "sigmoid", "tanh")),
        *(Case(op, (ZEROS,), differences=False, note="at zero") for op in ("relu", "leaky_relu")),
        Case("relu", (on_grid(5, 6),), differences=False),
        Case("leaky_relu", ((3, 4),), {"negative_slope": 0.3}),
        Case("leaky_relu", ((3, 4),), {"negative_slope": 0.0}),
        Case("leaky_relu", ((3, 4),), {"negative_slope": -0.5}),
        Case("leaky_relu", ((3, 4),), {"negative_slope": 2.0}),
        Case("gelu", ((3, 4),), {"approximate": "tanh"}),
        Case("gelu", (scaled(5, 30),), {"approximate": "tanh"}),
        Case("gelu", (scaled(5, 30),), {"approximate": "none"}),
        *(
            case
            for op in ("softmax", "log_softmax")
            for case in (
                Case(op, ((3, 4),), {"dim": 1}),
                Case(op, ((3, 4),), {"dim": 0}),
                Case(op, ((3, 4),), {"dim": -2}),
                Case(op, ((2, 3, 4, 5),), {"dim": 1}),
                Case(op, ((4,),), {"dim": 0}, note="unbatched"),
                Case(op, ((),), {"dim": 0}, note="scalar"),
                Case(op, ((3, 1),), {"dim": 1}, note="one class"),
                Case(op, ((0, 4),), {"dim": 1}, note="empty batch"),
                Case(op, ((3, 0),), {"dim": 1}, note="no class"),
                Case(op, (noncontiguous(3, 4),), {"dim": 1}),
                Case(op, (scaled(1, 3, 4, shift=1e4),), {"dim": 1}),
                Case(op, (scaled(1e4, 3, 4),), {"dim": 1}, differences=False, note="too large for differences"),
                Case(op, (on_grid(3, 4),), {"dim": 1}, note="ties"),
                Case(op, ((3, 4),), {"dim": 1, "dtype": torch.float64}),
            )
        ),
    ],
)
