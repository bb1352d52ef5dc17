"""Every script of examples/ is run whole: its own assertions hold, and it prints what its header says."""

import ast
import os
import re
import subprocess
import sys

import pytest

from tinytorch_course.lessons import CELL, find_lessons

LESSONS = find_lessons()


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_script(lesson, tmp_path, request):
    seed = request.config.getoption("--rounding")
    machine = [] if seed is None else ["-m", "tinytorch_course.instruments.rounding", f"--seed={seed}"]
    environment = {**os.environ, "MPLBACKEND": "Agg", "TINYTORCH_OUT": str(tmp_path / "pictures")}
    environment["PYTHONIOENCODING"] = "ascii"  # what is printed must suit every console
    done = subprocess.run(
        [sys.executable, *machine, str(lesson.path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=900,  # a lesson takes seconds, but not on a machine that is busy with something else
    )
    assert done.returncode == 0, done.stderr
    assert missing_lines(lesson.expected, done.stdout) == [], done.stdout
    pictures = list((tmp_path / "pictures").glob("*")) if "savefig" in lesson.path.read_text(encoding="utf-8") else []
    assert all(picture.name.startswith(lesson.number) for picture in pictures)
    assert bool(pictures) == ("savefig" in lesson.path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_form(lesson):
    source = lesson.path.read_text(encoding="utf-8")
    titles = [title.strip() for title in CELL.findall(source)]
    assert titles[-2:] == ["What torch does here", "Exercises"]
    assert "assert " in source
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not imported & {"argparse", "typer", "urllib.request"}
    assert not re.search(r"download=True|matplotlib\.use|plt\.show", source)


def test_numbers_are_unique():
    numbers = [lesson.number for lesson in LESSONS]
    assert numbers == sorted(set(numbers))


def missing_lines(expected, output):
    """The expected lines that ``output`` does not have in this order; "..." stands for anything within a line."""
    missing, lines = [], iter([line.strip() for line in output.splitlines()])
    for wanted in expected:
        pattern = ".*".join(re.escape(part) for part in wanted.split("..."))
        if not any(re.fullmatch(pattern, line) for line in lines):
            missing.append(wanted)
            lines = iter(())  # those after it were searched behind it
    return missing


@pytest.mark.parametrize(
    ("output", "missing"),
    [("a 1 b\nnoise\nc\n", []), ("c\na 1 b\n", ["c"]), ("a 1 x\nc\n", ["a ... b", "c"])],
    ids=["in order", "out of order", "another line"],
)
def test_missing_lines(output, missing):
    assert missing_lines(("a ... b", "c"), output) == missing
