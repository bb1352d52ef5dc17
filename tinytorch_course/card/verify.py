"""A card checked: made again from its runs, and compared figure by figure."""

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinytorch_course.card.compare import Difference, differences
from tinytorch_course.card.make import FORMAT, make_card
from tinytorch_course.errors import InputError
from tinytorch_course.files import read_json


def read_card(file: Path) -> dict[str, Any]:
    """The card in ``file``.

    Raises:
        InputError: if there is none.
    """
    if not file.exists():
        raise InputError(f"there is no card {file}")
    if file.is_dir():
        raise InputError(f"{file} is a folder: name the card in it, such as {file / 'card.json'}")
    try:
        card = read_json(file)
    except ValueError:
        raise InputError(
            f"{file} is not a card: it is not JSON (the .md file beside a card is only for reading)"
        ) from None
    if not isinstance(card, dict) or "tinytorch_card" not in card:
        raise InputError(f"{file} is not a card made by `tinytorch card`")
    if card["tinytorch_card"] != FORMAT:
        found = reprlib.repr(card["tinytorch_card"])
        raise InputError(f"{file} is a card of format {found}, and this version of tinytorch knows format {FORMAT}")
    return card


def runs_of(card: dict[str, Any], file: Path) -> list[str]:
    """The run folders that the card is about, as seen from here.

    Raises:
        InputError: if one is not there, or the card names none.
    """
    try:
        folders = [file.parent / entry["folder"] for entry in card["runs"]]
    except (KeyError, TypeError, ValueError):
        folders = []
    if not folders:
        raise InputError(f"{file} is malformed: it does not name its runs")
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"{file} is about the run {folder}, which is not there: name the run folders after the card"
            )
    return [str(folder) for folder in folders]


def verify(file: Path, folders: Sequence[str] = (), **options: Any) -> tuple[dict[str, Any], list[Difference]]:
    """The card in ``file``, and in which figures an evaluation of its runs differs from it.

    ``options`` are those of ``make_card``.

    Raises:
        InputError: if card, runs or data cannot be had.
        Contradiction: if a run's notes do not fit its weights.
    """
    card = read_card(file)
    found = make_card(folders or runs_of(card, file), file.parent, **options)
    return card, list(differences(card, found))
