from itertools import product

import torch
import torch.nn.functional as F

from tinytorch_course.checking.cases import Case, Table, noncontiguous, on_grid, scaled
from tinytorch_course.scratch import losses

REDUCTIONS = ("none", "mean", "sum")
IGNORED = -100


def uniform(*shape, low=0.05, high=0.95):
    """Numbers from ``low`` to ``high``: probabilities of yes, away from the ends."""

    def uniform_draw(generator):
        return low + (high - low) * torch.rand(shape, dtype=torch.float64, generator=generator)

    uniform_draw.label = f"uniform{shape}"
    return uniform_draw


def normal(*shape):
    """Standard normal numbers: logits."""
    return shape


def labels(classes, *shape, ignored=None, dtype=torch.int64):
    """Class indices. With ``ignored``, every third one is that, but never the only one."""

    def labels_draw(generator):
        target = torch.randint(classes, shape, generator=generator)
        if ignored is not None:
            target.view(-1)[1::3] = ignored
        return target.to(dtype)

    labels_draw.label = f"labels{shape}" + (f"some={ignored}" if ignored is not None else "")
    return labels_draw


def without_classes(shape):
    return shape[:1] * (len(shape) > 1) + shape[2:]


def of(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


def mse_loss_twin(input, target, **kwargs):
    """torch 2.10 takes an integer target, but cannot differentiate the loss of one."""
    return F.mse_loss(input, target.to(input.dtype), **kwargs)


LOGITS = of(1e4, -1e4, 1e4, -1e4, 0.0, 1e4)
YES_OR_NO = of(1.0, 0.0, 0.0, 1.0, 1.0, 0.3)
CERTAIN = of(0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1e-13, 1e-60)  # and sure of itself
ANSWERS = of(1.0, 0.0, 0.0, 1.0, 0.5, 0.3, 0.4, 1.0)
EXTREME = of(1e4, -1e4, 0.0, -1e4, 1e4, 9999.0, -1e4, -1e4, -1e4).reshape(3, 3)
MASKED = of(0.0, -torch.inf, 1.0, 2.0, -torch.inf, -torch.inf).reshape(2, 3)
CLASS_WEIGHT = of(0.5, 2.0, 0.0, 1.5)  # one class without any weight
GRID = torch.linspace(-1.0, 2.0, 12, dtype=torch.float64).reshape(3, 4)  # weights of elements, some negative

UNIT = torch.linspace(0.1, 0.9, 24, dtype=torch.float64).reshape(6, 4).T

TABLE = Table(
    module=losses,
    twins={
        "mse_loss": mse_loss_twin,
        "l1_loss": F.l1_loss,
        "binary_cross_entropy": F.binary_cross_entropy,
        "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
        "nll_loss": F.nll_loss,
        "cross_entropy": F.cross_entropy,
        "cross_entropy_long": F.cross_entropy,
    },
    cases=[
        # Regression
        *(
            Case(op, inputs, {"reduction": reduction, **weight})
            for op, (inputs, weight), reduction in product(
                ("mse_loss", "l1_loss"),
                (
                    (((3, 4), (3, 4)), {}),
                    (((3, 4), (3, 4)), {"weight": GRID}),
                    (((3, 4), (4,)), {}),
                    (((3, 1), (4,)), {}),
                    (((4,), (3, 4)), {"weight": GRID[2]}),
                    (((3, 4), (3, 1)), {"weight": GRID}),
                    (((3, 4), labels(9, 3, 4)), {}),
                    (((0, 4), (0, 4)), {}),
                ),
                REDUCTIONS,
            )
        ),
        *(
            case
            for op in ("mse_loss", "l1_loss")
            for case in (
                Case(op, ((3, 4), (3, 4)), note="defaults"),
                Case(op, ((), ()), note="scalar"),
                Case(op, ((2, 3, 4, 5), (2, 3, 4, 5))),
                Case(op, ((1, 4), (0, 4)), differences=False, note="broadcast to nothing: nan"),
                Case(op, ((3, 4), labels(9, 4, dtype=torch.uint8)), {"weight": GRID}, note="uint8, broadcast"),
                Case(op, (noncontiguous(3, 4), noncontiguous(3, 4)), {"weight": GRID.T.contiguous().T}),
                Case(op, (scaled(1e4, 3, 4), scaled(1e4, 3, 4)), differences=False, note="too large for differences"),
                Case(op, ((3, 4), (3, 4)), {"weight": GRID * 0}, differences=False, note="no weight at all: nan"),
            )
        ),
        *(
            Case("l1_loss", (on_grid(5, 6), on_grid(5, 6)), keywords, differences=False, note="equal")
            for keywords in ({}, *({"reduction": reduction} for reduction in REDUCTIONS))
        ),
        # Yes or no
        *(
            Case(op, (inputs(3, 4), uniform(3, 4)), {"reduction": reduction, **weights})
            for (op, inputs), weights, reduction in product(
                (("binary_cross_entropy", uniform), ("binary_cross_entropy_with_logits", normal)),
                ({}, {"weight": GRID}, {"weight": GRID[0]}, {"weight": GRID[:, :1]}, {"weight": of(2.0)}),
                REDUCTIONS,
            )
        ),
        *(
            Case("binary_cross_entropy_with_logits", ((3, 4), uniform(3, 4)), {"reduction": reduction, **weights})
            for weights, reduction in product(
                (
                    {"pos_weight": GRID + 2},
                    {"pos_weight": GRID[0]},
                    {"pos_weight": GRID[:, :1]},
                    {"pos_weight": of(3.0).squeeze()},
                    {"pos_weight": GRID[2], "weight": GRID[:, :1]},
                ),
                REDUCTIONS,
            )
        ),
        *(
            case
            for op, inputs in (("binary_cross_entropy", uniform), ("binary_cross_entropy_with_logits", normal))
            for case in (
                Case(op, (inputs(3, 4), uniform(3, 4)), note="defaults"),
                Case(op, (inputs(), uniform()), note="scalar"),
                Case(op, (inputs(0, 4), uniform(0, 4)), note="empty"),
                Case(op, (inputs(0, 4), uniform(0, 4)), {"reduction": "none", "weight": GRID[0]}, note="empty"),
                Case(op, (inputs(2, 4, 3, 2), uniform(2, 4, 3, 2)), {"weight": GRID[0].reshape(4, 1, 1)}),
                Case(op, (UNIT[:, ::2], UNIT[:, 1::2]), note="noncontiguous"),
            )
        ),
        *(
            Case("binary_cross_entropy", (CERTAIN, ANSWERS), {"reduction": reduction}, False, "p of 0 and 1")
            for reduction in REDUCTIONS
        ),
        *(
            Case("binary_cross_entropy_with_logits", (LOGITS, YES_OR_NO), {"reduction": "none", **weights}, False)
            for weights in ({}, {"pos_weight": of(3.0)}, {"weight": of(0.5)})
        ),
        Case("binary_cross_entropy_with_logits", (LOGITS.reshape(2, 3), YES_OR_NO.reshape(2, 3)), {}, False),
        Case("binary_cross_entropy_with_logits", ((3, 4), (3, 4)), note="targets outside [0, 1]"),
        Case("binary_cross_entropy_with_logits", (scaled(30.0, 40), uniform(40))),
        # Classes
        *(
            Case("nll_loss", (shape, labels(4, *without_classes(shape), ignored=ignored)), keywords | weight)
            for shape, ignored, weight, keywords in product(
                ((6, 4), (4,), (2, 4, 3), (2, 4, 3, 2)),
                (None, IGNORED),
                ({}, {"weight": CLASS_WEIGHT}),
                ({"reduction": reduction} for reduction in REDUCTIONS),
            )
        ),
        *(
            Case("cross_entropy", (shape, target(shape)), keywords | weight | smoothing)
            for shape, target, weight, smoothing, keywords in product(
                ((6, 4), (4,), (2, 4, 3), (2, 4, 3, 2)),
                (
                    lambda shape: labels(4, *without_classes(shape)),
                    lambda shape: labels(4, *without_classes(shape), ignored=IGNORED),
                    lambda shape: uniform(*shape),  # sums other than one included
                ),
                ({}, {"weight": CLASS_WEIGHT}),
                ({}, {"label_smoothing": 0.1}),
                ({"reduction": reduction} for reduction in REDUCTIONS),
            )
        ),
        *(
            case
            for op in ("nll_loss", "cross_entropy")
            for case in (
                Case(op, ((6, 4), labels(4, 6)), note="defaults"),
                Case(op, ((6, 4), labels(4, 6, dtype=torch.uint8)), note="uint8"),
                Case(op, ((6, 1), labels(1, 6)), note="one class"),
                Case(op, ((1, 4), labels(4, 1)), note="batch of one"),
                Case(op, ((2, 4, 3, 2, 2), labels(4, 2, 3, 2, 2)), {"weight": CLASS_WEIGHT}),
                Case(op, ((6, 4), labels(4, 6)), {"ignore_index": 1}, note="a class ignored"),
                Case(op, ((6, 4), labels(4, 6)), {"ignore_index": 1, "weight": CLASS_WEIGHT}, note="a class ignored"),
                Case(op, ((6, 4), labels(4, 6, ignored=99)), {"ignore_index": 99}),
                Case(op, (noncontiguous(6, 4), labels(4, 6)), {"weight": CLASS_WEIGHT}),
                Case(op, (on_grid(6, 4), labels(4, 6)), note="ties"),
                *(Case(op, ((0, 4), labels(4, 0)), {"reduction": reduction}, note="empty") for reduction in REDUCTIONS),
                Case(op, ((2, 4, 0), labels(4, 2, 0)), note="empty"),
                Case(op, ((3, 4), torch.full((3,), 2)), {"weight": CLASS_WEIGHT}, False, "no weight: nan"),
                *(
                    Case(op, (shape, torch.full(without_classes(shape), IGNORED)), keywords, False, "all ignored")
                    for shape, keywords in product(
                        ((3, 4), (4,), (2, 4, 3)),
                        (*({"reduction": reduction} for reduction in REDUCTIONS), {"weight": CLASS_WEIGHT}),
                    )
                ),
                Case(op, (MASKED, torch.tensor([2, 0])), {"reduction": "none"}, False, "classes ruled out"),
                Case(op, (MASKED, torch.tensor([1, 0])), {}, False, "a right class ruled out"),
                Case(op, (MASKED.flip(1), torch.tensor([0, IGNORED])), {}, False, "ruled out and ignored"),
                Case(op, (EXTREME, torch.tensor([1, 2, 0])), {"reduction": "none"}, False),
            )
        ),
        Case("cross_entropy", ((6, 4), labels(4, 6)), {"label_smoothing": 1.0}),
        Case("cross_entropy", ((6, 4), uniform(6, 4)), {"label_smoothing": 1.0}),
        Case("cross_entropy", ((6, 4), uniform(6, 4)), {"ignore_index": -1}),
        Case("cross_entropy", ((6, 4), labels(4, 6)), {"ignore_index": 1, "label_smoothing": 0.3}),
        *(
            Case("cross_entropy", ((3, 4), torch.full((3,), IGNORED)), {"label_smoothing": 0.1} | weight, False)
            for weight in ({}, {"weight": CLASS_WEIGHT})
        ),
        *(
            Case("cross_entropy", ((0, 4), target), {"label_smoothing": 0.1} | keywords, note="empty")
            for target, keywords in product(
                (labels(4, 0), uniform(0, 4)), ({}, {"weight": CLASS_WEIGHT}, {"reduction": "none"})
            )
        ),
        Case("cross_entropy", (EXTREME, torch.tensor([1, 2, 0])), {}, False),
        Case("cross_entropy", (EXTREME, torch.tensor([1, 2, 0])), {"label_smoothing": 0.1}, False),
        Case("cross_entropy", (EXTREME, uniform(3, 3)), {}, False),
        Case("cross_entropy", (MASKED, of(0.5, 0, 0.5, 1, 0, 0).reshape(2, 3)), {}, False, "0 · −inf is nan"),
        Case("cross_entropy", ((2, 4, 3, 2, 2), uniform(2, 4, 3, 2, 2)), {"weight": CLASS_WEIGHT}),
        # Step by step
        Case("cross_entropy_long", ((6, 4), labels(4, 6))),
        Case("cross_entropy_long", ((1, 4), labels(4, 1))),
        Case("cross_entropy_long", ((6, 1), labels(1, 6))),
        Case("cross_entropy_long", ((0, 4), labels(4, 0)), note="empty"),
        Case("cross_entropy_long", (scaled(1.0, 6, 4, shift=1e4), labels(4, 6))),
        Case("cross_entropy_long", (on_grid(6, 4), labels(4, 6)), note="ties"),
        Case("cross_entropy_long", (noncontiguous(6, 4), labels(4, 6, dtype=torch.uint8))),
    ],
)
