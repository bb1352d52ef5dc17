"""The edits that are tried: small changes of one place, each with what it costs in a reader's eyes.

Most are rules (see ``rules.py``); here are those that look at more than one expression, and what is in scope. A low
cost stands for a likely slip of the pen, a high one for what somebody would rarely mean.
"""

import ast
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch

from tinytorch_course.repair.nodes import (
    Site,
    binary,
    called,
    constant,
    inner_of,
    is_method,
    like,
    made,
    parse,
    parse_statement,
    sites,
)
from tinytorch_course.repair.rules import inserted, rewritten
from tinytorch_course.repair.scope import Atom, atoms_of, evaluated, sizes_of
from tinytorch_course.repair.source import Change, Editable, Node, Slot

NEIGHBOURS = (
    "sum mean", "max min", "amax amin", "argmax argmin", "maximum minimum", "clamp_min clamp_max", "sin cos",
    "exp log expm1 log1p",
    "tanh sigmoid", "softmax log_softmax", "sqrt rsqrt square", "abs sign square", "floor ceil",
    "zeros_like ones_like", "zeros ones", "scatter_ scatter_add_ index_add_", "copy_ add_ sub_", "mul div", "mul_ div_",
    "add sub", "any all", "var std", "cumsum cumprod", "logical_and logical_or", "gt ge lt le", "tril triu",
)  # fmt: skip
NEXT_TO = {name: [other for other in row.split() if other != name] for row in NEIGHBOURS for name in row.split()}
REDUCTIONS = ("sum", "mean", "amax", "amin", "max", "min", "var", "std", "prod", "logsumexp")
WITH_AXIS = (*REDUCTIONS, "softmax", "log_softmax", "argmax", "argmin", "cumsum", "flip", "cat", "stack", "norm")
AXES = ("0", "1", "-1", "2", "(0, 1)", "(0, 2)", "(1, 2)", "(0, 2, 3)", "(2, 3)", "(1, 2, 3)")
SHAPING = ("reshape", "view", "permute", "transpose", "flatten", "contiguous")
NUMBERS = ("int", "float", "scalar")
SUMS, PRODUCTS = (ast.Add, ast.Sub), (ast.Mult, ast.Div)
HELPER, FORWARD, BASE = 0.6, 0.9, 0.3  # what a place costs that was not named itself

# What kind of change it is, for a hint that does not show it.
KINDS = {
    "sign": "a sign",
    "operator": "an operator",
    "brackets": "brackets, or the order in which things are done",
    "dropped": "something is too much",
    "factor": "a factor is missing",
    "summand": "a summand is missing",
    "name": "another variable is meant",
    "constant": "a number",
    "axis": "an axis, or keepdim",
    "reduction": "a call is another's neighbour (sum for mean, max for min, exp for log)",
    "comparison": "a comparison",
    "index": "an index or a slice",
    "order": "an order: of operands, arguments or what is returned",
    "accumulate": "= where += is meant, or the reverse",
    "call": "a call is missing around something",
    "statement": "a line is too much, missing, or in the wrong place",
    "default": "an argument's default",
    "formula": "a formula",
}
SAID_AS = {
    "shift": "index",
    "mask": "comparison",
    "whole": "call",
    "answer": "formula",
}  # rules' kinds that only say where they belong


class Edit(NamedTuple):
    """Something to try."""

    cost: float
    kind: str  # of KINDS
    editable: Editable
    changes: tuple[Change, ...]

    @property
    def pairs(self) -> list[tuple[Editable, Change]]:
        """Each change with the function that it is in."""
        return [(self.editable, change) for change in self.changes]


New = tuple[float, str, Node | list[ast.stmt]]
# Small letters of the rules: kinds of what may stand for them, and whether the learner must have written it so.
VARIABLES: dict[str, tuple[tuple[str, ...], bool]] = {
    "t": (("tensor",), False),
    "v": (("tensor",), True),
    "w": (("tensor",), True),
    "c": (("tensor", "scalar", "float"), True),
    "r": (("tensor", *NUMBERS), True),
    "n": (NUMBERS, False),
    "k": (("int",), True),
    "f": (("float", "scalar"), True),
    "g": (("float", "scalar"), True),
    "e": (("float",), True),
    "m": (("mask",), False),
}


