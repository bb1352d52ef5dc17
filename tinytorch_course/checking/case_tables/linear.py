"""Linear layers: cases, layers, sizes."""

import torch.nn.functional as F

from tinytorch_course.checking.cases import IMAGE, ROWS, Case, LayerCase, Op, Timed, noncontiguous

OPS = [
    Op(
        "linear",
        F.linear,
        cases=[
            Case(((5, 3), (4, 3), (4,))),
            Case(((5, 3), (4, 3), None)),
            Case(((5, 3), (4, 3))),
            Case(((1, 3), (4, 3), (4,)), note="batch of one"),
            Case(((0, 3), (4, 3), (4,)), note="empty batch"),
            Case(((3,), (4, 3), (4,)), note="unbatched"),
            Case(((2, 6, 5, 3), (4, 3), (4,)), note="many batch axes"),
            Case(((5, 3), (3,)), note="a weight of one axis"),
            Case(((5, 3), (1, 3), (1,))),
            Case(((5, 1), (4, 1), (4,))),
            Case((noncontiguous(5, 3), noncontiguous(4, 3), noncontiguous(4))),
        ],
        layers=[
            LayerCase("linear", lambda L: L.linear(6, 5), ROWS),
            LayerCase("linear", lambda L: L.linear(6, 5, bias=False), ROWS, "no bias"),
            LayerCase("linear", lambda L: L.linear(8, 5), IMAGE, "many axes"),
        ],
        timed={"linear": Timed(lambda L: L.linear(3136, 128), (3136,))},
    )
]
