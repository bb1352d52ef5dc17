"""Which lines of a backward a wrong gradient comes from: the others need not be changed."""

import ast
from collections.abc import Callable

from tinytorch_course.repair.source import Editable, Program


def relevant_statements(editable: Editable, wrong: list[int], count: int) -> Callable[[ast.stmt], bool]:
    """Whether a statement reaches one of the ``wrong`` elements of the ``count`` that are returned."""
    tree = editable.tree
    needed: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and node.value is not None:
            elements = node.value.elts if isinstance(node.value, ast.Tuple) else []
            if len(elements) >= count and count > 1 and wrong and not any(isinstance(e, ast.Starred) for e in elements):
                for number in wrong:
                    needed |= _names(elements[number])
            else:
                needed |= _names(node.value)
    statements = [(one, *_data_flow(one)) for one in ast.walk(tree) if isinstance(one, ast.stmt)]
    grown = True
    while grown:
        size = len(needed)
        for _, targets, sources in statements:
            if targets & needed:
                needed |= sources
        grown = len(needed) > size

    relevant = {
        id(one)
        for one, targets, _ in statements
        if targets & needed
        or isinstance(one, (ast.Return, ast.For, ast.While, ast.If, ast.With, ast.FunctionDef))
        or not targets
    }
    return lambda statement: id(statement) in relevant


def relevant_functions(program: Program, kept: dict[Editable, Callable[[ast.stmt], bool]]) -> set[Editable]:
    """Those that the relevant lines of the named functions call, directly or not."""
    by_name: dict[str, list[Editable]] = {}
    for editable in program:
        by_name.setdefault(editable.tree.name, []).append(editable)
        if editable.owner is not None:
            by_name.setdefault(editable.owner.name, []).append(editable)
    found: set[Editable] = set()
    todo = [editable for editable in program if not editable.depth]
    while todo:
        editable = todo.pop()
        if editable in found:
            continue
        found.add(editable)
        relevant = kept.get(editable, lambda statement: True)
        for statement in ast.walk(editable.tree):
            if isinstance(statement, ast.stmt) and statement is not editable.tree and relevant(statement):
                for name in _names(statement, deep=not isinstance(statement, (ast.For, ast.While, ast.If, ast.With))):
                    todo += by_name.get(name, [])
    return found


def _names(node: ast.AST, deep: bool = True) -> set[str]:
    if not deep:  # a compound statement's own line; its body is looked at line by line
        heads = [getattr(node, name) for name in ("iter", "test") if hasattr(node, name)]
        return {name for head in heads for name in _names(head)}
    return {
        part.id if isinstance(part, ast.Name) else part.attr
        for part in ast.walk(node)
        if isinstance(part, (ast.Name, ast.Attribute))
    }


def _data_flow(node: ast.stmt) -> tuple[set[str], set[str]]:
    """What a statement changes, and what goes into that."""
    if isinstance(node, ast.Assign):
        return {name for target in node.targets for name in _roots(target)}, _names(node)
    if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        return _roots(node.target), _names(node)
    if isinstance(node, ast.For):
        return _roots(node.target), _names(node.iter)
    if isinstance(node, ast.FunctionDef):
        return {node.name}, _names(node)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return _names(node.value), _names(node.value)
    return set(), set()


def _roots(target: ast.AST) -> set[str]:
    if isinstance(target, (ast.Tuple, ast.List)):
        return {name for element in target.elts for name in _roots(element)}
    while isinstance(target, (ast.Subscript, ast.Attribute, ast.Starred)):
        target = target.value
    return {target.id} if isinstance(target, ast.Name) else set()
