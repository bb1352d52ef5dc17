"""``tinytorch lesson``: the example scripts listed, one of them run, or made a notebook."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tinytorch_course.cli.options import print_filled, print_json, text_width
from tinytorch_course.errors import InputError
from tinytorch_course.lessons import Lesson, find_lesson, find_lessons, run_lesson, write_notebook


def lesson(
    number: Annotated[str | None, typer.Argument(help="The lesson to run; without it: the list of them.")] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Folder for its pictures, by default ./pictures.")
    ] = None,
    notebook: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write this .ipynb file instead of running it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the list as one JSON document.")] = False,
):
    """List the lessons, run one with its pictures saved, or write it as a notebook."""
    if number is None:
        if out is not None or notebook is not None:
            raise InputError("--out and --notebook need the number of a lesson; `tinytorch lesson` lists them")
        print_list(find_lessons(), json)
        return
    if json:
        raise InputError("--json is for the list of lessons: leave out either --json or the number")
    chosen = find_lesson(number)
    if notebook is not None:
        if out is not None:
            raise InputError("--out is for running a lesson, --notebook for writing it: leave out one of them")
        if notebook.suffix != ".ipynb":
            raise InputError(f"--notebook is '{notebook}', but the name of a notebook ends in .ipynb")
        write_notebook(chosen, notebook)
        print(f"Lesson {chosen.number} is in {notebook}.")
        return
    run(chosen, make_folder("pictures" if out is None else out))


def make_folder(out: str) -> Path:
    """The folder for the pictures, which is made if it is not there.

    Raises:
        InputError: if it cannot be made, or nothing can be written there.
    """
    if not out.strip():
        raise InputError(f"--out must be the path of a folder, but it is {out!r}")
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"--out is '{out}', which is a file; give a folder for the pictures") from None
    except OSError as error:
        reason = error.strerror or "it cannot be made"
        raise InputError(f"--out is '{out}', which cannot be made ({reason}); give another folder") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"--out is '{out}', where you may not write; give another folder")
    return folder


def run(chosen: Lesson, out: Path) -> None:
    """Run one lesson, and say which pictures it made."""
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    typer.echo(f"Lesson {chosen.number}. {chosen.title} (about {chosen.seconds} s)", err=True)
    if run_lesson(chosen, out) != 0:
        typer.echo(f"Lesson {chosen.number} failed: one of its checks does not hold here.", err=True)
        raise typer.Exit(1)
    pictures = [path for path in sorted(out.glob("*.png")) if before.get(path) != path.stat().st_mtime_ns]
    if pictures:
        typer.echo(f"Pictures in {out}: {', '.join(path.name for path in pictures)}", err=True)


def print_list(lessons: list[Lesson], json: bool) -> None:
    """The lessons."""
    if json:
        fields = ("number", "title", "learn", "seconds")
        print_json([{name: getattr(one, name) for name in fields} for one in lessons])
        return
    for one in lessons:
        time = f"about {one.seconds} s"
        print(f"{one.number}  {one.title}{time:>{text_width() - 4 - len(one.title)}}")
        print_filled(one.learn, indent=4)
