"""Two cards, figure by figure. Importable without torch."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

SHARE = 2e-4  # accuracies, F1: two images of 10,000, which another machine's rounding may turn
LOSS = 1e-4  # losses, relative: float32 sums in another order
NEVER = ("evaluated", "folder")  # when, where and on which machine


class Difference(NamedTuple):
    """A figure that is not the same."""

    figure: str  # runs[0].test.accuracy
    says: Any  # the card
    gives: Any  # the evaluation


def differences(card: Any, found: Any, name: str = "") -> Iterator[Difference]:
    """Every figure in which ``found`` is not what ``card`` says; one that only either has is None in the other."""
    if isinstance(card, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*card, *found]):
            if key not in NEVER:
                yield from differences(card.get(key), found.get(key), f"{name}.{key}" if name else key)
    elif isinstance(card, list) and isinstance(found, list) and len(card) == len(found):
        for number, (ours, theirs) in enumerate(zip(card, found, strict=True)):
            yield from differences(ours, theirs, f"{name}[{number}]")
    elif not _agree(card, found, name):
        yield Difference(name, card, found)


def count_figures(card: Any) -> int:
    """How many figures :func:`differences` looks at."""
    if isinstance(card, dict):
        return sum(count_figures(value) for key, value in card.items() if key not in NEVER)
    return sum(map(count_figures, card)) if isinstance(card, list) else 1


def _agree(ours: Any, theirs: Any, name: str) -> bool:
    if theirs is None and ".trained_with." in name:
        return True  # last.pt, which knew it, need not be kept
    if ours is None and name.startswith("settings."):
        return True  # a setting that came after the card
    numbers = all(isinstance(value, (int, float)) for value in (ours, theirs))
    if not numbers or not any(isinstance(value, float) for value in (ours, theirs)):
        return ours == theirs
    try:
        return math.isclose(ours, theirs, rel_tol=LOSS, abs_tol=1e-6 if "loss" in name else SHARE)
    except OverflowError:  # an integer of hundreds of digits
        return False
