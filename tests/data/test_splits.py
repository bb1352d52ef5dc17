import pytest
import torch

from tinytorch_course.data.splits import Split, channel_statistics, check_labels, split_training
from tinytorch_course.errors import InputError


def numbered(count):
    """Images that are told apart by their number."""
    numbers = torch.arange(count)
    return Split(numbers.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 28, 28), numbers)


@pytest.mark.parametrize(
    ("val_size", "limit", "train", "val", "test"),
    [
        (20, None, range(80), range(80, 100), range(40)),
        (1, None, range(99), range(99, 100), range(40)),
        (99, None, range(1), range(1, 100), range(40)),
        (20, 5, range(5), range(80, 85), range(5)),
        (20, 30, range(30), range(80, 100), range(30)),
        (20, 80, range(80), range(80, 100), range(40)),
    ],
)
def test_validation_is_the_end_and_the_limit_takes_the_first(val_size, limit, train, val, test):
    splits = split_training(numbered(100), numbered(40), val_size, limit)
    for split, expected in zip(splits, (train, val, test), strict=True):
        assert split.labels.tolist() == list(expected)
        assert split.images[:, 0, 0, 0].tolist() == list(expected)


@pytest.mark.parametrize("val_size", [-1, 0, 100, 5000])
def test_a_bad_val_size_is_named(val_size):
    with pytest.raises(InputError, match=f"--val-size must be from 1 to 99 .* but it is {val_size:,}"):
        split_training(numbered(100), numbered(40), val_size, None)


@pytest.mark.parametrize(("label", "shown"), [(-1, "-1"), (3, "3"), (255, "255")])
def test_a_label_that_is_no_class_is_refused(label, shown):
    right, wrong = (Split(torch.zeros(3, 1, 2, 2), torch.tensor([0, 2, last])) for last in (1, label))
    check_labels(3, "here", right, right)
    with pytest.raises(InputError, match=f"here has the label {shown}, but with 3 classes labels are from 0 to 2"):
        check_labels(3, "here", right, wrong)


@pytest.mark.parametrize("limit", [-1, 0, 81])
def test_a_bad_limit_is_named(limit):
    with pytest.raises(InputError, match=f"--limit must be from 1 to 80, .* but it is {limit}"):
        split_training(numbered(100), numbered(40), 20, limit)


def test_statistics_are_those_of_each_channel():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (50, 3, 28, 28), dtype=torch.uint8, generator=generator)
    images[:, 1] //= 3
    images[:, 2] = 7
    mean, std = channel_statistics(images)
    scaled = images.double() / 255
    assert mean == pytest.approx(scaled.mean(dim=(0, 2, 3)).tolist(), rel=1e-12)
    assert std[:2] == pytest.approx(scaled.std(dim=(0, 2, 3), correction=0)[:2].tolist(), rel=1e-12)
    assert std[2] == 1.0  # a channel of one value can still be divided by
    assert all(type(value) is float for value in mean + std)
