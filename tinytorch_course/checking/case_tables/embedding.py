"""Embedding: cases, layers, sizes."""

import torch
import torch.nn.functional as F

from tinytorch_course.checking.cases import Case, LayerCase, Likely, Op, Timed, labels, noncontiguous

TABLE = (5, 3)
TWICE = torch.tensor([[2, 0, 2], [2, 4, 4]])  # rows looked up several times, and two never


def last_alone(input, weight, padding_idx):
    """Lookups of which the last of each row alone reaches the weight."""
    places = input.flatten().tolist()
    last = torch.tensor([row not in places[place + 1 :] for place, row in enumerate(places)]).reshape(input.shape)
    out = F.embedding(input, weight, padding_idx)
    return torch.where(last[..., None], out, out.detach())


OPS = [
    Op(
        "embedding",
        F.embedding,
        any_shape=True,
        cases=[
            Case((labels(5, 4, 6), TABLE)),
            Case((TWICE, TABLE), note="rows looked up twice and never"),
            Case((labels(5, 7), TABLE), note="one axis"),
            Case((labels(5), TABLE), note="one number"),
            Case((labels(5, 2, 3, 4), TABLE), note="three axes"),
            Case((labels(5, 4, dtype=torch.int32), TABLE), note="int32"),
            # The row of padding_idx moves the output, but by convention it does not learn: no slope is its gradient.
            *(Case((TWICE, TABLE), {"padding_idx": padding_idx}, differences=False) for padding_idx in (2, 1, -1)),
            Case((TWICE.T, noncontiguous(5, 3))),
            Case((labels(5, 0), TABLE), note="nothing looked up"),
            Case((labels(1, 4), (1, 3)), note="one row"),
            Case((TWICE, (5, 0)), note="empty vectors"),
        ],
        layers=[
            LayerCase("embedding", lambda L: L.embedding(5, 3), labels(5, 4, 6)),
            LayerCase("embedding", lambda L: L.embedding(5, 3, padding_idx=2), TWICE, "padding", differences=False),
        ],
        timed={"embedding": Timed(lambda L: L.embedding(10_000, 64), (32,), below=10_000)},
        mistakes=[
            Likely(
                "repeats-overwritten",
                last_alone,
                "a row that is looked up more than once gets the last place's gradient alone: add them up, as "
                "index_add does (dweight[input] += dout adds one of them)",
            ),
            Likely(
                "padding-learns",
                lambda input, weight, padding_idx: F.embedding(input, weight),
                "padding_idx is ignored: its row must get no gradient",
            ),
        ],
    )
]
