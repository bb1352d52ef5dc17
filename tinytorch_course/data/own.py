"""Your own data sets: what folders of images and .npz files have in common.

Legend: N images, C channels, H, W.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.data.splits import Split, mixed_order
from tinytorch_course.data_names import CHOICES, Place
from tinytorch_course.errors import InputError
from tinytorch_course.files import printable

TEST_SHARE, VAL_SHARE = 8 / 55, 7 / 55  # of all images, or of the groups: about 15 % and 13 %


class Found(NamedTuple):
    """What a file or folder holds."""

    parts: dict[str, Split]  # "train", and where they are set apart "val" and "test"
    classes: tuple[str, ...]
    named: bool  # whether the classes have names, or only numbers
    groups: Tensor | None = None  # (N,) of parts["train"]: who wrote it, or which page it is from


class Arranged(NamedTuple):
    """Images of one's own, arranged as a data set."""

    classes: tuple[str, ...]
    pool: Split  # all images that are not for testing, those for validation at the end
    test: Split
    val_size: int
    flips: bool


def arrange(found: Found, place: Place) -> Arranged:
    """Keep the classes that are wanted, and set images apart for validation and test, always the same ones.

    What is set apart already stays so; where only one of the two is, it is the test. The rest is split by group where
    groups are known, so that nobody's writing is both trained on and tested; otherwise each class gives its share.

    Raises:
        InputError: if there are too few classes, images or groups.
    """
    found = _choose(found._replace(classes=tuple(map(printable, found.classes))), place)
    parts, groups = dict(found.parts), found.groups
    _check(parts, found, place)
    if "val" in parts and "test" not in parts:
        parts["test"] = parts.pop("val")
    pool, val = parts["train"], parts.get("val")
    if groups is not None:
        blocks = _blocks_of_groups(groups, "test" not in parts, "val" not in parts, place)
    else:
        order = torch.tensor(mixed_order(pool.labels.tolist(), "own images"))
        ranges = _blocks(len(pool.labels), "images", "test" not in parts, "val" not in parts, place)
        blocks = {name: order[block] for name, block in ranges.items()}
    cut = {name: _mixed(Split(pool.images[block], pool.labels[block])) for name, block in blocks.items()}
    train, val, test = cut["train"], val or cut["val"], parts.get("test") or cut["test"]
    pool = Split(torch.cat([train.images, val.images]), torch.cat([train.labels, val.labels]))
    characters = all(len(name) == 1 for name in found.classes)
    grey = pool.images.shape[1] == 1
    return Arranged(found.classes, pool, test, len(val.labels), not characters or not (found.named or grey))


def _choose(found: Found, place: Place) -> Found:
    """The classes that the words after the path's colon ask for."""
    if place.choice is None:
        return found
    wanted = {
        "letters": lambda name: name.upper() if name.isalpha() else None,
        "digits": lambda name: name if name.isdecimal() else None,
        "upper": lambda name: name if name.isupper() else None,
        "lower": lambda name: name if name.islower() else None,
        "merged": lambda name: name.upper() if name.isalnum() else None,
    }[place.choice]
    new = [wanted(name) if len(name) == 1 else None for name in found.classes]
    classes = tuple(sorted({name for name in new if name is not None}))
    if len(classes) < 2:
        raise InputError(
            f"--data is '{place}', which asks for {CHOICES[place.choice]}, but the classes of {place.path} are "
            f"{_some(found.classes)}"
        )
    position = torch.tensor([-1 if name is None else classes.index(name) for name in new])
    parts, groups = {}, found.groups
    for name, part in found.parts.items():
        labels = position[part.labels]
        kept = labels >= 0
        parts[name] = Split(part.images[kept], labels[kept])
        if name == "train" and groups is not None:
            groups = groups[kept]
    return found._replace(parts=parts, classes=classes, groups=groups)


def _check(parts: dict[str, Split], found: Found, place: Place) -> None:
    if len(found.classes) < 2:
        raise InputError(f"{place.path} has only one class ({_some(found.classes)}), but at least two are needed")
    there = set(parts["train"].labels.tolist())
    for label, name in enumerate(found.classes):
        if label not in there:
            raise InputError(f"{place.path} has no training images of class '{name}'")


def _blocks(count: int, what: str, test: bool, val: bool, place: Place) -> dict[str, slice]:
    """Which stretches of so many mixed images, or groups, train, choose and test."""
    tests = max(1, round(count * TEST_SHARE)) if test else 0
    vals = max(1, round(count * VAL_SHARE)) if val else 0
    if count - tests - vals < 1:
        raise InputError(f"{place.path} holds too few {what} ({count}) to train on some and test on others")
    trains = count - tests - vals
    return {"train": slice(trains), "val": slice(trains, trains + vals), "test": slice(trains + vals, count)}


def _blocks_of_groups(groups: Tensor, test: bool, val: bool, place: Place) -> dict[str, Tensor]:
    """The same for whole groups, in their order: of 55 writers, 40 train, 7 choose and 8 test."""
    ids = groups.unique()
    names = _blocks(len(ids), "groups", test, val, place)
    return {name: torch.isin(groups, ids[block]).nonzero()[:, 0] for name, block in names.items()}


def _mixed(part: Split) -> Split:
    """In an order in which every stretch has all classes, so that --limit takes some of each."""
    order = torch.tensor(mixed_order(part.labels.tolist(), "own images, in a split"), dtype=torch.int64)
    return Split(part.images[order], part.labels[order])


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