class Surroundings:
    """A function's sites and what is in scope there."""

    def __init__(
        self,
        editable: Editable,
        relevant: Callable[[ast.stmt], bool],
        *,
        behind: bool,
        elsewhere: list[str],
        defaults: dict[str, Any],
    ):
        self.editable, self.defaults = editable, defaults
        self.sites = [site for site in sites(editable.tree) if relevant(site.statement)]
        self.atoms = atoms_of(editable, elsewhere)
        self.sizes = sizes_of(self.atoms)
        named = [atom.text for atom in self.atoms if atom.text in ("dim", "axis", "self.dim", "self.axis")]
        self.axes = list(dict.fromkeys([*named, *_axes_in(editable)])) or ["0", "-1"]
        self.known: dict[str, Atom | None] = {}
        self.chosen: dict[tuple[str, int], list[tuple[float, Node]]] = {}
        self.plain: dict[int, list[New]] = {}
        self.extra = HELPER if editable.depth else 0.0
        self.extra += FORWARD if behind and not editable.backward else 0.0
        self.extra += BASE if editable.inherited else 0.0

    def visible(self, site: Site, *kinds: str, sizes: bool = False) -> list[Atom]:
        """The atoms of these kinds that stand before the site."""
        line = site.statement.lineno
        pool = self.atoms + (self.sizes if sizes else [])
        return [atom for atom in pool if atom.line < line and (not kinds or atom.kind in kinds)]

    def kind(self, node: ast.AST) -> Atom | None:
        """What is known of an expression's value; None: nothing."""
        if not isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.Call)):
            return None
        text = ast.unparse(node)
        for atom in (*self.atoms, *self.sizes):
            if atom.text == text:
                return atom
        if isinstance(node, ast.Call) and (called(node) in ("len", "numel", "size", "sum") or _own_call(node)):
            return self.value_of(node)
        return None

    def value_of(self, node: ast.expr) -> Atom | None:
        """Any expression that can be made from the variables as the function left them."""
        text = ast.unparse(node)
        if text not in self.known:
            self.known[text] = evaluated(text, self.editable, node.lineno)
        return self.known[text]

    def edit(self, site: Site, new: New) -> Edit:
        """The edit that puts ``new`` in the place of the site."""
        cost, kind, node = new
        return Edit(cost + self.extra, SAID_AS.get(kind, kind), self.editable, (Change(site.slot, site.node, node),))

    def plain_at(self, site: Site) -> list[New]:
        """All that may stand there without anything put in."""
        if id(site.node) not in self.plain:
            self.plain[id(site.node)] = list(_plain(site, self))
        return self.plain[id(site.node)]

    def choices(self, site: Site, letter: str) -> list[tuple[float, Node]]:
        """What a rule's small letter may be at a site, with what it costs beside what the learner wrote there."""
        key = letter, site.statement.lineno
        if key not in self.chosen:
            self.chosen[key] = [(cost, parse(text, site.node)) for cost, text in self._texts(site, letter)]
        return self.chosen[key]

    def _texts(self, site: Site, letter: str) -> Iterator[tuple[float, str]]:
        if letter == "d":
            yield from ((0.0, axis) for axis in self.axes)
        elif letter == "s":
            for atom in self.visible(site, "tensor", "tuple"):
                if atom.plain or atom.kind == "tuple":
                    yield 0.0, atom.text if atom.kind == "tuple" else f"{atom.text}.shape"
        else:
            kinds, plain = VARIABLES[letter]
            for atom in self.visible(site, *kinds, sizes=not plain):
                says_nothing = not atom.plain and isinstance(atom.value, int) and atom.value in (0, 1)
                if says_nothing or (plain and not atom.plain) or (letter == "e" and not abs(atom.value) < 1e-2):
                    continue
                yield 0.0 if atom.plain else 0.5, atom.text


def _axes_in(editable: Editable) -> list[str]:
    """The axes that the function speaks of."""
    found = {
        ast.unparse(keyword.value): None
        for node in ast.walk(editable.tree) if isinstance(node, ast.Call)
        for keyword in [*node.keywords, *(ast.keyword("dim", one) for one in node.args[0 if is_method(node) else 1 :])]
        if keyword.arg in ("dim", "axis") and called(node) in WITH_AXIS
    }  # fmt: skip
    return [text for text in found if len(text) <= 12]


