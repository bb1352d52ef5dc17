"""Rewriting rules: what a reader could have meant instead of what stands there, in Python's own syntax.

A row is a cost, a kind (see ``edits.KINDS``), a pattern, and what may stand in its place. Capital letters are any
expression, F(A) is a call or method of A with whatever else it takes, ∘ and • are any operators. In SCOPED, E is any
value, and a small letter is something of a kind (see edits.VARIABLES) that is in scope.
"""

import ast
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tinytorch_course.repair.nodes import inner_of, made, with_inner
from tinytorch_course.repair.source import Node

PLAIN = """
1.0 sign       -A => A
1.0 sign       ~A => A
1.0 sign       not A => A
1.0 sign       A + B => A - B
1.0 sign       A - B => A + B
1.5 operator   A + B => A * B
1.5 operator   A - B => A * B
1.5 operator   A * B => A / B; A + B; A - B
1.5 operator   A / B => A * B
1.5 operator   A // B => A / B
1.5 operator   A % B => A // B
1.5 operator   A ** B => A * B
1.5 operator   A @ B => A * B
1.5 operator   A & B => A | B
1.5 operator   A | B => A & B
1.0 dropped    A - 1 => A
1.0 dropped    A + 1 => A
1.2 dropped    A ∘ B => A
1.2 dropped    A + B => B
1.2 dropped    A * B => B
1.2 dropped    A @ B => B
1.2 dropped    A & B => A; B
1.2 dropped    A | B => A; B
1.8 dropped    A - B => B
1.8 dropped    A / B => B
1.4 dropped    A - B => -B
1.4 dropped    A / B => 1 / B
1.1 order      A - B => B - A
1.1 order      A / B => B / A
1.1 order      A @ B => B @ A
1.1 order      A ** B => B ** A
1.2 brackets   (A ∘ B) • C => A ∘ (B • C)
1.2 brackets   A ∘ (B • C) => (A ∘ B) • C
1.2 brackets   (A ∘ B) ** C => A ∘ B ** C
1.2 brackets   A ** B ∘ C => (A ∘ C) ** B
1.2 brackets   -A ∘ B => -(A ∘ B)
1.2 brackets   F(A) ∘ B => F(A ∘ B)
1.2 brackets   F(A ∘ B) => F(A) ∘ B; A ∘ F(B)
1.3 brackets   A + B * C - D => A + B * (C - D)
1.3 brackets   A + B * C + D => A + B * (C + D)
1.3 brackets   A - B * C - D => A - B * (C - D)
1.3 brackets   A - B * C + D => A - B * (C + D)
1.4 brackets   (A + B) * C => A * C + B
1.4 brackets   (A - B) * C => A * C - B
1.4 brackets   (A + B) / C => A / C + B
1.4 brackets   A * C + B => (A + B) * C
1.4 brackets   A / C + B => (A + B) / C
1.3 dropped    F(A) => A
1.5 dropped    (A ∘ B) • C => A; B
1.5 dropped    A ∘ (B • C) => B; C
1.7 dropped    F(A) ∘ B => A
1.7 dropped    A ∘ F(B) => B
1.0 order      A.T => A
1.0 order      A.mT => A
1.2 order      A if B else C => C if B else A
1.5 dropped    A if B else C => A; C
1.6 dropped    torch.where(A, B, C) => B; C
1.6 order      A * B + (1 - A) * C => (1 - A) * B + A * C
"""

