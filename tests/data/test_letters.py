import pytest
import torch

from tinytorch_course import data
from tinytorch_course.data import letters


@pytest.mark.slow
def test_the_set_is_balanced_small_and_the_same_each_time():
    dataset = data.load("letters")
    assert (dataset.name, dataset.location, dataset.flips) == ("letters", letters.LOCATION, False)
    assert dataset.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert [len(split.labels) for split in dataset[3:6]] == list(letters.SIZES.values()) == [7072, 1040, 2080]
    for split, count in zip(dataset[3:6], (272, 40, 80), strict=True):
        assert torch.bincount(split.labels).tolist() == [count] * 26
        assert torch.bincount(split.labels[: len(split.labels) // 4]).min() > 0  # so --limit has all classes
    canvases = letters._canvases(letters.ALPHABETS["test"][0])
    first, again = (letters._vary(canvases, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)


def test_the_form_is_mnists():
    images = letters._draw("val").images[:, 0].double()
    edge = images.clone()
    edge[:, 1:-1, 1:-1] = 0
    assert (edge.amax((1, 2)) > 64).double().mean() < 0.01  # black, but where the centre of mass is far up or down
    assert images.amax((1, 2)).min() > 120
    rows = torch.arange(28.0, dtype=torch.float64) - 13.5
    for axis in (1, 2):
        weights = images.sum(3 - axis)
        centre = (weights * rows).sum(1) / weights.sum(1)
        assert centre.abs().max() < 0.6  # of the middle; moved by up to half a pixel
    inked = images > 128
    tall, wide = (inked.any(axis).sum(1) for axis in (2, 1))
    assert torch.maximum(tall, wide).double().mean() > 16
    assert torch.maximum(tall, wide).max() <= 21


def test_no_alphabet_is_in_two_splits_and_no_family_in_training_and_test():
    alphabets = [set(part) for part in letters.ALPHABETS.values()]
    assert sum(map(len, alphabets)) == len(set.union(*alphabets)) == 26
    train, _, test = ({alphabet.file[:4] for alphabet in part} for part in letters.ALPHABETS.values())
    assert not train & test


def test_upper_and_lower_case_are_one_class():
    canvases = letters._canvases(letters.ALPHABETS["train"][0])
    assert canvases.shape == (52, 1, letters.CANVAS, letters.CANVAS)
    small, large = canvases[26 + 14, 0], canvases[14, 0]  # o and O
    assert (small - large).abs().mean() < 0.1
    assert (canvases[0, 0] - canvases[26, 0]).abs().mean() > 0.1  # A and a
