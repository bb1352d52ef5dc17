"""Batch normalisation: cases, layers, sizes."""

import torch
import torch.nn.functional as F

from tinytorch_course.checking.cases import (
    IMAGE,
    ROWS,
    SEQUENCE,
    Case,
    Draw,
    LayerCase,
    Op,
    Timed,
    noncontiguous,
    on_grid,
    scaled,
)


def batch_norm_twin(x, running_mean, running_var, *args, **kwargs):
    """torch moves the running statistics in place: give it copies, and return them."""
    if running_mean is not None:
        running_mean, running_var = running_mean.clone(), running_var.clone()
    return F.batch_norm(x, running_mean, running_var, *args, **kwargs), running_mean, running_var


def batch_norm_long_twin(x, weight, bias, eps=1e-5):
    """In training, by the batch's own mean and variance, keeping none."""
    return F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


def variance(*shape):
    """Positive numbers, from 0.5 to 1.5."""

    def variance_draw(generator):
        return torch.rand(shape, dtype=torch.float64, generator=generator) + 0.5

    return Draw(f"variance{shape}", variance_draw)


SHAPES = [(5, 3), (4, 3, 6), (2, 3, 4, 5), (2, 3, 2, 3, 2)]
C = (3,)
TRAINING, EVALUATION = {"training": True}, {"training": False}

OPS = [
    Op(
        "batch_norm",
        batch_norm_twin,
        constant=(1, 2),
        any_shape=True,
        cases=[
            *(Case((x, C, variance(3), C, C), mode) for x in SHAPES for mode in (TRAINING, EVALUATION)),
            *(
                Case(((4, 3, 5), mean, var, weight, bias), mode)
                for mean, var, mode in (
                    (None, None, TRAINING),
                    (C, variance(3), TRAINING),
                    (C, variance(3), EVALUATION),
                )
                for weight in (None, C)
                for bias in (None, C)
            ),
            *(
                Case(((4, 3, 5), C, variance(3), C, C), {**mode, **keywords})
                for mode in (TRAINING, EVALUATION)
                for keywords in ({"eps": 0.1}, {"eps": 1e-8}, {"momentum": 0.7}, {"momentum": 0.0}, {"momentum": 1.0})
            ),
            *(
                Case((x, C, variance(3), C, C), mode, note=note)
                for mode in (TRAINING, EVALUATION)
                for x, note in (
                    (noncontiguous(4, 3, 6), ""),
                    (scaled(1e-3, 8, 3, 4), "little deviation: eps counts"),
                    ((0, 3, 4), "empty batch"),
                    ((4, 3, 0), "no pixels"),
                    ((2, 3), "two rows"),
                )
            ),
            *(
                Case((scaled(1.0, 8, 3, 4, shift=1e4), C, variance(3), C, C), mode, differences=False)
                for mode in (TRAINING, EVALUATION)  # a mean so large that differences lose their digits
            ),
            Case((on_grid(4, 3, 2, levels=1), C, variance(3), C, C), TRAINING, note="constant channels"),
            *(Case(((4, 0), (0,), (0,)), mode, note="no channels") for mode in (TRAINING, EVALUATION)),
            *(Case(((0,), (0,), (0,)), mode, note="nothing at all") for mode in (TRAINING, EVALUATION)),
            Case(((1, 3), C, variance(3), C, C), EVALUATION, note="one row"),
            Case(((1, 3, 2, 2), C, variance(3), C, C), TRAINING, note="one image"),
        ],
        layers=[
            LayerCase("batch_norm1d", lambda L: L.batch_norm1d(6), ROWS),
            LayerCase("batch_norm1d", lambda L: L.batch_norm1d(6, eps=0.1, momentum=0.3), SEQUENCE, "sequence"),
            LayerCase("batch_norm2d", lambda L: L.batch_norm2d(6), IMAGE),
            LayerCase("batch_norm2d", lambda L: L.batch_norm2d(6, affine=False), IMAGE, "not affine"),
            LayerCase("batch_norm2d", lambda L: L.batch_norm2d(6, track_running_stats=False), IMAGE, "no statistics"),
            LayerCase("batch_norm2d", lambda L: L.batch_norm2d(6, momentum=None), IMAGE, "mean of all"),
        ],
        timed={
            "batch_norm1d": Timed(lambda L: L.batch_norm1d(128), (128,)),
            "batch_norm2d": Timed(lambda L: L.batch_norm2d(32), (32, 28, 28)),
        },
    ),
    Op(
        "batch_norm_long",
        batch_norm_long_twin,
        any_shape=True,
        cases=[*(Case((x, C, C)) for x in SHAPES), Case(((4, 3, 5), C, C), {"eps": 0.1})],
    ),
]
