import json
import subprocess
import sys

import pytest

from tinytorch_course import lessons
from tinytorch_course.cli.app import run

SCRIPT = '''"""{number}. A title

What you learn: one thing
and another.

Run: tinytorch lesson {number} (or python examples/{number}_a_title.py)
Time: about 7 s on 2 CPU cores

Expected output (excerpt):
    one is ...
"""

# %% The first cell
# What it claims, in
# two lines.
import os
from pathlib import Path

out = Path(os.environ["TINYTORCH_OUT"])
(out / "{number}_picture.png").write_bytes(b"")
assert os.environ["MPLBACKEND"] == "Agg"

# %% Exercises
# 1. None.
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two lessons, 01 and 02, of which 02 fails."""
    folder = tmp_path / "examples"
    folder.mkdir()
    (folder / "01_a_title.py").write_text(SCRIPT.format(number="01"), encoding="utf-8")
    (folder / "02_a_title.py").write_text(SCRIPT.format(number="02") + "assert False\n", encoding="utf-8")
    monkeypatch.setattr(lessons, "find_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_list(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["lesson"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["01", "A", "title", "about", "7", "s"]
    assert lines[1] == "    one thing and another."
    assert max(len(line) for line in lines) <= 80


def test_json(folder, capsys):
    assert run(["lesson", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first == {"number": "01", "title": "A title", "learn": "one thing and another.", "seconds": 7}
    assert second["number"] == "02"


@pytest.mark.parametrize("number", ["1", "01"])
def test_run(folder, tmp_path, capfd, number):
    assert run(["lesson", number, "--out", "some/where"]) == 0
    assert (tmp_path / "some/where/01_picture.png").exists()
    assert "01_picture.png" in capfd.readouterr().err


def test_pictures_by_default(folder, tmp_path):
    assert run(["lesson", "1"]) == 0
    assert (tmp_path / "pictures/01_picture.png").exists()


def test_a_failing_script_ends_with_1(folder, capfd):
    assert run(["lesson", "02"]) == 1
    assert "AssertionError" in capfd.readouterr().err


def test_notebook(folder, tmp_path, capsys):
    assert run(["lesson", "01", "--notebook", "one.ipynb"]) == 0
    notebook = json.loads((tmp_path / "one.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    header, text, code, exercises = notebook["cells"]
    assert "".join(header["source"]).startswith("# 01. A title\n")
    assert "".join(text["source"]) == "## The first cell\n\nWhat it claims, in\ntwo lines."
    assert "".join(code["source"]).startswith("import os\n")
    assert code["outputs"] == []
    assert "".join(exercises["source"]) == "## Exercises\n\n1. None."
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert kinds == ["markdown", "markdown", "code", "markdown"]
    assert len({cell["id"] for cell in notebook["cells"]}) == 4
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize(
    ("body", "comment", "code"),
    [
        ("# One.\n#   - two\n\nx = 1  # three\n# four\n", "One.\n  - two", "x = 1  # three\n# four"),
        ("# Only a comment.", "Only a comment.", ""),
        ("x = 1", "", "x = 1"),
    ],
    ids=["both", "comment", "code"],
)
def test_a_cells_first_comment_becomes_text(body, comment, code):
    assert lessons._split_leading_comment(body) == (comment, code)


def test_notebooks_of_all_lessons_are_valid():
    """Their code, put together, is the script's; nbformat agrees where it is installed."""
    for lesson in lessons.find_lessons():
        cells = lessons.to_notebook(lesson)["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        compile(code, lesson.path.name, "exec")
        assert code.count("assert ") >= 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["9"], "there is no lesson '9'"),
        (["--out", "x"], "need the number"),
        (["1", "--json"], "--json is for the list"),
        (["1", "--notebook", "x.txt"], "ends in .ipynb"),
        (["1", "--notebook", "x.ipynb", "--out", "y"], "leave out one"),
        (["1", "--notebook", "nowhere/x.ipynb"], "does not exist"),
        (["1", "--notebook", "there.ipynb"], "already exists"),
        (["1", "--notebook", "x" * 300 + ".ipynb"], "cannot write"),
        (["1", "--out", "there.ipynb"], "which is a file"),
        (["1", "--out", "there.ipynb/pictures"], "which cannot be made"),
        (["1", "--out", "x" * 300], "which cannot be made"),
        (["1", "--out", ""], "must be the path of a folder"),
        (["--out", ""], "need the number"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(folder, tmp_path, capsys, arguments, words):
    (tmp_path / "there.ipynb").write_text("mine")
    assert run(["lesson", *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "there.ipynb").read_text() == "mine"


def test_a_folder_that_cannot_be_written_to(folder, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)  # for root every folder can
    assert run(["lesson", "1", "--out", "pictures"]) == 2
    assert "where you may not write" in capsys.readouterr().err


@pytest.mark.parametrize("spoiled", ["What you learn:", "Run: tinytorch lesson 01", "Time: about 7 s", "    one is"])
def test_a_header_of_another_form_is_named(folder, spoiled):
    path = folder / "01_a_title.py"
    path.write_text(path.read_text(encoding="utf-8").replace(spoiled, "Something else"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"01_a_title\.py: its header lacks"):
        lessons.read_lesson(path)


def test_listing_needs_no_torch():
    code = "import sys; from tinytorch_course.cli.app import run; run(['lesson']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)
