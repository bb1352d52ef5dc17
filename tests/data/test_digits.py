import hashlib

import torch
from sklearn.datasets import load_digits

from tinytorch_course import data
from tinytorch_course.data.digits import to_mnist_form
from tinytorch_course.data.splits import mixed_order


def pairs(images, labels):
    return sorted((image.numpy().tobytes(), label) for image, label in zip(images, labels.tolist(), strict=True))


def test_every_digit_is_in_one_split():
    dataset = data.load("digits")
    assert [len(split.images) for split in dataset[3:6]] == [1297, 200, 300]
    images = torch.cat([split.images for split in dataset[3:6]])
    assert (images.shape, images.dtype) == ((1797, 1, 28, 28), torch.uint8)
    labels = torch.cat([split.labels for split in dataset[3:6]])
    assert labels.dtype == torch.int64

    theirs = load_digits()
    expected = to_mnist_form(torch.from_numpy(theirs.images)), torch.from_numpy(theirs.target)
    assert pairs(images, labels) == pairs(*expected)


def test_the_split_never_changes():
    order = mixed_order(load_digits().target.tolist(), "embedded digits")
    assert sorted(order) == list(range(1797))
    assert hashlib.sha256(str(order).encode()).hexdigest().startswith("fdb1c9aa2286")


def test_every_split_has_its_share_of_every_class():
    dataset = data.load("digits")
    assert dataset.classes == tuple("0123456789")
    for split in dataset[3:6]:
        counts = split.labels.bincount(minlength=10)
        assert counts.min() >= 0.09 * len(split.labels)
        assert counts.max() <= 0.11 * len(split.labels)


def test_the_form_is_mnists():
    images = torch.zeros(2, 8, 8)
    images[0] = 16  # full
    images[1, 2, 3] = 16  # one pixel
    full, pixel = to_mnist_form(images)
    assert full.shape == (1, 28, 28)
    assert full.sum() == 20 * 20 * 255  # nothing overflowed
    assert (full[:, 4:24, 4:24] == 255).all()  # centred, with a border of 4 pixels
    row, column = divmod(int(pixel.argmax()), 28)
    assert abs(row + 0.5 - (4 + 2.5 * 2.5)) <= 0.5  # where the pixel was: row 2's middle, enlarged 20/8 times
    assert abs(column + 0.5 - (4 + 3.5 * 2.5)) <= 0.5
    assert pixel.max() > 200
