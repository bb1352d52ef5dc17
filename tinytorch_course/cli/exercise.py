"""``tinytorch exercise``: the exercises listed, one's starting file written, or a learner's file graded."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinytorch_course.cli.options import LONGEST, option, print_filled, print_json
from tinytorch_course.errors import InputError
from tinytorch_course.exercises import EXERCISES, Exercise, find_exercise, write_start

if TYPE_CHECKING:
    from tinytorch_course.exercises.grade import Grade


def exercise(
    number: Annotated[str | None, typer.Argument(help="The exercise; without it: the list of them.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder or .py file for the starting file. (default: the current folder)", show_default=False
        ),
    ] = None,
    check: Annotated[Path | None, typer.Option(metavar="FILE", help="Grade this file instead.")] = None,
    timeout: Annotated[
        float, option("--timeout", "X", "Seconds after which a task's code is stopped. (default: 60)")
    ] = 60.0,
    hint: Annotated[
        int | None,
        option("--hint", "N", "Say only: 1 what is wrong, 2 also the line, 3 the kind of change, 4 the edit."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the list or the grades as one JSON document.")] = False,
):
    """List the exercises, write one's starting file, or grade yours and hear what is wrong.

    A grade ends with exit code 1 if anything is wrong or still to be written.
    """
    if number is None:
        if out or check or hint:
            raise InputError("--out, --hint and --check need an exercise's number; `tinytorch exercise` lists them")
        print_list(json)
        return
    chosen = find_exercise(number)
    if check is None:
        if json:
            raise InputError("--json is for the list and for --check: leave it out to write the starting file")
        file = write_start(chosen, out)
        command = shlex.join(["tinytorch", "exercise", chosen.number, "--check", str(file)])
        print(f"Exercise {chosen.number} is in {file}; check it with: {command}")
        return
    if out is not None:
        raise InputError("--out is for the starting file, --check for grading yours: leave out one of them")
    if not 0 < timeout <= LONGEST:
        raise InputError(f"--timeout must be above 0 and at most {LONGEST:g} seconds, but it is {timeout:g}")
    if hint is not None and not 1 <= hint <= 4:
        raise InputError(f"--hint must be from 1 to 4, but it is {hint}")
    grades = grade_file(chosen, check, timeout, json, hint)
    if not all(grade.ok for grade in grades):
        raise typer.Exit(1)


def grade_file(chosen: Exercise, file: Path, timeout: float, json: bool, hint: int | None) -> "list[Grade]":
    """Grade every task and print what came of it."""
    from tinytorch_course.checking.display import Display
    from tinytorch_course.exercises.grade import grade

    grades = []
    with Display(json) as display:
        display.working_on(chosen.tasks[0].name, 1, len(chosen.tasks))
        for done, one in enumerate(grade(chosen, file, timeout, hint=hint), start=1):
            grades.append(one)
            print_grade(display, one, hint)
            if done < len(chosen.tasks):
                display.working_on(chosen.tasks[done].name, done + 1, len(chosen.tasks))
        right = sum(one.ok for one in grades)
        verdict = "all right" if right == len(grades) else f"{right} of {len(grades)} right"
        display.table.print(f"Exercise {chosen.number}: {verdict}.")
    if json:
        document = {"ok": right == len(grades), "exercise": chosen.number, "file": str(file)}
        print_json({**document, "tasks": [one.to_dict() for one in grades]})
    return grades


def print_grade(display, one: "Grade", hint: int | None) -> None:
    """What came of one exercise; never where its solution stands."""
    from rich.text import Text

    if one.outcome is not None:
        display.own_code(one.outcome, explained=False, hint=hint, place=False)
    else:
        display.table.print(Text(one.task.name, "bold"))
    if one.problem:
        display.table.print(Text.assemble(("TO DO", "bold red"), f": {one.problem}"))
    for line in one.hints if hint is None or hint > 2 else ():
        display.table.print(Text.assemble("  ", ("Hint", "bold"), f": {line}"))
    display.table.print()


def print_list(json: bool) -> None:
    """The exercises."""
    tasks = {one.number: [task.names[-1] for task in one.tasks] for one in EXERCISES}
    if json:
        about = [{"number": one.number, "title": one.title, "purpose": one.purpose} for one in EXERCISES]
        print_json([one | {"tasks": tasks[one["number"]]} for one in about])
        return
    for one in EXERCISES:
        print(f"{one.number}  {one.title}: {', '.join(tasks[one.number])}")
        print_filled(one.purpose, indent=4)
