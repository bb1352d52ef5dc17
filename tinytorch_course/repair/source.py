"""The learner's functions that a search may change: found from what was named, compiled alone, shown as text again."""

import ast
import copy
import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

SCALARS = (bool, int, float)
Node = Any  # an ast.AST; which fields it has, its kind says


class Slot(NamedTuple):
    """Where a node hangs."""

    parent: ast.AST
    field: str
    place: int | None = None  # in the field, if that is a list

    def get(self) -> Any:
        """What hangs there."""
        value = getattr(self.parent, self.field)
        return value if self.place is None else value[self.place]


class Change(NamedTuple):
    """One node becomes another; a statement may become several, or none."""

    slot: Slot
    old: Node
    new: Node | list[ast.stmt]


@dataclass(eq=False)
class Editable:
    """One function of the learner's."""

    function: FunctionType
    tree: ast.FunctionDef
    owner: ast.ClassDef | None  # whose method it is
    path: Path
    depth: int = 0  # calls away from what was named
    forward: bool = False  # whether forward reaches it
    backward: bool = False
    inherited: bool = False  # from a class that was not named
    values: dict[str, Any] = field(default_factory=dict)  # its variables as it returned once, by name

    @property
    def name(self) -> str:
        """Its name, after its class's."""
        return f"{self.owner.name}.{self.tree.name}" if self.owner else self.tree.name

    def compiled(self) -> CodeType:
        """The tree's code; what it does not contain is not compiled."""
        top: ast.stmt = self.tree
        if self.owner is not None:
            empty: Any = {"bases": [], "keywords": [], "decorator_list": [], "type_params": []}  # the last from 3.12 on
            top = ast.ClassDef(self.owner.name, body=[self.tree], lineno=self.owner.lineno, col_offset=0, **empty)
        code = compile(ast.Module([top], []), str(self.path), "exec", dont_inherit=True)
        if self.owner is not None:
            code = next(one for one in code.co_consts if isinstance(one, CodeType))
        return next(one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == self.tree.name)


@functools.cache
def parsed(path: Path) -> tuple[str, ast.Module]:
    """A file's text and tree."""
    text = path.read_text(encoding="utf-8")
    return text, ast.parse(text)


class Program:
    """All of the learner's functions that forward and backward reach."""

    def __init__(self, forward: Iterable[Any], backward: Iterable[Any], folder: Path):
        self.folder = folder.resolve()
        self.editables: dict[FunctionType, Editable] = {}
        for role, roots in (("forward", forward), ("backward", backward)):
            reached: set[FunctionType] = set()
            for root in roots:
                self._reach(root, 0, reached)
            for function in reached:
                setattr(self.editables[function], role, True)

    def __iter__(self) -> Iterator[Editable]:
        return iter(sorted(self.editables.values(), key=lambda one: (one.depth, one.tree.lineno)))

    def _reach(self, thing: Any, depth: int, reached: set[FunctionType]) -> None:
        if isinstance(thing, type):
            for base in thing.__mro__:
                if self._is_ours(base):
                    for name, member in vars(base).items():
                        if (
                            vars(next(one for one in thing.__mro__ if name in vars(one)))[name] is member
                            or name == "__init__"
                        ):
                            before = set(reached)
                            self._reach(member, depth, reached)
                            for function in reached - before:
                                self.editables[function].inherited |= base is not thing
            return
        if isinstance(thing, property):
            thing = thing.fget
        elif inspect.ismethod(thing) or isinstance(thing, (staticmethod, classmethod)):
            thing = thing.__func__
        elif isinstance(thing, functools.partial):
            thing = thing.func
        thing = inspect.unwrap(thing) if callable(thing) else thing
        if not isinstance(thing, FunctionType) or thing in reached or not self._is_ours(thing):
            return
        editable = self.editables.get(thing) or self._editable(thing, depth)
        if editable is None:
            return
        editable.depth = min(editable.depth, depth)
        self.editables[thing] = editable
        reached.add(thing)
        for used in _used(editable):
            self._reach(used, depth + 1, reached)

    def _is_ours(self, thing: Any) -> bool:
        if isinstance(thing, FunctionType):
            return Path(thing.__code__.co_filename).resolve().parent == self.folder
        file = getattr(sys.modules.get(thing.__module__), "__file__", None)
        return file is not None and Path(file).resolve().parent == self.folder

    def _editable(self, function: FunctionType, depth: int) -> Editable | None:
        path = Path(function.__code__.co_filename).resolve()
        _, module = parsed(path)
        line = function.__code__.co_firstlineno
        for node in module.body:
            for tree in [node] if isinstance(node, ast.FunctionDef) else getattr(node, "body", []):
                if isinstance(tree, ast.FunctionDef) and tree.name == function.__code__.co_name:
                    first = tree.decorator_list[0].lineno if tree.decorator_list else tree.lineno
                    if first == line:
                        owner = node if isinstance(node, ast.ClassDef) else None
                        return Editable(function, tree, owner, path, depth)
        return None

    @contextmanager
    def changed(self, changes: Iterable[tuple[Editable, Change]]) -> Iterator[None]:
        """The program with these changes. A change that Python will not compile raises, and leaves it as it was."""
        undo: list[Callable[[], None]] = []
        touched: dict[int, Editable] = {}
        try:
            for editable, change in changes:
                undo.append(_put(change))
                touched[id(editable)] = editable
            for editable in touched.values():
                code, old = editable.compiled(), editable.function.__code__
                defaults = editable.function.__defaults__
                editable.function.__code__ = code
                undo.append(functools.partial(_reset, editable.function, old, defaults))
                if any(change.slot.parent is editable.tree.args for _, change in changes):
                    editable.function.__defaults__ = tuple(ast.literal_eval(d) for d in editable.tree.args.defaults)
            yield
        finally:
            for step in reversed(undo):
                step()

    @contextmanager
    def observed(self) -> Iterator[None]:
        """While it runs, keep each function's variables as they are when it first returns."""
        by_code = {one.function.__code__: one for one in self.editables.values()}
        names = {one.tree.name: one for one in self.editables.values()}

        def watch(frame: Any, event: str, _: Any) -> None:
            if event != "return" or frame.f_code.co_filename not in files:
                return
            editable = by_code.get(frame.f_code)
            outer = frame.f_back
            while editable is None and outer is not None and outer.f_code.co_filename in files:  # nested ones
                editable, outer = by_code.get(outer.f_code), outer.f_back
            if editable is not None:
                for name, value in frame.f_locals.items():
                    if value is not None or name not in editable.values:
                        editable.values.setdefault(name, value)

        files = {one.function.__code__.co_filename for one in names.values()}
        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            yield
        finally:
            sys.setprofile(before)


