import math

import pytest
import torch
from torch import nn

from tinytorch_course.lockstep.ties import Ties, find_ties

UNIT = 2.0**-52


def windows(*seconds):
    """One window of 2 x 2 for each number: 1 beside 1 − number · UNIT."""
    maps = torch.cat([torch.tensor([[1.0, 1 - each * UNIT], [0.5, 0.25]], dtype=torch.float64) for each in seconds], 1)
    return maps[None, None]


def test_a_window_that_rounding_decides_is_a_tie():
    ours, twins = windows(1, 3, 1000), windows(1, -1, 1000)
    found = find_ties({"pool": nn.MaxPool2d(2)}, {"pool": ours}, {"pool": twins})
    assert found == Ties(windows=2, other_winner=1)
    assert found.differ


def test_ties_are_not_told_where_all_were_broken_alike():
    x = windows(1, 0, 0)
    assert find_ties({"pool": nn.MaxPool2d(2)}, {"pool": x}, {"pool": x}) == Ties()


def test_another_winner_without_a_tie_is_counted_too():
    """The two may be apart by more than rounding: whether they may is not decided here."""
    ours, twins = windows(1000), windows(-1000)
    assert find_ties({"pool": nn.MaxPool2d(2)}, {"pool": ours}, {"pool": twins}) == Ties(windows=0, other_winner=1)


@pytest.mark.parametrize(
    "keywords",
    [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 1), "dilation": (1, 2), "ceil_mode": True},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    ],
    ids=["disjoint", "overlapping", "dilated", "ceil"],
)
def test_every_window_of_a_constant_image_is_a_tie(keywords):
    """Wherever the windows lie, and however far they reach over the edge."""
    pool, constant = nn.MaxPool2d(**keywords), torch.ones(2, 3, 9, 8, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    other = constant + UNIT * torch.randint(3, constant.shape, generator=generator)
    count = pool(constant).numel()
    assert find_ties({"pool": pool}, {"pool": other}, {"pool": constant}).windows == count
    random = torch.randn(constant.shape, dtype=torch.float64, generator=generator)
    assert find_ties({"pool": pool}, {"pool": -random}, {"pool": random}).windows == 0


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.LeakyReLU(0.1)], ids=["relu", "leaky_relu"])
def test_zeros_that_rounding_decides(layer):
    twins = torch.tensor([1.0, UNIT, -UNIT, 0.0, 1e-9, -1.0], dtype=torch.float64)
    ours = torch.tensor([1.0, 0.0, -UNIT, UNIT, 1e-9, -1.0], dtype=torch.float64)
    assert find_ties({"relu": layer}, {"relu": ours}, {"relu": twins}) == Ties(zeros=2, other_side=2)
    assert find_ties({"relu": layer}, {"relu": ours}, {"relu": ours}) == Ties()


@pytest.mark.parametrize(
    ("ties", "sentence"),
    [
        (Ties(882, 31), "882 ties of max pooling, broken differently in 31 windows: both are right"),
        (Ties(1, 1), "1 tie of max pooling, broken differently in 1 window: both are right"),
        (Ties(0, 0, 5, 1), "5 zeros of relu, on another side in 1 place: both are right"),
        (
            Ties(2000, 2, 5, 2),
            "2,000 ties of max pooling, broken differently in 2 windows; 5 zeros of relu, on another side in 2 places: "
            "both are right",
        ),
    ],
    ids=["windows", "one window", "zeros", "both"],
)
def test_sentence(ties, sentence):
    assert str(ties) == sentence


def test_an_empty_step_has_none():
    assert not Ties().differ
    assert math.prod(Ties().plus(Ties(1, 2, 3, 4))) == 24