def plain_edits(around: Surroundings) -> Iterator[Edit]:
    """Changes of what is there."""
    for site in around.sites:
        if isinstance(site.slot.parent, ast.arguments):
            yield from (around.edit(site, (cost + 0.5, "default", new)) for cost, _, new in _constants(site, around))
            yield from (around.edit(site, new) for new in _defaults(site, around))
            continue
        for new in around.plain_at(site):
            yield around.edit(site, new)
    yield from _in_parallel(around)
    yield from _of_several(around)
    yield from _moved_statements(around)


def inserting_edits(around: Surroundings) -> Iterator[Edit]:
    """Changes that add what is in scope."""
    for site in around.sites:
        kinds = _fitting(site) - {"sign"}
        if kinds:
            for new in inserted(site.node, kinds, functools.partial(around.choices, site)):
                yield around.edit(site, new)
        if isinstance(site.node, ast.stmt):
            for new in _new_statements(site, around):
                yield around.edit(site, new)


def _plain(site: Site, around: Surroundings) -> Iterator[New]:
    yield from rewritten(site.node)
    if "sign" in _fitting(site):
        yield from inserted(site.node, {"sign"}, lambda letter: [])
    for maker in (_calls, _constants, _names, _subscripts, _tuples, _statements_changed, _named_wholes):
        yield from maker(site, around)


# --- what is there ---


