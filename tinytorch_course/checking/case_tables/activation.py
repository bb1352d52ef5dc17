"""Activations: cases, layers, sizes, likely mistakes."""

import torch
import torch.nn.functional as F

from tinytorch_course.checking.cases import IMAGE, ROWS, Case, LayerCase, Op, Timed, noncontiguous, on_grid, scaled

MAPS = (32, 28, 28)  # what an activation sees in mnist_cnn
ELEMENTWISE = [
    Case(((3, 4),)),
    Case(((),), note="scalar"),
    Case(((0, 4),), note="empty"),
    Case((noncontiguous(3, 4),)),
    Case((scaled(1e4, 3, 4),)),
]
AT_ZERO = Case((torch.tensor([0.0, -0.0, 1.0, -1.0], dtype=torch.float64),), differences=False, note="at zero")
ALONG_AN_AXIS = [
    Case(((3, 4),), {"dim": 1}),
    Case(((3, 4),), {"dim": 0}),
    Case(((3, 4),), {"dim": -2}),
    Case(((2, 3, 4, 5),), {"dim": 1}),
    Case(((4,),), {"dim": 0}, note="unbatched"),
    Case(((),), {"dim": 0}, note="scalar"),
    Case(((3, 1),), {"dim": 1}, note="one class"),
    Case(((0, 4),), {"dim": 1}, note="empty batch"),
    Case(((3, 0),), {"dim": 1}, note="no class"),
    Case((noncontiguous(3, 4),), {"dim": 1}),
    Case((scaled(1, 3, 4, shift=1e4),), {"dim": 1}),
    Case((scaled(1e4, 3, 4),), {"dim": 1}, differences=False, note="too large for differences"),
    Case((on_grid(3, 4),), {"dim": 1}, note="ties"),
    Case(((3, 4),), {"dim": 1, "dtype": torch.float64}),
]


def elementwise(name, twin, *cases, layers=()):
    """The row of an activation that acts on each element alone."""

    def build(L):
        return getattr(L, name)()

    return Op(
        name,
        twin,
        cases=[*ELEMENTWISE, *cases],
        layers=layers or [LayerCase(name, build, IMAGE)],
        timed={name: Timed(build, MAPS)},
    )


OPS = [
    elementwise("relu", F.relu, AT_ZERO, Case((on_grid(5, 6),), differences=False)),
    elementwise(
        "leaky_relu",
        F.leaky_relu,
        AT_ZERO,
        *(Case(((3, 4),), {"negative_slope": slope}) for slope in (0.3, 0.0, -0.5, 2.0)),
        layers=[LayerCase("leaky_relu", lambda L: L.leaky_relu(0.2), IMAGE)],
    ),
    elementwise(
        "gelu",
        F.gelu,
        Case(((3, 4),), {"approximate": "tanh"}),
        *(Case((scaled(5, 30),), {"approximate": approximate}) for approximate in ("tanh", "none")),
        layers=[
            LayerCase("gelu", lambda L: L.gelu(), IMAGE),
            LayerCase("gelu", lambda L: L.gelu(approximate="tanh"), IMAGE, "tanh"),
        ],
    ),
    elementwise("sigmoid", torch.sigmoid),
    elementwise("tanh", torch.tanh),
    Op(
        "softmax",
        F.softmax,
        cases=ALONG_AN_AXIS,
        layers=[LayerCase("softmax", lambda L: L.softmax(dim=1), IMAGE)],
        timed={"softmax": Timed(lambda L: L.softmax(dim=1), (1000,))},
    ),
    Op(
        "log_softmax",
        F.log_softmax,
        cases=ALONG_AN_AXIS,
        layers=[LayerCase("log_softmax", lambda L: L.log_softmax(dim=-1), ROWS)],
        timed={"log_softmax": Timed(lambda L: L.log_softmax(dim=1), (1000,))},
    ),
]
