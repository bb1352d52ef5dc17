"""Fifty pieces of right code as ten kinds of people write it: each is taken, and its planted wrong sign is found."""

import contextlib
import io
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.grading.child import _Checked
from tinytorch_course.grading.own_code import Request, parse_shapes

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


def judged(source: str, piece: Piece, folder: Path):
    """The row, or why there is none."""
    file = folder / f"{piece.file}_{piece.names.split(',')[0]}.py"
    file.write_text(source, encoding="utf-8")
    like, shapes = (None, parse_shapes(piece.like)) if piece.like[0].isdigit() else (piece.like, None)
    with contextlib.redirect_stdout(io.StringIO()):
        return _Checked(Request(str(file), piece.names.split(","), like, shapes), folder).row()


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: f"{piece.file}-{piece.names}")
def test_it_is_taken_and_its_wrong_sign_found(piece, tmp_path):
    text = (FOLDER / f"{piece.file}.py").read_text(encoding="utf-8")
    source = re.sub(r"^# CASE .*$", "", text, flags=re.MULTILINE)
    row = judged(source, piece, tmp_path)
    assert row.ok, (row.diagnosis, row.notes)
    assert row.cases
    head, _, tail = text.partition(f"# CASE {piece.like} {piece.names} |")
    _, _, block = tail.partition("\n")
    assert piece.right in block
    wrong = re.sub(r"^# CASE .*$", "", head + block.replace(piece.right, piece.wrong, 1), flags=re.MULTILINE)
    try:
        row = judged(wrong, piece, tmp_path)
    except InputError as refusal:
        pytest.fail(f"refused: {refusal}")
    assert not row.ok, row.notes
