"""New pieces of syntax, marked as made here, and where the old ones hang."""

import ast
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

from tinytorch_course.repair.source import Node, Slot


def made(node: Node, like: ast.AST) -> Any:
    """Mark a node as ours: parts without the mark stand in the text as the learner wrote them."""
    node.made = True
    for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
        setattr(node, name, getattr(like, name))
    return node


@functools.lru_cache(maxsize=10_000)
def _parsed(text: str, line: int) -> Any:
    node = ast.parse(text, mode="eval").body
    for part in ast.walk(node):
        if isinstance(part, (ast.expr, ast.keyword)):
            part.made = True  # type: ignore[union-attr]
            part.lineno = part.end_lineno = line
            part.col_offset = part.end_col_offset = 0
    return node


def parse(text: str, like: ast.AST) -> Any:
    """An expression of ours from its text; nobody may change it, for it may stand in many places."""
    return _parsed(text, getattr(like, "lineno", 1))


def parse_statement(text: str, like: ast.AST) -> Any:
    """A statement of ours from its text."""
    node = ast.parse(text).body[0]
    for part in ast.walk(node):
        if isinstance(part, (ast.expr, ast.stmt, ast.keyword)):
            made(part, like)
    return node


def binary(left: ast.expr, operator: type[ast.operator], right: ast.expr, like: ast.AST) -> ast.BinOp:
    """``left operator right``."""
    return made(ast.BinOp(left, operator(), right), like)


def negative(node: ast.expr) -> ast.UnaryOp:
    """``-node``."""
    return made(ast.UnaryOp(ast.USub(), node), node)


def constant(value: Any, like: ast.AST) -> ast.expr:
    """A number or another constant."""
    return (
        parse(repr(value), like) if isinstance(value, (int, float)) and value < 0 else made(ast.Constant(value), like)
    )


def like(node: ast.AST, **changes: Any) -> Any:
    """The node with some fields changed."""
    return made(type(node)(**{**dict(ast.iter_fields(node)), **changes}), node)


def called(node: ast.Call) -> str:
    """The name of what is called, without what is before the dot."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def is_method(node: ast.Call) -> bool:
    """x.sum(...), not torch.sum(x, ...)."""
    return isinstance(node.func, ast.Attribute) and not (
        isinstance(node.func.value, ast.Name) and node.func.value.id in ("torch", "math", "np", "F", "self")
    )


def inner_of(node: ast.Call) -> ast.expr | None:
    """What a function or method is taken of."""
    if is_method(node):
        return node.func.value  # type: ignore[attr-defined]
    return node.args[0] if node.args and not isinstance(node.args[0], ast.Starred) else None


def with_inner(node: ast.Call, inner: ast.expr) -> ast.Call:
    """The same call of something else."""
    if is_method(node):
        return like(node, func=like(node.func, value=inner))
    return like(node, args=[inner, *node.args[1:]])


class Site(NamedTuple):
    """One expression or statement, and what it is in."""

    node: Node
    slot: Slot
    statement: ast.stmt
    way: tuple[ast.AST, ...]  # from the function to its parent

    @property
    def parent(self) -> Node:
        """What it stands in."""
        return self.slot.parent

    def inside(self, *kinds: type) -> bool:
        """Whether it is within a node of one of these kinds."""
        return any(isinstance(one, kinds) for one in self.way)


SKIPPED = {"decorator_list", "annotation", "returns", "type_comment", "type_params"}


def sites(tree: ast.FunctionDef) -> Iterator[Site]:
    """Every expression and statement of the function's body, and its arguments' defaults."""

    def visit(parent: ast.AST, statement: ast.stmt, way: tuple[ast.AST, ...]) -> Iterator[Site]:
        for name, value in ast.iter_fields(parent):
            if name in SKIPPED:
                continue
            several = isinstance(value, list)
            for index, node in enumerate(value if several else [value]):
                if not isinstance(node, ast.AST) or isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr)):
                    continue
                own = node if isinstance(node, ast.stmt) else statement
                if isinstance(node, (ast.expr, ast.stmt)):
                    yield Site(node, Slot(parent, name, index if several else None), own, way)
                yield from visit(node, own, (*way, node))

    yield from visit(tree, tree, (tree,))