SCOPED = """
1.3 sign       E => -E
1.5 factor     E => 2 * E; 0.5 * E
1.8 factor     E => E * n; E / n; E * m; E * t
2.0 factor     E => E * ~m
2.2 factor     E => E / t; E * (1 - c); E / r ** 2
2.3 factor     E => E / (1 - c); E * r ** 2; E / (k - 1)
2.4 factor     E => E * (1 - c ** 2); E * v.sum(d, keepdim=True)
2.5 factor     E => E * v.abs(); E * torch.sign(v); E * torch.exp(v); E * v.sum(); E * (v > 0)
2.3 factor     E => E * m[:, None]; E * m.unsqueeze(-1)
2.5 factor     E => E * v.unsqueeze(-1); E * v[:, None]; E * v[:, None, None]; E / (1 - f ** k)
1.6 summand    E => E + 1; E - 1; E + 0.5; E - 0.5
1.7 summand    E => 1 - E
1.5 summand    E => E + e; E - e
2.0 summand    E => E + c; E - c; E + m
2.4 summand    E => E + v * w
2.5 summand    E => E + t; E - t
1.6 shift      E => E + 1; E - 1
2.0 shift      E => E + k; E - k
1.9 factor     A * B => torch.where(B, A, f * A)
1.9 factor     A * F(B) => torch.where(B, A, f * A)
1.9 mask       E => torch.where(E, 1.0, f); torch.where(E, 1.0, 0.0); E & m; E | m
2.4 formula    A + B => f * A + (1 - f) * B; f * A + B
2.6 formula    E => E - E.mean(d, keepdim=True); E - E.sum(d, keepdim=True)
2.7 formula    E => E - v * E.sum(d, keepdim=True); E - (E * v).sum(d, keepdim=True)
2.8 formula    E => v * (E - (E * v).sum(d, keepdim=True)); E - v * (E * v).mean(d, keepdim=True)
2.9 formula    E => E - E.mean(d, keepdim=True) - v * (E * v).mean(d, keepdim=True)
2.6 formula    A / (F(B) + C) => A / (1 - f ** k) / (F(B / (1 - g ** k)) + C)
2.8 answer     E => v * (w - (w * v).sum(d, keepdim=True)); w - v * w.sum(d, keepdim=True)
2.9 answer     E => w - torch.exp(v) * w.sum(d, keepdim=True)
1.8 call       E => torch.exp(E); torch.log(E); torch.sqrt(E); torch.abs(E); torch.sign(E); torch.sigmoid(E)
1.8 call       E => torch.tanh(E); torch.square(E); E ** 2
1.9 call       E => torch.log_softmax(E, 1); torch.softmax(E, 1); torch.softmax(E, -1)
2.0 call       E => E ** 3; 1 / E; E.mean(d, keepdim=True); E.clamp(min=e)
1.7 call       E => E.sum(d, keepdim=True)
1.9 call       E => E.sum(d)
1.7 whole      E => E.T; E.transpose(-1, -2); E.transpose(2, 3); E.flip(2, 3); E.flip(-1); E.clone()
1.7 whole      E => E[:, None]; E[..., None]; E.unsqueeze(-1); E.sum((0, 2, 3)); E.sum((0, 2)); E.sum((2, 3))
1.9 whole      E => E.reshape(s); E.sum_to_size(s); E.expand(s)
"""

OPERATORS = ("+", "-", "*", "/", "//", "**", "@", "%")
COMPARISONS = (">", ">=", "<", "<=", "==", "!=")


class Rule(NamedTuple):
    """One pattern and one result."""

    cost: float
    kind: str
    pattern: Node
    result: Node
    variables: tuple[str, ...]  # the small letters in it


def _expanded(pattern: str, result: str) -> Iterator[tuple[str, str]]:
    """For each operator that ∘ and • may be; those of a formula's own brackets are + - * / alone."""
    few = "F(" in pattern or "-A" in pattern or "**" in pattern
    for one, other in itertools.product(OPERATORS[: 4 if few else 8], OPERATORS):
        if ("•" not in pattern and other != "+") or ("∘" not in pattern and one != "+"):
            continue
        if "∘" in result and "•" in result and one == other in ("+", "*", "@"):
            continue  # the same by associativity
        yield tuple(text.replace("∘", one).replace("•", other) for text in (pattern, result))  # type: ignore[misc]


def _parsed(table: str) -> list[Rule]:
    rules = []
    for line in table.strip().splitlines():
        cost, kind, row = line.split(None, 2)
        pattern, results = row.split("=>")
        for result in results.split(";"):
            for one, other in _expanded(pattern.strip(), result.strip()):
                tree = ast.parse(other, mode="eval").body
                names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
                letters = tuple(sorted(name for name in names if len(name) == 1 and name.islower()))
                rules.append(Rule(float(cost), kind, ast.parse(one, mode="eval").body, tree, letters))
    return rules


