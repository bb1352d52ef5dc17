"""Which line of the from-scratch code made a tensor."""

import ast
import inspect
import itertools
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from torch import Tensor

from tinytorch_course.caches import places_of
from tinytorch_course.instruments.recording import Quantity, Recorder
from tinytorch_course.lockstep import planting
from tinytorch_course.lockstep.planting import ROOM
from tinytorch_course.own_networks import MODULES as OWN


class Source(NamedTuple):
    """A line of code."""

    function: str  # in which it stands
    file: str
    line: int
    text: str


class _Return(NamedTuple):
    """A tensor in what a function returned."""

    module: str
    function: str
    place: tuple[int, ...]  # (0, 1): of the result's first part the second part
    lines: dict[int, int]  # that were run, each with the time at which it last was


class Makers:
    """While this is open, remember which function of the from-scratch code returned each tensor, and its lines.

    A tensor is an op's own when that op was the last to return it before it was recorded: dropout in evaluation returns
    what it was given. Private helpers are passed over, and so are closures, such as a layer's forward, where an op made
    the tensor.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._by_op: dict[int, tuple[Tensor, _Return]] = {}  # by id; the tensor is kept, so that its id stays its own
        self._by_closure: dict[int, tuple[Tensor, _Return]] = {}
        self._recorded: dict[Quantity, _Return | None] = {}
        self._last_lines: dict[CodeType, dict[int, int]] = {}  # of each function's last run

    def __enter__(self) -> "Makers":
        self._tracer_before = sys.gettrace()
        self._recorder.listener = self._note_recorded
        sys.settrace(self._enter_function)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(self._tracer_before)
        self._recorder.listener = None

    def source_of(self, quantity: Quantity, tensor: Tensor | None = None) -> Source | None:
        """The line that made ``quantity``; None if no function of the from-scratch code did.

        ``tensor`` is the quantity itself, for one that was not recorded but is a result of the step.
        """
        found = self._recorded[quantity] if quantity in self._recorded else self._last_return(tensor)
        return _locate(found) if found else None

    def _note_recorded(self, quantity: Quantity, tensor: Tensor) -> None:
        self._recorded[quantity] = self._last_return(tensor)

    def _last_return(self, tensor: Tensor | None) -> _Return | None:
        found = self._by_op.get(id(tensor)) or self._by_closure.get(id(tensor))
        return found and found[1]

    def _enter_function(self, frame: FrameType, event: str, argument: Any) -> Any:
        """What Python's tracing calls for every function that begins."""
        module, code = frame.f_globals.get("__name__") or "", frame.f_code
        planted = module == planting.__name__ and code.co_name == "stand_in"
        if planted:  # what it returns counts as the right function's, with the lines that it ran of that one
            right = frame.f_locals["right"]
            module, code = right.__module__, right.__code__
            self._last_lines.pop(code, None)
        elif not module.startswith((f"{ROOM}.", OWN)) or code.co_name.startswith(("_", "<")):
            return None
        op = frame.f_globals.get(code.co_name)
        is_op = planted or (callable(op) and getattr(inspect.unwrap(op), "__code__", None) is code)
        lines, clock = {}, itertools.count()

        def trace(frame: FrameType, event: str, result: Any) -> Any:
            if event == "line":
                lines[frame.f_lineno] = next(clock)
            elif event == "return":
                if not planted:
                    self._last_lines[code] = lines
                ran = self._last_lines.get(code, {})
                for place, tensor in places_of(result, Tensor):
                    made = tensor, _Return(module, code.co_name, place, ran)
                    if is_op:
                        self._by_op[id(tensor)] = made
                    else:
                        self._by_closure.setdefault(id(tensor), made)
            return trace

        return trace


def source_of_schedule(name: str) -> Source:
    """The line of a schedule that gives the rate."""
    path, tree, lines = _read(f"{ROOM}.schedules")
    function = _function(tree, name)
    assert function is not None
    formulas = (node for node in ast.walk(function) if isinstance(node, (ast.Dict, ast.Lambda)))
    last = max(formulas, key=lambda node: node.lineno)
    return Source(name, str(path), last.lineno, lines[last.lineno - 1].strip())


def source_of_step() -> Source:
    """The from-scratch training step, for what none of its ops made."""
    path, tree, lines = _read("tinytorch_course.training.learners")
    learner = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "ScratchLearner")
    step = _function(learner, "train_step")
    assert step is not None
    return Source("ScratchLearner.train_step", str(path), step.lineno, lines[step.lineno - 1].strip())


def _locate(made: _Return) -> Source:
    """The line in which what was returned got its value."""
    path, tree, text = _read(made.module)
    function = _function(tree, made.function)
    if function is None:  # a closure, such as a layer's forward
        line = max(made.lines, key=made.lines.__getitem__)
    else:
        line = _line_of(function, made.lines, made.place)
    return Source(made.function, str(path), line, text[line - 1].strip())


def _line_of(function: ast.FunctionDef, lines: dict[int, int], place: tuple[int, ...]) -> int:
    """Where the variable that stands at ``place`` of the result was last assigned; else the result's own line."""
    # A mistake may be planted that never calls the right function: then what stands last counts.
    lines = lines or {line: line for line in _lines_of(function)}

    def when_run(statement: ast.stmt) -> int:
        return max(lines.get(line, -1) for line in _lines_of(statement))

    returns = [each for each in ast.walk(function) if isinstance(each, ast.Return)]
    node = max(returns, key=when_run).value
    assert node is not None
    for number in place:
        parts = node.elts if isinstance(node, ast.Tuple) else node.args if isinstance(node, ast.Call) else []
        if number >= len(parts):
            break
        node = parts[number]
    line = node.lineno
    if isinstance(node, ast.IfExp) and isinstance(node.body, ast.Name):  # out if batched else out[0]
        node = node.body
    if isinstance(node, ast.Name):
        assignments = (each for each in ast.walk(function) if isinstance(each, (ast.Assign, ast.AugAssign)))
        run = [each for each in assignments if node.id in _targets(each) and when_run(each) >= 0]
        if run:
            line = max(run, key=when_run).lineno
    return line


def _lines_of(statement: ast.stmt) -> range:
    return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


def _targets(statement: ast.Assign | ast.AugAssign) -> set[str]:
    """The names that a statement assigns to, or into: ``dx[taps] += ...`` too."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    stored = {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    indices = {
        node.id
        for target in targets
        for subscript in ast.walk(target)
        if isinstance(subscript, ast.Subscript)
        for node in ast.walk(subscript.slice)
        if isinstance(node, ast.Name)
    }
    return stored - indices


def _function(tree: ast.Module | ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name), None)


def _read(module: str) -> tuple[Path, ast.Module, list[str]]:
    """The file of a module, its syntax tree and its lines."""
    path = Path(str(sys.modules[module].__file__))
    text = path.read_text(encoding="utf-8")
    return path, ast.parse(text), text.splitlines()
