"""Fifty pieces of right code as ten kinds of people write it: each is taken, and its planted wrong sign is found."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tinytorch_course.errors import InputError

FOLDER = Path(__file__).parent / "learners"


class Piece(NamedTuple):
    """Part of a learner's file: # CASE OP-OR-SHAPES NAMES | right => wrong."""

    file: str
    like: str
    names: str
    right: str
    wrong: str


PIECES = [
    Piece(path.stem, *found)
    for path in sorted(FOLDER.glob("*.py"))
    for found in re.findall(r"^# CASE (\S+) (\S+) \| (.+?) => (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: f"{piece.file}-{piece.names}")
def test_it_is_taken_and_its_wrong_sign_found(piece, checked):
    text = (FOLDER / f"{piece.file}.py").read_text(encoding="utf-8")
    source = re.sub(r"^# CASE .*$", "", text, flags=re.MULTILINE)
    asked = {"shapes": piece.like} if piece.like[0].isdigit() else {"like": piece.like}
    row = checked(source, piece.names, **asked)
    assert row.ok, (row.diagnosis, row.notes)
    assert row.cases
    head, _, tail = text.partition(f"# CASE {piece.like} {piece.names} |")
    _, _, block = tail.partition("\n")
    assert piece.right in block
    wrong = re.sub(r"^# CASE .*$", "", head + block.replace(piece.right, piece.wrong, 1), flags=re.MULTILINE)
    try:
        row = checked(wrong, piece.names, **asked)
    except InputError as refusal:
        pytest.fail(f"refused: {refusal}")
    assert not row.ok, row.notes