def _by_root(rules: list[Rule]) -> dict[object, list[Rule]]:
    found: dict[object, list[Rule]] = {}
    for rule in rules:
        found.setdefault(_root(rule.pattern), []).append(rule)
    return found


def _root(node: Node) -> object:
    return (type(node), type(node.op)) if isinstance(node, (ast.BinOp, ast.UnaryOp)) else type(node)


@functools.cache
def plain_rules() -> dict[object, list[Rule]]:
    """By what stands at the root of their pattern."""
    swaps = [f"1.0 comparison A {one} B => A {two} B" for one, two in itertools.permutations(COMPARISONS, 2)]
    return _by_root(_parsed(PLAIN + "\n".join(swaps)))


@functools.cache
def scoped_rules() -> list[Rule]:
    """Those that put in what is in scope."""
    return _parsed(SCOPED)


def rewritten(node: Node) -> Iterator[tuple[float, str, Node]]:
    """By each plain rule that fits."""
    for rule in plain_rules().get(_root(node), ()):
        found = matched(rule.pattern, node)
        if found is not None and not _orders_text(new := built(rule.result, found, node)):
            yield rule.cost, rule.kind, new


def _orders_text(node: Node) -> bool:
    """Whether it asks if ``reduction < "none"``, which tells three words apart by luck."""
    if not isinstance(node, ast.Compare) or isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
        return False
    sides = (node.left, *node.comparators)
    return any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in sides)


def inserted(
    node: Node, kinds: set[str], choices: Callable[[str], list[tuple[float, Node]]]
) -> Iterator[tuple[float, str, Node]]:
    """By each rule of these kinds, with each choice of its variables, which comes with what it costs."""
    for rule in scoped_rules():
        if rule.kind not in kinds:
            continue
        found = matched(rule.pattern, node)
        if found is None:
            continue
        for chosen in itertools.product(*(choices(letter) for letter in rule.variables)):
            filled = found | dict(zip(rule.variables, (one for _, one in chosen), strict=True))
            yield rule.cost + sum(cost for cost, _ in chosen), rule.kind, built(rule.result, filled, node)


def matched(pattern: Node, node: Node, found: dict[str, Node] | None = None) -> dict[str, Node] | None:
    """What the pattern's letters stand for; None if it does not fit."""
    found = {} if found is None else found
    if isinstance(pattern, ast.Name) and len(pattern.id) == 1:
        if not isinstance(node, ast.expr):
            return None
        known = found.setdefault(pattern.id, node)
        return found if known is node or ast.dump(known) == ast.dump(node) else None
    if type(pattern) is not type(node):
        return None
    if isinstance(pattern, ast.Call) and getattr(pattern.func, "id", "") == "F":
        inner = inner_of(node)
        found["F"] = node
        return None if inner is None else matched(pattern.args[0], inner, found)
    for name, part in ast.iter_fields(pattern):
        given = getattr(node, name)
        if isinstance(part, ast.expr_context):
            continue
        if isinstance(part, list):
            if len(part) != len(given) or any(matched(*pair, found) is None for pair in zip(part, given, strict=True)):
                return None
        elif isinstance(part, ast.AST):
            if matched(part, given, found) is None:
                return None
        elif part != given:
            return None
    return found


def built(result: Node, found: dict[str, Node], like: Node) -> Node:
    """The result with what its letters stand for."""
    if isinstance(result, ast.Name):
        return found.get(result.id) or made(ast.Name(result.id, ast.Load()), like)
    if isinstance(result, ast.Call) and getattr(result.func, "id", "") == "F":
        return with_inner(found["F"], built(result.args[0], found, like))
    parts = {}
    for name, part in ast.iter_fields(result):
        if isinstance(part, list):
            parts[name] = [built(one, found, like) if isinstance(one, (ast.expr, ast.keyword)) else one for one in part]
        else:
            parts[name] = built(part, found, like) if isinstance(part, ast.expr) else part
    return made(type(result)(**parts), like)
