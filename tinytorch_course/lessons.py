"""The example scripts as lessons: what their headers say, how one is run, and a notebook made from its cells.

A script opens with a docstring in the form that examples/README.md describes, and consists of cells that begin with a
line ``# %%``. Nothing else is known about it: the scripts themselves are the only source, for the notebooks too.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tinytorch_course.errors import InputError

NAME = re.compile(r"(\d\d)_\w+\.py")
HEADER = {  # part -> how it stands in a script's docstring
    "NN. Title": r"\A(\d\d)\. (\S.*)",
    "What you learn": r"^What you learn: ((?s:.+?))(?:\n\n|\Z)",
    "Run": r"^Run: tinytorch lesson (\d\d) \(or python examples/(\S+)\)$",
    "Time": r"^Time: about (\d+) s on 2 CPU cores$",
    "Expected output": r"^Expected output \(excerpt\):\n((?: {4}.*\n?)+)",
}
CELL = re.compile(r"^# %%(?!%)(.*)$", re.MULTILINE)


class Lesson(NamedTuple):
    """One example script."""

    number: str  # two digits
    title: str
    learn: str  # what you learn, in one paragraph
    seconds: int  # on 2 CPU cores
    expected: tuple[str, ...]  # lines of its output, in order; "..." stands for anything
    path: Path


def find_folder() -> Path:
    """Where the scripts are: inside the installed package, or beside the package in a clone."""
    package = Path(__file__).resolve().parent
    for folder in (package / "examples", package.parent / "examples"):
        if any(folder.glob("[0-9][0-9]_*.py")):
            return folder
    raise InputError("the example scripts are missing from this installation; install tinytorch-course again")


def find_lessons(folder: Path | None = None) -> list[Lesson]:
    """Every script of the folder, in the order of their numbers."""
    folder = find_folder() if folder is None else folder
    return [read_lesson(path) for path in sorted(folder.glob("*.py")) if NAME.fullmatch(path.name)]


def find_lesson(number: str) -> Lesson:
    """The lesson that ``number`` means: "7" and "07" are the same."""
    lessons = find_lessons()
    for lesson in lessons:
        if lesson.number == number.zfill(2):
            return lesson
    raise InputError(
        f"there is no lesson '{number}'; they are numbered {lessons[0].number} to {lessons[-1].number}: "
        f"`tinytorch lesson` lists them"
    )


def read_lesson(path: Path) -> Lesson:
    """What a script's header says.

    Raises:
        ValueError: naming the script and what its header lacks.
    """
    header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = {part: match for part, pattern in HEADER.items() if (match := re.search(pattern, header, re.MULTILINE))}
    missing = [part for part in HEADER if part not in found]
    if missing:
        raise ValueError(f"{path.name}: its header lacks {', '.join(missing)} in the form of examples/README.md")
    title, learn, run, time, expected = found.values()
    if not title[1] == run[1] == path.name[:2] or run[2] != path.name:
        raise ValueError(f"{path.name}: its name, its title and its line 'Run:' name different lessons")
    lines = tuple(line.strip() for line in expected[1].splitlines())
    return Lesson(title[1], title[2], " ".join(learn[1].split()), int(time[1]), lines, path)


def run_lesson(lesson: Lesson, out: Path) -> int:
    """Run the whole script in a process of its own, with its pictures in ``out``; its exit code."""
    environment = {**os.environ, "TINYTORCH_OUT": str(out), "MPLBACKEND": "Agg"}
    sys.stdout.flush()
    return subprocess.run([sys.executable, "-u", str(lesson.path)], env=environment, check=False).returncode


def to_notebook(lesson: Lesson) -> dict[str, Any]:
    """The script as a notebook (nbformat 4.5): a cell's title and leading comments become text, the rest code."""
    source = lesson.path.read_text(encoding="utf-8")
    pieces = CELL.split(source)  # the header, then title and body of each cell
    cells = [_cell("markdown", f"# {ast.get_docstring(ast.parse(source))}", 0)]
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        text, code = _split_leading_comment(body.strip("\n"))
        title = title.replace("[markdown]", "").strip()
        text = f"## {title}\n\n{text}".strip() if title else text
        for kind, content in (("markdown", text), ("code", code)):
            if content:
                cells.append(_cell(kind, content, len(cells)))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def write_notebook(lesson: Lesson, file: Path) -> None:
    """Write the lesson as a notebook; a file that is already there is left alone.

    Raises:
        InputError: if there is such a file, or it cannot be written.
    """
    text = json.dumps(to_notebook(lesson), indent=1, ensure_ascii=False) + "\n"
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError(f"'{file}' already exists; choose another file for --notebook, or remove it") from None
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"the folder '{file.parent}' of --notebook does not exist; create it first") from None
    except OSError as error:
        raise InputError(f"cannot write '{file}' of --notebook: {error.strerror or error}") from None


def _split_leading_comment(body: str) -> tuple[str, str]:
    lines = body.split("\n")
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    comment = "\n".join(line[1:].removeprefix(" ") for line in lines[:count])
    return comment, "\n".join(lines[count:]).strip("\n")


def _cell(kind: str, content: str, index: int) -> dict[str, Any]:
    cell = {"cell_type": kind, "id": f"cell-{index}", "metadata": {}, "source": content.splitlines(keepends=True)}
    return {**cell, "execution_count": None, "outputs": []} if kind == "code" else cell
