"""What a line of the learner's code could have spoken of: names, parts of caches, sizes, with what they held."""

import ast
import builtins
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.repair.source import Editable

LONGEST_TUPLE = 12


class Atom(NamedTuple):
    """Something short that has a value: a name, ``cache[1]``, ``x.shape[0]``, ``self.eps``."""

    text: str
    kind: str  # tensor, mask, index, int, float, tuple
    line: int  # from which it can be used
    value: Any
    plain: bool = True  # whether the learner wrote it so


def kind_of(value: Any) -> str:
    """The kind of a value, for what can stand in its place."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            return "tensor" if value.dim() else "scalar"
        return "mask" if value.dtype == torch.bool else "index"
    if isinstance(value, bool):
        return "bool"
    for kind, types in (("int", int), ("float", float), ("tuple", (tuple, list, torch.Size))):
        if isinstance(value, types):
            return kind
    return type(value).__name__


def short_calls(editables: list[Editable]) -> list[str]:
    """Calls of the learner's own functions on names alone, such as _b(gamma, x): said once, they may be meant again."""
    found: dict[str, None] = {}
    for editable in editables:
        for node in ast.walk(editable.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
                own = isinstance(editable.function.__globals__.get(node.func.id), FunctionType)
                if own and node.args and all(isinstance(argument, ast.Name) for argument in node.args):
                    found[ast.unparse(node)] = None
    return list(found)[:12]


def atoms_of(editable: Editable, elsewhere: list[str]) -> list[Atom]:
    """The atoms of a function, the simplest first."""
    lines = _bindings(editable.tree)
    known = {**editable.function.__globals__, **vars(builtins)}  # names that need no binding here
    atoms: dict[str, Atom] = {}

    def add(text: str, line: int, plain: bool = True) -> None:
        if text in atoms:
            if line < atoms[text].line:
                atoms[text] = atoms[text]._replace(line=line)
            return
        atom = evaluated(text, editable, line, plain)
        if atom is not None and atom.kind in ("tensor", "scalar", "mask", "index", "int", "float", "bool", "tuple"):
            atoms[text] = atom

    for name, line in lines.items():
        if name in editable.values and not name.startswith("_"):
            add(name, line)
    for node in ast.walk(editable.tree):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Load):
            root, text = _root(node), ast.unparse(node)
            if root is not None and len(text) <= 24 and _is_short(node) and (root in lines or root in known):
                add(text, lines.get(root, 0))
    for text in elsewhere:
        names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)} - known.keys()
        if names <= lines.keys():
            add(text, max((lines[name] for name in names), default=0), plain=False)
    for name, line in lines.items():
        value: Any = editable.values.get(name)
        if kind_of(value) == "tuple" and not isinstance(value, torch.Size) and len(value) <= LONGEST_TUPLE:
            for number in range(len(value)):
                if not _has_name(editable, value[number]):
                    add(f"{name}[{number}]", line, plain=False)
        elif isinstance(value, dict):
            for key in value:
                add(f"{name}[{key!r}]", line, plain=False)
        elif hasattr(value, "__dict__") and not isinstance(value, (Tensor, type)) and not callable(value):
            for key in vars(value):
                add(f"{name}.{key}", line, plain=isinstance(getattr(value, key, None), (int, float)))
    for node in ast.walk(editable.tree):
        if isinstance(node, ast.Name) and isinstance(editable.function.__globals__.get(node.id), (int, float, Tensor)):
            add(node.id, 0)
    return list(atoms.values())


def evaluated(text: str, editable: Editable, line: int, plain: bool = True) -> Atom | None:
    """What an expression comes to with the variables as the function left them; None if it fails."""
    try:
        with torch.no_grad():
            value = eval(text, editable.function.__globals__, dict(editable.values))
    except Exception:
        return None
    return Atom(text, kind_of(value), line, value, plain)


def sizes_of(atoms: list[Atom]) -> list[Atom]:
    """Lengths of the tensors in scope, each way of saying a number once per tensor."""
    found: dict[str, Atom] = {}
    for atom in atoms:
        if atom.kind == "tensor" and atom.text.isidentifier():
            whole = f"{atom.text}.numel()"
            found.setdefault(whole, Atom(whole, "int", atom.line, atom.value.numel(), False))
            for axis, size in enumerate(atom.value.shape):
                text = f"{atom.text}.shape[{axis}]"
                found.setdefault(text, Atom(text, "int", atom.line, size, False))
            if atom.value.dim() == 4:
                text = f"({atom.text}.shape[2] * {atom.text}.shape[3])"
                found.setdefault(text, Atom(text, "int", atom.line, atom.value[0, 0].numel(), False))
            if atom.value.dim() >= 2:
                text = f"({atom.text}.numel() // {atom.text}.shape[1])"
                found.setdefault(
                    text, Atom(text, "int", atom.line, atom.value.numel() // max(1, atom.value.shape[1]), False)
                )
        elif atom.kind == "mask":
            text = f"{atom.text}.sum()"
            found.setdefault(text, Atom(text, "scalar", atom.line, atom.value.sum(), False))
        elif atom.kind == "index" and atom.text.isidentifier():
            text = f"len({atom.text})"
            if atom.value.dim():
                found.setdefault(text, Atom(text, "int", atom.line, len(atom.value), False))
    return list(found.values())


def _bindings(tree: ast.FunctionDef) -> dict[str, int]:
    """Name -> the first line on which it can be used."""
    lines: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            lines.setdefault(node.arg, 0)
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.With, ast.comprehension)):
            line = 0 if isinstance(node, ast.comprehension) else node.lineno
            for part in ast.walk(node):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    lines[part.id] = min(
                        lines.get(part.id, 10**9),
                        max(
                            line,
                            getattr(node, "end_lineno", 0) if isinstance(node, (ast.Assign, ast.AugAssign)) else line,
                        ),
                    )
    return lines


def _root(node: ast.AST) -> str | None:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _is_short(node: ast.AST) -> bool:
    """Whether all its subscripts are constants or names."""
    return all(
        isinstance(part, (ast.Attribute, ast.Subscript, ast.Name, ast.Constant, ast.Load, ast.UnaryOp, ast.USub))
        for part in ast.walk(node)
    )


def _has_name(editable: Editable, value: Any) -> bool:
    return any(one is value for name, one in editable.values.items() if not name.startswith("_")) and isinstance(
        value, Tensor
    )
