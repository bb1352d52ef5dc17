"""Which images train, which choose, which test; and the statistics that normalisation needs.

Legend: N images, C channels.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.errors import InputError
from tinytorch_course.seeds import derive_seed


class Split(NamedTuple):
    """Images with their labels."""

    images: Tensor  # (N, C, H, W), uint8, H = W; in the sets of characters 0 is the background
    labels: Tensor  # (N,), int64: positions in Dataset.classes


class About(NamedTuple):
    """What is known of a dataset before it is read."""

    title: str
    classes: tuple[str, ...]
    default_epochs: int  # that a convolutional network needs
    val_size: int  # unless another is asked for
    shape: tuple[int, int, int] = (1, 28, 28)  # of one image: C, H, W
    train_size: int = 60_000  # images that are not for testing
    test_size: int = 10_000
    flips: bool = False  # whether an image and its mirror image (left and right exchanged) belong to the same class
    made_of: str = ""  # in a sentence, where the images come from


class Dataset(NamedTuple):
    """Everything a run needs to know about its data."""

    name: str  # as --data takes it; never "auto"
    title: str
    classes: tuple[str, ...]
    train: Split  # what the gradients see
    val: Split  # what chooses the epoch
    test: Split  # what is looked at once
    mean: tuple[float, ...]  # one per channel, of train.images / 255
    std: tuple[float, ...]
    location: str  # the folder of its files, or where else it comes from
    default_epochs: int
    flips: bool = False  # whether an image and its mirror image (left and right exchanged) belong to the same class


def split_training(pool: Split, test: Split, val_size: int, limit: int | None) -> tuple[Split, Split, Split]:
    """Cut the validation split off the end of the training file, in file order: no random numbers, so it is fixed.

    Args:
        pool: all images that are not for testing.
        test: kept as it is, unless there is a limit.
        val_size: images of ``pool``'s end that become the validation split.
        limit: take only the first ``limit`` of the training images, and at most ``limit`` of the other two splits, for
            a quick trial. None: all.

    Returns:
        train, val, test.

    Raises:
        InputError: naming --val-size or --limit, if it leaves nothing to train on or asks for more than there is.
    """
    count = len(pool.images)
    if not 1 <= val_size < count:
        raise InputError(
            f"--val-size must be from 1 to {count - 1:,} (it is taken from the {count:,} images that are not for "
            f"testing, and some must be left to train on), but it is {val_size:,}"
        )
    train, val = _cut(pool, 0, count - val_size), _cut(pool, count - val_size, count)
    if limit is None:
        return train, val, test
    if not 1 <= limit <= len(train.images):
        raise InputError(
            f"--limit must be from 1 to {len(train.images):,}, the number of training images, but it is {limit:,}"
        )
    return _cut(train, 0, limit), _cut(val, 0, limit), _cut(test, 0, limit)


def check_labels(classes: int, location: str, *splits: Split) -> None:
    """Once, when data are loaded: on a GPU nobody looks at labels again.

    Raises:
        InputError: if a label is not from 0 to ``classes − 1``.
    """
    for labels in (split.labels for split in splits if len(split.labels)):
        low, high = (int(bound) for bound in labels.aminmax())
        if low < 0 or high >= classes:
            raise InputError(
                f"{location} has the label {low if low < 0 else high}, but with {classes} classes labels are from 0 to "
                f"{classes - 1}"
            )


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (over all pixels, not the sample's) of ``images / 255``, for each channel.

    Counted, not summed: how often each of the 256 values occurs is exact, and a float64 sum of 256 terms nearly so.
    A channel of one value only gets the deviation 1, so that dividing by it stays possible.

    Args:
        images: (N, C, ...), uint8.

    Returns:
        mean (C values), std (C values).
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in images.unbind(dim=1):
        counts = torch.bincount(channel.flatten(), minlength=256).double()
        share = counts / counts.sum()
        mean.append((share * values).sum().item())
        std.append(math.sqrt((share * (values - mean[-1]) ** 2).sum().item()) or 1.0)
    return tuple(mean), tuple(std)


def _cut(split: Split, start: int, stop: int) -> Split:
    return Split(split.images[start:stop], split.labels[start:stop])


def mixed_order(labels: list[int], salt: str) -> list[int]:
    """A shuffled order of the positions in which every stretch has its share of every label.

    Shuffled by a SHA-256 of ``salt`` and each position, so no version of a random generator can change it.
    """
    place = {}  # of a position: how far down the (shuffled) list of its label it stands, from 0 to 1
    positions_of: dict[int, list[int]] = {}
    for position, label in enumerate(labels):
        positions_of.setdefault(label, []).append(position)
    for positions in positions_of.values():
        positions.sort(key=lambda i: derive_seed(salt, i))
        place.update({i: (rank + 0.5) / len(positions) for rank, i in enumerate(positions)})
    return sorted(place, key=lambda i: (place[i], labels[i]))
