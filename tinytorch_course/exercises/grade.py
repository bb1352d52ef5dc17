"""A learner's file, graded task by task through the gradient checker. Needs no torch: that runs in its own process."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tinytorch_course.checking.rows import Answer, Row
from tinytorch_course.errors import InputError
from tinytorch_course.exercises import Exercise, Task
from tinytorch_course.grading.own_code import Request, check_own_code

SEARCH = 10.0  # seconds for the edit that makes a task right
AUTOGRAD = re.compile("autograd|backward|requires_grad_?|func|optim|vjp|jvp|jacrev|grad_and_value")
NO_TEXT = "'{}' is not a Python file: it contains bytes that are not text"


class Grade(NamedTuple):
    """What came of one task."""

    task: Task
    outcome: Answer | None  # None: it could not be checked
    problem: str  # why; or what is against the rules
    hints: list[str]  # of this exercise, beside the diagnosis

    @property
    def ok(self) -> bool:
        """Whether the task is done."""
        return not self.problem and self.outcome is not None and self.outcome.row.ok

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        row = self.outcome.row.to_dict() if self.outcome else None
        return {"task": self.task.name, "ok": self.ok, "problem": self.problem or None, "hints": self.hints, "row": row}


def grade(
    exercise: Exercise,
    file: Path,
    timeout: float,
    check: Callable[[Request, float], Answer] = check_own_code,
    hint: int | None = None,
) -> Iterator[Grade]:
    """Grade every task, one after the other. Hints from 2 on need the edit that would make it right.

    Raises:
        InputError: if there is no such file, or it is no Python.
    """
    tree = _parse(file)
    for task in exercise.tasks:
        unwritten = _unwritten(task, tree)
        if unwritten:
            yield Grade(task, None, unwritten, [])
            continue
        request = Request(str(file), task.names, task.like, strict=True, budget=SEARCH if (hint or 0) > 1 else 0.0)
        if task.shapes:
            request.shapes, request.twin = [list(shape) for shape in task.shapes], str(exercise.start)
        try:
            outcome = check(request, timeout)
        except InputError as refusal:
            yield Grade(task, None, str(refusal), [])
            continue
        yield Grade(task, outcome, _against_the_rules(tree), _hints(task, outcome.row))


def _hints(task: Task, row: Row) -> list[str]:
    """The exercise's own, for what the diagnosis does not recognise."""
    vague = ("unrecognised", "factor", "missing-mean", "extra-mean")
    unclear = [finding for finding in row.diagnosis if finding["key"] in vague or finding["part"]]
    labels = {label for finding in unclear for label in finding["what"].split(" and ")}
    return [f"{label}: {hint}" for label, hint in task.hints.items() if label in labels]


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except FileNotFoundError:
        raise InputError(f"the file '{file}' does not exist") from None
    except IsADirectoryError:
        raise InputError(f"'{file}' is a folder, not a Python file") from None
    except OSError as error:
        raise InputError(f"'{file}' cannot be read ({error.strerror})") from None
    except SyntaxError as error:
        if error.lineno is None:  # null bytes, in newer versions of Python
            raise InputError(NO_TEXT.format(file)) from None
        raise InputError(f"{file} line {error.lineno}: SyntaxError: {error.msg}") from None
    except ValueError:  # null bytes, or no text
        raise InputError(NO_TEXT.format(file)) from None


def _unwritten(task: Task, tree: ast.Module) -> str:
    """Which part of the task is as it was in the starting file, or gone."""
    for name in task.names:
        found = [node for node in tree.body if getattr(node, "name", None) == name]
        if not found:
            return f"{name} is no longer in the file"
        for node in ast.walk(found[-1]):
            if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node):
                what = f"{name}.step" if name[0].isupper() else name
                return f"{what} (line {node.lineno}) is still to be written: put your code in place of that raise"
    return ""


def _against_the_rules(tree: ast.Module) -> str:
    """Where the file leaves the derivative to torch."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [getattr(node, "module", None) or "", *(one.name for one in node.names)]
        elif isinstance(node, ast.keyword):
            names = [node.arg or ""]
        else:
            continue
        used = [name for whole in names for name in whole.split(".") if AUTOGRAD.fullmatch(name)]
        if used:
            return f"line {node.lineno} uses {used[0]}: here gradients and steps are to be written by hand"
    return ""
