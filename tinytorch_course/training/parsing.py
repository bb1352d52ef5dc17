"""Flags that hold a list: how ``--augment shift,rotate=15`` and its kind are read. Importable without torch."""

import math
import re
from typing import NamedTuple

from tinytorch_course.errors import InputError, did_you_mean


class Amount(NamedTuple):
    """How far one augmentation goes."""

    usual: float  # what it is unless one is given
    below: float  # and what it may not reach
    meaning: str


AUGMENTATIONS = {
    "shift": Amount(2.0, 100, "pixels, up to"),
    "rotate": Amount(10.0, 360, "degrees, up to"),
    "scale": Amount(0.1, 1, "larger or smaller by this share, up to"),
    "shear": Amount(10.0, 90, "degrees, up to"),
    "elastic": Amount(1.5, 100, "pixels, about, that places are drawn aside, neighbours alike"),
    "flip": Amount(0.5, 1, "how likely left and right change places"),
    "erase": Amount(0.25, 1, "how likely a rectangle is painted over"),
}


def parse_augment(text: str) -> dict[str, float]:
    """``"shift,rotate=15"`` as ``{"shift": 2.0, "rotate": 15.0}``.

    Raises:
        InputError: for an unknown name, one that comes twice, or an amount that is none.
    """
    amounts: dict[str, float] = {}
    for entry in _entries("--augment", text):
        name, equals, given = (part.strip() for part in entry.partition("="))
        if name not in AUGMENTATIONS:
            raise InputError(
                f"--augment takes {', '.join(AUGMENTATIONS)}, but it is {text!r}{did_you_mean(name, AUGMENTATIONS)}"
            )
        if name in amounts:
            raise InputError(f"--augment names {name} twice: {text!r}")
        kind = AUGMENTATIONS[name]
        amount = _number(given) if equals else kind.usual
        if amount is None or not 0 < amount < kind.below:
            raise InputError(f"--augment {name} must be above 0 and below {kind.below:g}, but it is {given!r}")
        amounts[name] = amount
    return amounts


def parse_class_weights(text: str) -> str | tuple[float, ...]:
    """``"balanced"`` as it is, ``"1,2.5"`` as ``(1.0, 2.5)``.

    Raises:
        InputError: for anything else. (A batch of nothing but images that count 0 would have a loss of 0 / 0.)
    """
    if text == "balanced":
        return text
    entries = _entries("--class-weights", text)
    weights = [weight for entry in entries if (weight := _number(entry)) is not None and weight > 0]
    if len(weights) < len(entries):
        raise InputError(
            "--class-weights must be balanced or one number above 0 for each class, separated by commas, but it is "
            f"{text!r}{did_you_mean(text, ['balanced'])}"
        )
    return tuple(weights)


def parse_freeze(text: str) -> list[str]:
    """``"conv*,norm1"`` as its patterns."""
    return _entries("--freeze", text)


def parse_seeds(text: str, first: int) -> tuple[int, ...]:
    """``"0,1,7"`` as these seeds, ``"5"`` as five of them, from ``first`` on.

    Raises:
        InputError: for anything else, fewer than two or more than a thousand seeds, or one that comes twice.
    """
    wanted = "a number of runs, such as 5, or at least two seeds separated by commas, such as 0,1,2"
    entries = _entries("--seeds", text)
    if not all(re.fullmatch("[0-9]{1,18}", entry) for entry in entries):
        raise InputError(f"--seeds must be {wanted}, but it is {text!r}")
    numbers = tuple(int(entry) for entry in entries)
    seeds = numbers if len(numbers) > 1 else tuple(range(first, first + min(numbers[0], 1001)))
    if not 2 <= len(seeds) <= 1000:
        raise InputError(f"--seeds must be {wanted}, and not more than 1,000 of them, but it is {text!r}")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds names a seed twice: {text!r}")
    return seeds


def _entries(flag: str, text: object) -> list[str]:
    """The entries of a list with commas."""
    entries = [entry.strip() for entry in text.split(",")] if isinstance(text, str) else [""]
    if not all(entries):
        raise InputError(f"{flag} must be a comma-separated list without gaps, but it is {text!r}")
    return entries


def _number(text: str) -> float | None:
    """The number a text spells; None if it spells none that is finite."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
