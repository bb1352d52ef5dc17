"""Losses: cases, with every reduction, weight and kind of target."""

from itertools import product

import torch
import torch.nn.functional as F

from tinytorch_course.checking.cases import Case, Draw, Op, labels, noncontiguous, on_grid, scaled

REDUCTIONS = ("none", "mean", "sum")
REDUCED = [{"reduction": reduction} for reduction in REDUCTIONS]
IGNORED = -100


def uniform(*shape, low=0.05, high=0.95):
    """Numbers from ``low`` to ``high``: probabilities of yes, away from the ends."""

    def uniform_draw(generator):
        return low + (high - low) * torch.rand(shape, dtype=torch.float64, generator=generator)

    return Draw(f"uniform{shape}", uniform_draw)


def normal(*shape):
    """Standard normal numbers: logits."""
    return shape


def without_classes(shape):
    """The shape of one loss for each prediction: (N, C, d...) without C."""
    return shape[:1] * (len(shape) > 1) + shape[2:]


def of(*values, dtype=torch.float64):
    """A tensor of these numbers."""
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


REGRESSION = [
    *(
        Case(inputs, {"reduction": reduction, **weight})
        for (inputs, weight), reduction in product(
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
    Case(((3, 4), (3, 4)), note="defaults"),
    Case(((), ()), note="scalar"),
    Case(((2, 3, 4, 5), (2, 3, 4, 5))),
    Case(((1, 4), (0, 4)), differences=False, note="broadcast to nothing: nan"),
    Case(((3, 4), labels(9, 4, dtype=torch.uint8)), {"weight": GRID}, note="uint8, broadcast"),
    Case((noncontiguous(3, 4), noncontiguous(3, 4)), {"weight": GRID.T.contiguous().T}),
    Case((scaled(1e4, 3, 4), scaled(1e4, 3, 4)), differences=False, note="too large for differences"),
    Case(((3, 4), (3, 4)), {"weight": GRID * 0}, differences=False, note="no weight at all: nan"),
]

POSITIVE_WEIGHTS = (
    {"pos_weight": GRID + 2},
    {"pos_weight": GRID[0]},
    {"pos_weight": GRID[:, :1]},
    {"pos_weight": of(3.0).squeeze()},
    {"pos_weight": GRID[2], "weight": GRID[:, :1]},
)


def weighted_answers(inputs, weights):
    """Cases with every reduction, without and with weights."""
    return [
        Case((inputs(3, 4), uniform(3, 4)), {"reduction": reduction, **weight})
        for weight, reduction in product(weights, REDUCTIONS)
    ]


def yes_or_no(inputs):
    """For inputs drawn by ``inputs(*shape)``: probabilities, or logits."""
    return [
        *weighted_answers(
            inputs, ({}, {"weight": GRID}, {"weight": GRID[0]}, {"weight": GRID[:, :1]}, {"weight": of(2.0)})
        ),
        *(weighted_answers(inputs, POSITIVE_WEIGHTS) if inputs is normal else ()),
        Case((inputs(3, 4), uniform(3, 4)), note="defaults"),
        Case((inputs(), uniform()), note="scalar"),
        Case((inputs(0, 4), uniform(0, 4)), note="empty"),
        Case((inputs(0, 4), uniform(0, 4)), {"reduction": "none", "weight": GRID[0]}, note="empty"),
        Case((inputs(2, 4, 3, 2), uniform(2, 4, 3, 2)), {"weight": GRID[0].reshape(4, 1, 1)}),
        Case((UNIT[:, ::2], UNIT[:, 1::2]), note="noncontiguous"),
    ]


PER_CLASS = ((6, 4), (4,), (2, 4, 3), (2, 4, 3, 2))  # shapes of inputs with four classes
CLASSES = [
    Case(((6, 4), labels(4, 6)), note="defaults"),
    Case(((6, 4), labels(4, 6, dtype=torch.uint8)), note="uint8"),
    Case(((6, 1), labels(1, 6)), note="one class"),
    Case(((1, 4), labels(4, 1)), note="batch of one"),
    Case(((2, 4, 3, 2, 2), labels(4, 2, 3, 2, 2)), {"weight": CLASS_WEIGHT}),
    Case(((6, 4), labels(4, 6)), {"ignore_index": 1}, note="a class ignored"),
    Case(((6, 4), labels(4, 6)), {"ignore_index": 1, "weight": CLASS_WEIGHT}, note="a class ignored"),
    Case(((6, 4), labels(4, 6, ignored=99)), {"ignore_index": 99}),
    Case((noncontiguous(6, 4), labels(4, 6)), {"weight": CLASS_WEIGHT}),
    Case((on_grid(6, 4), labels(4, 6)), note="ties"),
    *(Case(((0, 4), labels(4, 0)), reduced, note="empty") for reduced in REDUCED),
    Case(((2, 4, 0), labels(4, 2, 0)), note="empty"),
    Case(((3, 4), torch.full((3,), 2)), {"weight": CLASS_WEIGHT}, False, "no weight: nan"),
    *(
        Case((shape, torch.full(without_classes(shape), IGNORED)), keywords, False, "all ignored")
        for shape, keywords in product(((3, 4), (4,), (2, 4, 3)), (*REDUCED, {"weight": CLASS_WEIGHT}))
    ),
    Case((MASKED, torch.tensor([2, 0])), {"reduction": "none"}, False, "classes ruled out"),
    Case((MASKED, torch.tensor([1, 0])), {}, False, "a right class ruled out"),
    Case((MASKED.flip(1), torch.tensor([0, IGNORED])), {}, False, "ruled out and ignored"),
    Case((EXTREME, torch.tensor([1, 2, 0])), {"reduction": "none"}, False),
]


def loss(name, twin, *cases):
    """A row."""
    return Op(name, twin, kind="loss", cases=cases)


OPS = [
    loss("mse_loss", mse_loss_twin, *REGRESSION),
    loss(
        "l1_loss",
        F.l1_loss,
        *REGRESSION,
        *(
            Case((on_grid(5, 6), on_grid(5, 6)), keywords, differences=False, note="equal")
            for keywords in ({}, *REDUCED)
        ),
    ),
    loss(
        "binary_cross_entropy",
        F.binary_cross_entropy,
        *yes_or_no(uniform),
        *(Case((CERTAIN, ANSWERS), reduced, False, "p of 0 and 1") for reduced in REDUCED),
    ),
    loss(
        "binary_cross_entropy_with_logits",
        F.binary_cross_entropy_with_logits,
        *yes_or_no(normal),
        *(
            Case((LOGITS, YES_OR_NO), {"reduction": "none", **weights}, False)
            for weights in ({}, {"pos_weight": of(3.0)}, {"weight": of(0.5)})
        ),
        Case((LOGITS.reshape(2, 3), YES_OR_NO.reshape(2, 3)), {}, False),
        Case(((3, 4), (3, 4)), note="targets outside [0, 1]"),
        Case((scaled(30.0, 40), uniform(40))),
    ),
    loss(
        "nll_loss",
        F.nll_loss,
        *(
            Case((shape, labels(4, *without_classes(shape), ignored=ignored)), {"reduction": reduction} | weight)
            for shape, ignored, weight, reduction in product(
                PER_CLASS, (None, IGNORED), ({}, {"weight": CLASS_WEIGHT}), REDUCTIONS
            )
        ),
        *CLASSES,
    ),
    loss(
        "cross_entropy",
        F.cross_entropy,
        *(
            Case((shape, target(shape)), {"reduction": reduction} | weight | smoothing)
            for shape, target, weight, smoothing, reduction in product(
                PER_CLASS,
                (
                    lambda shape: labels(4, *without_classes(shape)),
                    lambda shape: labels(4, *without_classes(shape), ignored=IGNORED),
                    lambda shape: uniform(*shape),  # sums other than one included
                ),
                ({}, {"weight": CLASS_WEIGHT}),
                ({}, {"label_smoothing": 0.1}),
                REDUCTIONS,
            )
        ),
        *CLASSES,
        Case(((6, 4), labels(4, 6)), {"label_smoothing": 1.0}),
        Case(((6, 4), uniform(6, 4)), {"label_smoothing": 1.0}),
        Case(((6, 4), uniform(6, 4)), {"ignore_index": -1}),
        Case(((6, 4), labels(4, 6)), {"ignore_index": 1, "label_smoothing": 0.3}),
        *(
            Case(((3, 4), torch.full((3,), IGNORED)), {"label_smoothing": 0.1} | weight, False)
            for weight in ({}, {"weight": CLASS_WEIGHT})
        ),
        *(
            Case(((0, 4), target), {"label_smoothing": 0.1} | keywords, note="empty")
            for target, keywords in product(
                (labels(4, 0), uniform(0, 4)), ({}, {"weight": CLASS_WEIGHT}, {"reduction": "none"})
            )
        ),
        Case((EXTREME, torch.tensor([1, 2, 0])), {}, False),
        Case((EXTREME, torch.tensor([1, 2, 0])), {"label_smoothing": 0.1}, False),
        Case((EXTREME, uniform(3, 3)), {}, False),
        Case((MASKED, of(0.5, 0, 0.5, 1, 0, 0).reshape(2, 3)), {}, False, "0 · −inf is nan"),
        Case(((2, 4, 3, 2, 2), uniform(2, 4, 3, 2, 2)), {"weight": CLASS_WEIGHT}),
    ),
    loss(
        "cross_entropy_long",
        F.cross_entropy,
        Case(((6, 4), labels(4, 6))),
        Case(((1, 4), labels(4, 1))),
        Case(((6, 1), labels(1, 6))),
        Case(((0, 4), labels(4, 0)), note="empty"),
        Case((scaled(1.0, 6, 4, shift=1e4), labels(4, 6))),
        Case((on_grid(6, 4), labels(4, 6)), note="ties"),
        Case((noncontiguous(6, 4), labels(4, 6, dtype=torch.uint8))),
    ),
]