def _calls(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if not isinstance(node, ast.Call):
        return
    name, place = called(node), 0 if is_method(node) else 1
    for other in NEXT_TO.get(name, ()):
        field = "attr" if isinstance(node.func, ast.Attribute) else "id"
        yield 1.1, "reduction", like(node, func=like(node.func, **{field: other}))
    given = [keyword.arg for keyword in node.keywords]
    for keyword in node.keywords:
        yield 1.4, "dropped", like(node, keywords=[one for one in node.keywords if one is not keyword])
    if name in REDUCTIONS and "keepdim" not in given and (len(node.args) > place or given):
        yield 1.2, "axis", _with(node, keepdim=True)
    if name in ("var", "std"):
        others = [one for one in node.keywords if one.arg not in ("unbiased", "correction")]
        yield 1.1, "constant", _with(like(node, keywords=others), unbiased=False)
    if name in WITH_AXIS:
        yield from _axes(node, name, place)
    if name in SHAPING:
        yield from _shaped(node, site, around)
    if name == "pad" and "value" not in given:
        yield 1.6, "constant", _with(node, value=-torch.inf)
    for number in range(len(node.args) - 1):
        args = list(node.args)
        args[number], args[number + 1] = args[number + 1], args[number]
        yield 1.2, "order", like(node, args=args)
    if len(node.args) > 1:
        yield 1.6, "dropped", like(node, args=node.args[:-1])
    if name == "range" and node.args:
        yield from _range(node)


def _with(node: ast.Call, **values: Any) -> ast.Call:
    """The call with more keywords."""
    added = [
        made(ast.keyword(name, parse('float("-inf")', node) if value == -torch.inf else constant(value, node)), node)
        for name, value in values.items()
    ]
    return like(node, keywords=[*node.keywords, *added])


def _shaped(node: ast.Call, site: Site, around: Surroundings) -> Iterator[New]:
    """x.reshape(a, b).permute(1, 0) as x.reshape(y.shape)."""
    base: ast.expr | None = node
    while isinstance(base, ast.Call) and called(base) in SHAPING:
        base = inner_of(base)
    if base is not None:
        for _, shape in around.choices(site, "s"):
            call = made(ast.Call(made(ast.Attribute(base, "reshape", ast.Load()), node), [shape], []), node)
            yield 1.7, "call", call
    if called(node) == "permute" and 2 <= len(node.args) <= 4:
        for order in itertools.permutations(range(len(node.args))):
            yield 1.3, "order", like(node, args=[constant(axis, node) for axis in order])


def _axes(node: ast.Call, name: str, place: int) -> Iterator[New]:
    """Another axis, none, or several."""
    given = node.args[place] if len(node.args) > place else None
    keywords = [keyword for keyword in node.keywords if keyword.arg not in ("dim", "axis")]
    named = next((keyword.value for keyword in node.keywords if keyword.arg in ("dim", "axis")), None)
    shown = given or named
    now = ast.unparse(shown) if shown else ""
    keepdim = any(keyword.arg == "keepdim" for keyword in node.keywords)
    for text in AXES:
        if text == now:
            continue
        several = text.startswith("(")
        other = like(node, args=[*node.args[:place], parse(text, node), *node.args[place + 1 :]], keywords=keywords)
        yield 1.0 if now and not several else 1.4 if now else 1.7, "axis", other
        if not now and not keepdim and name in REDUCTIONS and not several:
            yield 1.9, "axis", _with(other, keepdim=True)
    if now and not keepdim and name in ("sum", "mean"):
        yield 1.6, "axis", like(node, args=node.args[:place], keywords=keywords)


def _range(node: ast.Call) -> Iterator[New]:
    end = 0 if len(node.args) == 1 else 1
    for operator in () if _is_shifted(node.args[end]) else SUMS:
        args = list(node.args)
        args[end] = binary(args[end], operator, constant(1, node), args[end])
        yield 1.2, "index", like(node, args=args)


def _constants(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant) and _is_index(site):
        yield from ((1.0, "index", constant(number, node)) for number in (0, 1))
    if not isinstance(node, ast.Constant) or not isinstance(node.value, (bool, int, float)):
        return
    value = node.value
    if isinstance(value, bool):
        yield from ((1.5, "name", parse(atom.text, node)) for atom in around.visible(site, "bool"))
        yield 1.0, "axis" if _keyword_of(site) == "keepdim" else "constant", constant(not value, node)
        return
    if _keyword_of(site) in ("dim", "axis", "start_dim", "end_dim"):
        yield from ((1.0, "axis", constant(other, node)) for other in (0, 1, -1, 2, -2, 3) if other != value)
        return
    kind, cost = "constant", 1.2
    others: list[float] = [value / 2, 2 * value, 1 - value, 1.0, 0.0, 1 / value if value else 1.0, -value]
    if isinstance(value, int):
        kind, cost = ("index", 1.3) if _is_index(site) else ("constant", 1.1)
        others = sorted({value + 1, value - 1, -value, 2 * value, 0, 1, 2}, key=lambda one: abs(one - value))
        others += [] if _is_index(site) or not value else [value / 2, 3 * value]
    for other in dict.fromkeys(others):
        if other != value and not (isinstance(site.parent, ast.UnaryOp) and other in (0, -value)):
            yield cost if other != -value else 1.4, kind, constant(other, node)
    for atom in around.visible(site, *NUMBERS, sizes=True):
        yield 1.7 if atom.plain else 2.2, "name", parse(atom.text, node)


def _defaults(site: Site, around: Surroundings) -> Iterator[New]:
    """The default that torch has for an argument of that name."""
    arguments = site.parent
    names = arguments.kwonlyargs if site.slot.field == "kw_defaults" else arguments.args[-len(arguments.defaults) :]
    name = names[site.slot.place].arg
    if name in around.defaults and isinstance(site.node, ast.Constant) and site.node.value != around.defaults[name]:
        yield 1.0, "default", constant(around.defaults[name], site.node)


def _names(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
        return
    if (isinstance(site.parent, ast.Call) and site.slot.field == "func") or _is_unpacking(site, ast.Name):
        return
    atom = around.kind(node)
    if atom is None:
        return
    kinds = NUMBERS if atom.kind in NUMBERS else ("tensor", "mask") if atom.kind == "tensor" else (atom.kind,)
    for other in around.visible(site, *kinds, sizes=atom.kind in ("int", "scalar")):
        if other.text == atom.text or _returned_call(other, around):
            continue
        same = isinstance(other.value, torch.Tensor) and other.value.shape == getattr(atom.value, "shape", None)
        cost = (1.4 if same or other.kind in NUMBERS else 1.9) + (0.0 if other.plain else 0.4)
        yield cost, "name", parse(other.text, node)
    if atom.kind == "mask":
        yield 1.0, "sign", made(ast.UnaryOp(ast.Invert(), node), node)


def _subscripts(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if isinstance(node, ast.Slice):
        for name in ("lower", "upper", "step"):
            bound = getattr(node, name)
            if bound is None:
                if name != "step":
                    yield from (
                        (1.5, "index", like(node, **{name: constant(number, site.statement)})) for number in (1, -1)
                    )
                continue
            yield 1.3, "index", like(node, **{name: None})
            for operator in () if _is_shifted(bound) else SUMS:
                yield 1.2, "index", like(node, **{name: binary(bound, operator, constant(1, bound), bound)})
    if not isinstance(node, ast.Subscript):
        return
    if isinstance(node.slice, ast.Constant) and isinstance(node.ctx, ast.Load):
        value = around.value_of(node.value)
        if value is not None and value.kind == "tensor":
            for name in ("sum", "mean"):
                function = made(ast.Attribute(node.value, name, ast.Load()), node)
                yield 1.5, "reduction", made(ast.Call(function, [constant(0, node)], []), node)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if len(parts) > 1:
        yield from ((1.5, "order", like(node, slice=other)) for _, other in _swapped(node.slice))
    yield from _negative_stops(node, parts)
    if len(parts) == 2 and isinstance(parts[0], ast.Slice) and not isinstance(parts[1], ast.Slice):
        # g[:, target] means all rows, g[range(len(target)), target] each its own
        rows = parse(f"range(len({ast.unparse(parts[1])}))", node)
        yield 1.1, "index", like(node, slice=like(node.slice, elts=[rows, parts[1]]))


def _swapped(node: Any) -> Iterator[tuple[int, ast.Tuple]]:
    """The tuple with two of its elements exchanged, and how far apart they are."""
    for first, second in itertools.combinations(range(len(node.elts)), 2):
        elements = list(node.elts)
        elements[first], elements[second] = elements[second], elements[first]
        if ast.dump(elements[first]) != ast.dump(elements[second]):
            yield second - first, like(node, elts=elements)


def _negative_stops(node: ast.Subscript, parts: list[ast.expr]) -> Iterator[New]:
    """``x[p:-p]`` is empty for p = 0: ``x[p:x.shape[0] - p]`` is not."""
    new, count = [], 0
    for axis, part in enumerate(parts):
        stop = getattr(part, "upper", None)
        if isinstance(stop, ast.UnaryOp) and isinstance(stop.op, ast.USub):
            size = parse(f"{ast.unparse(node.value)}.shape[{axis}]", stop)
            part = like(part, upper=binary(size, ast.Sub, stop.operand, stop))
            count += 1
        new.append(part)
    if count:
        inside = like(node.slice, elts=new) if isinstance(node.slice, ast.Tuple) else new[0]
        yield 1.0, "index", like(node, slice=inside)


def _tuples(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if not isinstance(node, ast.Tuple) or len(node.elts) < 2 or isinstance(site.parent, ast.Subscript):
        return
    if not (isinstance(node.ctx, ast.Store) and _is_unpacking(site, ast.Call)):
        yield from ((1.1 + 0.1 * distance, "order", other) for distance, other in _swapped(node))


def _statements_changed(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
    if isinstance(target, (ast.Name, ast.Subscript)):
        yield 1.0, "accumulate", made(ast.AugAssign(target, ast.Add(), node.value), node)
    if isinstance(node, ast.AugAssign):
        for old, new in ((ast.Add, ast.Sub), (ast.Sub, ast.Add), (ast.Mult, ast.Div), (ast.Div, ast.Mult)):
            if isinstance(node.op, old):
                yield 1.0, "sign", like(node, op=new())
        yield 1.2, "accumulate", made(ast.Assign([node.target], node.value), node)
        left = parse(ast.unparse(node.target), node.target)
        whole = binary(left, type(node.op), node.value, node)
        yield 1.4, "accumulate", made(ast.Assign([node.target], whole), node)
    cost = (
        1.3 if isinstance(node, (ast.AugAssign, ast.Expr)) and not isinstance(node.value, ast.Constant)
        else 1.6 if isinstance(target, (ast.Name, ast.Subscript, ast.Attribute))
        else 1.5 if isinstance(node, ast.If) and not node.orelse else None
    )  # fmt: skip
    if cost is not None:  # a body must have one statement
        alone = len(getattr(site.parent, site.slot.field)) == 1
        yield cost, "statement", [parse_statement("pass", node)] if alone else []


def _named_wholes(site: Site, around: Surroundings) -> Iterator[New]:
    """A name in place of what was made of it."""
    node = site.node
    if not isinstance(node, (ast.BinOp, ast.Call)) or site.slot.field not in ("args", "value"):
        return
    if not isinstance(site.parent, (ast.Call, ast.Assign, ast.Return, ast.Tuple)):
        return
    whole = around.value_of(node)
    for atom in around.visible(site, whole.kind) if whole is not None else ():
        same = getattr(atom.value, "shape", 0) == getattr(whole.value, "shape", 0)  # type: ignore[union-attr]
        if atom.plain and same and not _returned_call(atom, around):
            yield 1.9, "name", parse(atom.text, node)


# --- several places ---


def _in_parallel(around: Surroundings) -> Iterator[Edit]:
    """The same change at places that are alike: rows and columns, or an expression that is written twice."""
    groups: dict[tuple, list[Site]] = {}
    for site in around.sites:
        if isinstance(site.node, (ast.BinOp, ast.Compare, ast.Call, ast.Slice, ast.Name, ast.UnaryOp, ast.Constant)):
            if isinstance(getattr(site.node, "ctx", None), ast.Store) or isinstance(site.parent, ast.arguments):
                continue
            text = ast.unparse(site.node) if not isinstance(site.node, ast.Slice) else ast.dump(site.node)
            exact = isinstance(site.node, (ast.Name, ast.Constant))
            key = text if exact else _pattern(text)
            groups.setdefault(
                (type(site.node), key, type(site.parent), site.slot.field, exact and id(site.statement)), []
            ).append(site)
    for group in groups.values():
        if not 2 <= len(group) <= 6:
            continue
        for chosen in [group] if len(group) < 4 else [group, *_alike(group)]:
            lists = [around.plain_at(site) for site in chosen]
            if len({len(one) for one in lists}) != 1:
                continue
            for news in zip(*lists, strict=True):
                if len({(cost, kind) for cost, kind, _ in news}) == 1 and not isinstance(news[0][2], list):
                    changes = tuple(Change(s.slot, s.node, new[2]) for s, new in zip(chosen, news, strict=True))
                    yield Edit(news[0][0] + 0.4 + around.extra, news[0][1], around.editable, changes)


def _alike(group: list[Site]) -> list[list[Site]]:
    """Those of a group that stand in one statement."""
    by_statement: dict[int, list[Site]] = {}
    for site in group:
        by_statement.setdefault(id(site.statement), []).append(site)
    return [sites for sites in by_statement.values() if 2 <= len(sites) < len(group)]


def _pattern(text: str) -> str:
    """The text without short names and numbers, which differ between rows and columns."""
    return re.sub(r"\b(\d+|[A-Za-z]{1,2}\d?)\b", "_", text)


def _of_several(around: Surroundings) -> Iterator[Edit]:
    """A stride at all windows of a loop; a name for another in all of a statement."""
    loops = {
        node.target.id for node in ast.walk(around.editable.tree)
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and "range" in ast.unparse(node.iter)
    }  # fmt: skip
    uses: dict[tuple[int, str], list[Site]] = {}
    bare: list[Site] = []
    scaled: list[Slot] = []
    for site in around.sites:
        if isinstance(site.node, ast.Name) and isinstance(site.node.ctx, ast.Load):
            uses.setdefault((id(site.statement), site.node.id), []).append(site)
            if site.node.id in loops and _in_slice(site):
                product = isinstance(site.parent, ast.BinOp) and isinstance(site.parent.op, ast.Mult)
                if product:
                    scaled.append(Slot(site.parent, "right" if site.slot.field == "left" else "left"))
                else:
                    bare.append(site)
    groups = {key: list(of) for kind in (lambda s: 0, lambda s: id(s.statement), lambda s: s.node.id)
              for key, of in itertools.groupby(sorted(bare, key=lambda s: str(kind(s))), kind)}  # fmt: skip
    for scale in [a.text for a in around.atoms if a.kind in ("int", "scalar") and a.plain and a.text.isidentifier()]:
        for group in groups.values():
            yield _everywhere(around, 1.6, "factor", [(s.slot, binary(s.node, ast.Mult, parse(scale, s.node), s.node))
                                                      for s in group])  # fmt: skip
        others = [slot for slot in scaled if isinstance(slot.get(), ast.Name) and slot.get().id != scale]
        if others:
            yield _everywhere(around, 1.5, "name", [(slot, parse(scale, slot.get())) for slot in others])
    for (_, name), group in uses.items():
        atom = around.kind(group[0].node) if len(group) > 1 else None
        for other in around.visible(group[0], atom.kind) if atom is not None else ():
            if other.text != name and other.plain and not _returned_call(other, around):
                yield _everywhere(around, 2.0, "name", [(s.slot, parse(other.text, s.node)) for s in group])


def _everywhere(around: Surroundings, cost: float, kind: str, news: Iterable[tuple[Slot, Node]]) -> Edit:
    changes = tuple(Change(slot, slot.get(), node) for slot, node in news)
    return Edit(cost + around.extra, kind, around.editable, changes)


# --- statements ---


def _moved_statements(around: Surroundings) -> Iterator[Edit]:
    """A statement out of its loop, to before or behind it; and two neighbours exchanged."""
    for site in around.sites:
        if not isinstance(site.node, (ast.Assign, ast.AugAssign, ast.Expr)) or site.slot.place is None:
            continue
        moved = parse_statement(ast.unparse(site.node), site.node)
        gone = Change(site.slot, site.node, [])
        for outside, loop in itertools.pairwise(reversed(site.way[: len(site.way)])):
            outside, loop = loop, outside
            body = next((name for name in ("body", "orelse") if loop in getattr(outside, name, [])), None)
            if isinstance(loop, (ast.For, ast.While, ast.If)) and body is not None and len(loop.body) > 1:
                slot = Slot(outside, body, getattr(outside, body).index(loop))
                for statements in ([moved, loop], [loop, moved]):
                    changes = (gone, Change(slot, loop, statements))
                    yield Edit(1.5 + around.extra, "statement", around.editable, changes)
        siblings = getattr(site.parent, site.slot.field)
        if site.slot.place + 1 < len(siblings):  # past its neighbour
            behind = siblings[site.slot.place + 1]
            if isinstance(behind, (ast.Assign, ast.AugAssign, ast.Expr)):
                change = Change(Slot(site.parent, site.slot.field, site.slot.place + 1), behind, [behind, moved])
                yield Edit(1.7 + around.extra, "statement", around.editable, (gone, change))


def _new_statements(site: Site, around: Surroundings) -> Iterator[New]:
    """A copy before something is changed in place; what is read from the state, but never stored there."""
    node = site.node
    if site.slot.place is None or isinstance(node, ast.FunctionDef):
        return
    target = getattr(node, "target", None) or (node.targets[0] if isinstance(node, ast.Assign) else None)
    changed = target.value if isinstance(target, ast.Subscript) else target if isinstance(node, ast.AugAssign) else None
    if isinstance(changed, ast.Name) and any(a.text == changed.id and a.kind == "tensor" for a in around.atoms):
        yield 1.6, "statement", [parse_statement(f"{changed.id} = {changed.id}.clone()", node), node]
    if isinstance(target, ast.Name) and isinstance(node, ast.Assign):
        stored = {ast.unparse(s.node) for s in around.sites if isinstance(getattr(s.node, "ctx", None), ast.Store)}
        for part in ast.walk(node.value):
            if isinstance(part, (ast.Subscript, ast.Attribute)) and ast.unparse(part).startswith("self."):
                text = ast.unparse(part)
                if text not in stored and not isinstance(getattr(part, "value", None), ast.Call):
                    yield 1.6, "statement", [node, parse_statement(f"{text} = {target.id}", node)]


# --- about sites ---


def _fitting(site: Site) -> set[str]:
    """The kinds of scoped rules that fit a site."""
    node, parent = site.node, site.parent
    if not isinstance(node, ast.expr):
        return set()
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and not isinstance(site.statement, (ast.If, ast.While)):
        return {"mask"} if not isinstance(parent, (ast.If, ast.IfExp, ast.comprehension)) else set()
    if not _is_value(site):
        return set()
    constant, index, negated = isinstance(node, ast.Constant), _is_index(site), isinstance(parent, ast.UnaryOp)
    operator = type(parent.op) if isinstance(parent, ast.BinOp) else None
    on_the_right = site.slot.field == "right"
    found = set()
    if not index and not negated and not site.inside(ast.Compare):
        found |= {"factor"} if operator not in PRODUCTS or (operator is ast.Div and on_the_right) else set()
        found |= {"sign"} if found and isinstance(node, (ast.Name, ast.Call, ast.BinOp)) else set()
    if not negated and not constant and (operator not in SUMS or (operator is ast.Sub and on_the_right)):
        found |= {"shift"} if index else {"summand", "formula"}
    if not constant and not index and not negated:
        found.add("call")
        if operator not in (*SUMS, *PRODUCTS) or isinstance(node, ast.Name):
            found.add("whole")
        if isinstance(parent, (ast.Return, ast.Assign, ast.Tuple)):
            found.add("answer")
    return found


def _is_value(site: Site) -> bool:
    """Whether a number or tensor stands there that could be another."""
    node, parent = site.node, site.parent
    if not isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.BinOp, ast.UnaryOp, ast.Constant,
                             ast.IfExp)):  # fmt: skip
        return False
    if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)) or isinstance(parent, ast.keyword):
        return False
    if isinstance(node, ast.Constant) and not isinstance(node.value, (int, float)):
        return False
    if isinstance(site.statement, (ast.FunctionDef, ast.Import)) or _is_unpacking(site, ast.Name):
        return False
    if isinstance(parent, ast.Call) and site.slot.field == "func":
        return False
    of_value = isinstance(node, (ast.BinOp, ast.Call, ast.Name))
    if isinstance(parent, ast.Attribute) and (not of_value or parent.attr in ("shape", "dtype", "saved_tensors")):
        return False
    if isinstance(node, ast.Attribute) and isinstance(parent, ast.Call) and node.attr in ("shape", "dtype", "device"):
        return False
    return not (isinstance(node, ast.Name) and node.id in ("torch", "math", "np", "F", "self", "ctx"))


def _is_index(site: Site) -> bool:
    """Whether it is an index, an axis or a bound."""
    for outer, inner in itertools.pairwise((*site.way, site.node)):
        if isinstance(outer, ast.Subscript) and inner is outer.slice:
            return True
        if isinstance(outer, ast.Call) and called(outer) == "range":
            return True
    return False


def _in_slice(site: Site) -> bool:
    return site.inside(ast.Slice) or any(isinstance(one, ast.Call) and called(one) == "slice" for one in site.way)


def _is_shifted(node: ast.expr) -> bool:
    """n - 1: to add 1 to it would be the long way round."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, SUMS) and isinstance(node.right, ast.Constant)


def _is_unpacking(site: Site, value: type) -> bool:
    """Whether it is in a statement such as a, b = cache, or a, b = helper(cache)."""
    statement = site.statement
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Tuple)
        and isinstance(statement.value, value)
    )


def _own_call(node: ast.Call) -> bool:
    """Whether a short function of the learner's is called by name, on names alone."""
    return isinstance(node.func, ast.Name) and all(isinstance(one, (ast.Name, ast.Constant)) for one in node.args)


def _keyword_of(site: Site) -> str | None:
    """The keyword whose value it is; for the first argument of a reduction, dim."""
    if isinstance(site.parent, ast.keyword):
        return site.parent.arg
    if isinstance(site.parent, ast.Call) and called(site.parent) in WITH_AXIS and site.slot.field == "args":
        return "dim" if site.slot.place == (0 if is_method(site.parent) else 1) else None
    if isinstance(site.parent, ast.Tuple) and len(site.way) > 1 and isinstance(site.way[-2], ast.Call):
        return "dim" if called(site.way[-2]) in (*WITH_AXIS, "permute", "transpose") else None
    return None


def _returned_call(atom: Atom, around: Surroundings) -> bool:
    """Whether the atom is another call's gradient: to return that would be no repair."""
    for node in ast.walk(around.editable.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Tuple):
            own = around.editable.function.__globals__.get(called(node.value))
            if own is not None and any(getattr(one, "id", None) == atom.text for one in node.targets[0].elts):
                return True
    return False