def _used(editable: Editable) -> Iterator[Any]:
    """What the function speaks of by name: globals, and methods of its own class."""
    known = editable.function.__globals__
    owner = known.get(editable.owner.name) if editable.owner else None
    for node in ast.walk(editable.tree):
        if isinstance(node, ast.Name) and isinstance(known.get(node.id), (FunctionType, type)):
            yield known[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            base = known.get(node.value.id)
            if isinstance(base, (ModuleType, type)):
                yield getattr(base, node.attr, None)
            elif owner is not None and isinstance(owner, type):
                yield inspect.getattr_static(owner, node.attr, None)


def _put(change: Change) -> Callable[[], None]:
    parent, name, index = change.slot
    value = getattr(parent, name)
    if index is None:
        setattr(parent, name, change.new)
        return functools.partial(setattr, parent, name, value)
    before = list(value)
    place = next((i for i, one in enumerate(value) if one is change.old), index)
    if isinstance(change.new, list):
        value[place : place + 1] = change.new
    else:
        value[place] = change.new

    def undo() -> None:
        value[:] = before

    return undo


def _reset(function: FunctionType, code: CodeType, defaults: tuple | None) -> None:
    function.__code__, function.__defaults__ = code, defaults


# --- as text ---


class Patch(NamedTuple):
    """What a person would change."""

    path: Path
    line: int
    before: str
    after: str
    text: str  # of the whole file, changed

    @property
    def diff(self) -> str:
        """As a unified diff."""
        old = parsed(self.path)[0]
        lines = difflib.unified_diff(
            old.splitlines(), self.text.splitlines(), self.path.name, self.path.name, n=2, lineterm=""
        )
        return "\n".join(lines)


def patched(path: Path, changes: list[tuple[Editable, Change]]) -> str:
    """The text of the file with the changes, the rest as the learner wrote it.

    Raises:
        ValueError: if the text would not say what was tried.
    """
    text, module = parsed(path)
    undo = [_put(change) for _, change in changes]
    try:
        wanted = ast.dump(module)
    finally:
        for step in reversed(undo):
            step()
    starts = _line_starts(text)
    for whole, parts in ((False, False), (False, True), (True, False), (True, True)):
        result = text
        for _, change in sorted(changes, key=lambda pair: -_span(pair[1].old, starts, text)[0]):
            start, end, new = _written(change, starts, text, whole, parts)
            result = result[:start] + new + result[end:]
        try:
            if ast.dump(ast.parse(result)) == wanted:
                return result
        except SyntaxError:
            pass
    raise ValueError("the change cannot be written")


def shown(editable: Editable, change: Change, text: str) -> tuple[int, str, str]:
    """Line, and the smallest piece of it that can be read by itself, before and after."""
    old_text, _ = parsed(editable.path)
    starts = _line_starts(old_text)
    node = change.old
    for around in _around(editable.tree, node):
        node = around
        if isinstance(node, ast.stmt):
            break
        readable = isinstance(node, (ast.BinOp, ast.Call, ast.Subscript, ast.Compare, ast.IfExp, ast.UnaryOp))
        start, end = _span(node, starts, old_text)
        if readable and (node is not change.old or end - start >= 5) and end - start >= 4:
            break
    start, end = _span(node, starts, old_text)
    if hasattr(node, "body") and isinstance(node, ast.stmt):  # only its head
        end = starts[max(node.lineno, getattr(change.old, "end_lineno", node.lineno))]
        if isinstance(change.new, list) and node is change.old:
            end = _span(node, starts, old_text)[1]
    after = text[start : len(text) - (len(old_text) - end)]
    return node.lineno, _one_line(old_text[start:end]), _one_line(after)


def _around(tree: ast.AST, node: ast.AST) -> list[Node]:
    """The node, what it is in, and so on, up to the statement."""
    parents = {id(child): parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    way = [node]
    while not isinstance(way[-1], ast.stmt) and id(way[-1]) in parents:
        way.append(parents[id(way[-1])])
    return [one for one in way if hasattr(one, "lineno")]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _offset(text: str, starts: list[int], line: int, column: int) -> int:
    """Python counts columns in bytes."""
    start = starts[line - 1]
    stop = starts[line]
    return start + len(text[start:stop].encode()[:column].decode())


def _span(node: Node, starts: list[int], text: str) -> tuple[int, int]:
    return (
        _offset(text, starts, node.lineno, node.col_offset),
        _offset(text, starts, node.end_lineno, node.end_col_offset),
    )


def _written(change: Change, starts: list[int], text: str, whole: bool, brackets: bool) -> tuple[int, int, str]:
    start, end = _span(change.old, starts, text)
    if isinstance(change.new, list):
        indent = " " * change.old.col_offset
        if not change.new:
            first = starts[change.old.lineno - 1]
            last = starts[change.old.end_lineno]
            return (first, last, "") if text[first:start].isspace() or first == start else (start, end, "pass")
        if change.old in change.new:  # something comes before or behind it
            [other] = [one for one in change.new if one is not change.old]
            added = _render(other, starts, text, brackets).replace("\n", f"\n{indent}")
            return (start, start, f"{added}\n{indent}") if change.new[0] is other else (end, end, f"\n{indent}{added}")
        statements = [_render(one, starts, text, brackets).replace("\n", f"\n{indent}") for one in change.new]
        return start, end, f"\n{indent}".join(statements)
    new = _render(change.new, starts, text, brackets)
    if whole and isinstance(change.new, ast.expr):
        new = f"({new})"
    return start, end, new


def _render(node: ast.AST, starts: list[int], text: str, brackets: bool) -> str:
    """A new node's text, in which those parts that were there before stand as they were written."""
    if hasattr(node, "end_lineno") and not hasattr(node, "made"):
        start, end = _span(node, starts, text)
        return text[start:end]
    holes: list[str] = []

    def with_holes(one: Any) -> Any:
        if isinstance(one, list):
            return [with_holes(child) for child in one]
        if not isinstance(one, ast.AST):
            return one
        if isinstance(one, (ast.expr, ast.stmt)) and not hasattr(one, "made"):
            start, end = _span(one, starts, text)
            if isinstance(one, ast.expr) and not isinstance(getattr(one, "ctx", None), ast.Store):
                holes.append(text[start:end])
                atom = isinstance(one, (ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript))
                if not atom and brackets:
                    holes[-1] = f"({holes[-1]})"
                return ast.Name(f"hole{len(holes) - 1}_", ast.Load())
        new = copy.copy(one)
        for name, value in ast.iter_fields(one):
            setattr(new, name, with_holes(value))
        return new

    result = ast.unparse(ast.fix_missing_locations(with_holes(node)))
    for number, hole in enumerate(holes):
        result = result.replace(f"hole{number}_", hole)
    return result
