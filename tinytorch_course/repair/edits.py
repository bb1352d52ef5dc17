"""The edits that are tried: small changes of one place, each with what it costs in a reader's eyes.

``plain`` edits change what is there (a sign, an axis, a name, brackets); ``inserting`` ones add what is in scope. A low
cost stands for a likely slip of the pen, a high one for what somebody would rarely mean.
"""

import ast
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch

from tinytorch_course.repair.nodes import (
    Site,
    binary,
    constant,
    like,
    made,
    method,
    negative,
    parse,
    parse_statement,
    sites,
    wrapped,
)
from tinytorch_course.repair.scope import Atom, atoms_of, evaluated, sizes_of
from tinytorch_course.repair.source import Change, Editable, Node, Slot

NEIGHBOURS = (
    ("sum", "mean"),
    ("max", "min"),
    ("amax", "amin"),
    ("argmax", "argmin"),
    ("maximum", "minimum"),
    ("clamp_min", "clamp_max"),
    ("exp", "log", "expm1", "log1p"),
    ("sin", "cos"),
    ("tanh", "sigmoid"),
    ("softmax", "log_softmax"),
    ("sqrt", "rsqrt", "square"),
    ("abs", "sign", "square"),
    ("floor", "ceil"),
    ("zeros_like", "ones_like"),
    ("zeros", "ones"),
    ("scatter_", "scatter_add_", "index_add_"),
    ("copy_", "add_", "sub_"),
    ("mul", "div"),
    ("mul_", "div_"),
    ("add", "sub"),
    ("any", "all"),
    ("var", "std"),
    ("cumsum", "cumprod"),
)
NEXT_TO = {name: [other for other in group if other != name] for group in NEIGHBOURS for name in group}
REDUCTIONS = ("sum", "mean", "amax", "amin", "max", "min", "var", "std", "prod", "logsumexp")
WITH_AXIS = (*REDUCTIONS, "softmax", "log_softmax", "argmax", "argmin", "cumsum", "flip", "cat", "stack", "norm")
FUNCTIONS = ("exp", "log", "sqrt", "abs", "sign", "sigmoid", "tanh", "square")
COMPARISONS = (ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq)
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


class Surroundings:
    """A function's sites and what is in scope there."""

    def __init__(self, editable: Editable, relevant: Callable[[ast.stmt], bool], *, behind: bool, elsewhere: list[str]):
        self.editable = editable
        self.sites = [site for site in sites(editable.tree) if relevant(site.statement)]
        self.atoms = atoms_of(editable, elsewhere)
        self.sizes = sizes_of(self.atoms)
        self.axes = [a.text for a in self.atoms if a.text in ("dim", "axis", "ax", "d")] or ["0", "-1"]
        self.known: dict[str, Atom | None] = {}
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
        if isinstance(node, ast.Call) and (_called(node) in ("len", "numel", "size", "sum") or _own_call(node)):
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
        return Edit(cost + self.extra, kind, self.editable, (Change(site.slot, site.node, node),))


def plain_edits(around: Surroundings) -> Iterator[Edit]:
    """Changes of what is there."""
    for site in around.sites:
        if isinstance(site.slot.parent, ast.arguments):
            yield from (around.edit(site, (cost + 0.5, "default", new)) for cost, _, new in _of_constant(site, around))
            continue
        for new in _plain(site, around):
            yield around.edit(site, new)
    yield from _in_parallel(around)
    yield from _of_several(around)
    yield from _moved_statements(around)


def inserting_edits(around: Surroundings) -> Iterator[Edit]:
    """Changes that add what is in scope."""
    for site in around.sites:
        if isinstance(site.node, ast.expr) and _is_value(site):
            for new in itertools.chain(_factors(site, around), _summands(site, around), _calls_around(site, around)):
                yield around.edit(site, new)
        elif isinstance(site.node, ast.stmt):
            for new in _new_statements(site, around):
                yield around.edit(site, new)


def _plain(site: Site, around: Surroundings) -> Iterator[New]:
    for maker in (
        _of_operators,
        _of_calls,
        _of_constant,
        _of_names,
        _of_subscripts,
        _of_order,
        _of_statement,
        _hoisted,
    ):
        yield from maker(site, around)


# --- what is there ---


def _of_operators(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if isinstance(node, ast.UnaryOp):
        if isinstance(node.operand, ast.Constant) and isinstance(node.op, ast.USub) and _is_index(site):
            yield from ((1.0, "index", constant(number, node)) for number in (0, 1))
        if isinstance(node.op, (ast.USub, ast.Invert, ast.Not)):
            yield 1.0, "sign", node.operand
        return
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for operator in COMPARISONS:
            if type(node.ops[0]) is not operator:
                yield 1.0, "comparison", like(node, ops=[operator()])
        return
    if isinstance(node, ast.AugAssign):
        for old, new in ((ast.Add, ast.Sub), (ast.Mult, ast.Div)):
            if type(node.op) in (old, new):
                yield 1.0, "sign", like(node, op=new() if type(node.op) is old else old())
        return
    in_product = isinstance(node, ast.BinOp) and isinstance(node.op, (*SUMS, *PRODUCTS)) and _under(site, PRODUCTS)
    if isinstance(node, (ast.Name, ast.Call, ast.BinOp)) and _is_value(site) and not _is_index(site) and not in_product:
        yield 1.3, "sign", negative(node)
    if not isinstance(node, ast.BinOp):
        return
    left, operator, right = node.left, type(node.op), node.right
    for other in {
        ast.Add: (ast.Sub, ast.Mult),
        ast.Sub: (ast.Add, ast.Mult),
        ast.Mult: (ast.Div, ast.Add, ast.Sub),
        ast.Div: (ast.Mult,),
        ast.FloorDiv: (ast.Div,),
        ast.Pow: (ast.Mult,),
        ast.MatMult: (ast.Mult,),
        ast.Mod: (ast.FloorDiv,),
        ast.BitAnd: (ast.BitOr,),
        ast.BitOr: (ast.BitAnd,),
    }.get(operator, ()):
        sign = {operator, other} <= set(SUMS)
        yield 1.0 if sign else 1.5, "sign" if sign else "operator", binary(left, other, right, node)
    yield 1.2, "dropped", left
    if operator in (ast.Sub, ast.Div):
        yield (
            1.4,
            "dropped",
            negative(right) if operator is ast.Sub else binary(constant(1, node), ast.Div, right, node),
        )
    if operator is not ast.Pow:
        yield 1.2 if operator not in (ast.Sub, ast.Div) else 1.8, "dropped", right
    if operator in (ast.Sub, ast.Div, ast.MatMult, ast.Pow):
        yield 1.1, "order", binary(right, operator, left, node)
    yield from _brackets(node)


def _brackets(node: ast.BinOp) -> Iterator[New]:
    """(a b) c as a (b c), and the reverse; sqrt(v) + eps as sqrt(v + eps), and the reverse."""
    left, right, operator = node.left, node.right, type(node.op)
    if isinstance(left, ast.BinOp) and (type(left.op) is not operator or operator in (ast.Sub, ast.Div, ast.Pow)):
        inner = binary(left.right, operator, right, node)
        yield 1.2, "brackets", binary(left.left, type(left.op), inner, node)
    if isinstance(right, ast.BinOp):
        inner = binary(left, operator, right.left, node)
        yield 1.2, "brackets", binary(inner, type(right.op), right.right, node)
    if operator in (*SUMS, *PRODUCTS):
        if isinstance(left, ast.Call) and left.args and not _is_method(left):
            inner = binary(left.args[0], operator, right, node)
            yield 1.2, "brackets", like(left, args=[inner, *left.args[1:]])
        elif isinstance(left, ast.Call) and isinstance(left.func, ast.Attribute):
            inner = binary(left.func.value, operator, right, node)
            yield 1.2, "brackets", like(left, func=like(left.func, value=inner))
        if isinstance(left, ast.UnaryOp):
            yield 1.2, "brackets", like(left, operand=binary(left.operand, operator, right, node))
        elif isinstance(left, ast.BinOp) and isinstance(left.op, ast.Pow):
            yield 1.2, "brackets", binary(binary(left.left, operator, right, node), ast.Pow, left.right, node)
    if operator is ast.Pow and isinstance(left, ast.BinOp):
        yield 1.2, "brackets", binary(left.left, type(left.op), binary(left.right, ast.Pow, right, node), node)


def _of_calls(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield 1.0, "order", node.value
    if not isinstance(node, ast.Call):
        return
    name = _called(node)
    inner = _inner(node)
    if inner is not None:
        yield 1.3, "dropped", inner
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, (*SUMS, *PRODUCTS)):  # f(a + b) as f(a) + b
            for part, other in (("left", inner.right), ("right", inner.left)):
                call = _with_inner(node, getattr(inner, part))
                pair = (call, other) if part == "left" else (other, call)
                yield 1.2, "brackets", binary(pair[0], type(inner.op), pair[1], node)
    for other in NEXT_TO.get(name, ()):
        yield 1.1, "reduction", like(node, func=_renamed(node.func, other))
    keywords = {keyword.arg: keyword for keyword in node.keywords}
    for keyword in node.keywords:
        yield 1.4, "dropped", like(node, keywords=[one for one in node.keywords if one is not keyword])
    if name in REDUCTIONS:
        if "keepdim" not in keywords and (node.args or keywords):
            yield 1.2, "axis", like(node, keywords=[*node.keywords, _keyword("keepdim", True, node)])
        if name in ("var", "std"):
            yield (
                1.1,
                "constant",
                like(
                    node,
                    keywords=[
                        *(k for k in node.keywords if k.arg not in ("unbiased", "correction")),
                        _keyword("unbiased", False, node),
                    ],
                ),
            )
    if name in WITH_AXIS:
        yield from _axes(node, name)
    if name in ("reshape", "view", "permute", "transpose", "flatten"):
        yield from _shaped(node, site, around)
    if name == "pad" and "value" not in keywords:
        infinite = made(ast.keyword("value", parse('float("-inf")', node)), node)
        yield 1.6, "constant", like(node, keywords=[*node.keywords, infinite])
    if len(node.args) > 1:
        for number in range(len(node.args) - 1):
            args = list(node.args)
            args[number], args[number + 1] = args[number + 1], args[number]
            yield 1.2, "order", like(node, args=args)
        yield 1.6, "dropped", like(node, args=node.args[:-1])
        if name == "where" and len(node.args) == 3:
            for kept in node.args[1:]:
                yield 1.6, "dropped", kept


def _shaped(node: ast.Call, site: Site, around: Surroundings) -> Iterator[New]:
    """x.reshape(a, b).permute(1, 0) as x.reshape(y.shape)."""
    base = node
    while isinstance(base, ast.Call) and _called(base) in ("reshape", "view", "permute", "transpose", "flatten"):
        base = _inner(base)
        if base is None:
            return
    for atom in around.visible(site, "tensor", "tuple"):
        shape = atom.text if atom.kind == "tuple" else f"{atom.text}.shape"
        if atom.plain:
            yield 1.7, "call", method(base, f".reshape({shape})")
    if _called(node) == "permute" and 2 <= len(node.args) <= 4:
        for order in itertools.permutations(range(len(node.args))):
            yield 1.3, "order", like(node, args=[constant(axis, node) for axis in order])


def _axes(node: ast.Call, name: str) -> Iterator[New]:
    """Another axis, none, or several."""
    is_method = _is_method(node)
    place = 0 if is_method else 1
    given = node.args[place] if len(node.args) > place else None
    keywords = [keyword for keyword in node.keywords if keyword.arg not in ("dim", "axis")]
    kept = node.args[:place]
    now = (
        ast.unparse(given)
        if given is not None
        else next((ast.unparse(k.value) for k in node.keywords if k.arg in ("dim", "axis")), "")
    )
    keepdim = any(keyword.arg == "keepdim" for keyword in node.keywords)
    for text in ("0", "1", "-1", "2", "(0, 1)", "(0, 2)", "(1, 2)", "(0, 2, 3)", "(2, 3)", "(1, 2, 3)"):
        if text == now:
            continue
        axis = parse(text, node)
        likely = 1.0 if now and not text.startswith("(") else 1.4 if now else 1.7
        yield likely, "axis", like(node, args=[*kept, axis, *node.args[place + 1 :]], keywords=keywords)
        if not now and not keepdim and name in REDUCTIONS and not text.startswith("("):
            kept_axis = _keyword("keepdim", True, node)
            yield 1.9, "axis", like(node, args=[*kept, axis], keywords=[*keywords, kept_axis])
    if now and not keepdim and name in ("sum", "mean"):
        yield 1.6, "axis", like(node, args=kept, keywords=keywords)


def _of_constant(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if not isinstance(node, ast.Constant) or isinstance(node.value, (str, bytes, type(None), type(...))):
        return
    value = node.value
    if isinstance(value, bool):
        for atom in around.visible(site, "bool"):
            yield 1.5, "name", parse(atom.text, node)
        yield 1.0, "axis" if _keyword_of(site) == "keepdim" else "constant", constant(not value, node)
        return
    if isinstance(value, int):
        if _keyword_of(site) in ("dim", "axis", "start_dim", "end_dim"):
            others = [axis for axis in (0, 1, -1, 2, -2, 3) if axis != value]
            yield from ((1.0, "axis", constant(other, node)) for other in others)
            return
        others = {value + 1, value - 1, -value, 2 * value, 0, 1, 2} - {value}
        if isinstance(site.parent, ast.UnaryOp):
            others -= {0, -value}
        kind, cost = ("index", 1.3) if _is_index(site) else ("constant", 1.1)
        for other in sorted(others, key=lambda one: abs(one - value)):
            yield cost if other != -value else 1.4, kind, constant(other, node)
        if not _is_index(site) and value:
            yield from ((1.3, kind, constant(other, node)) for other in (value / 2, 3 * value))
    elif isinstance(value, float):
        others = [value / 2, 2 * value, 1 - value, 1.0, 0.0, *([1 / value] if value else []), -value]
        yield from ((1.2, "constant", constant(other, node)) for other in dict.fromkeys(others) if other != value)
    for atom in around.visible(site, "int", "float", "scalar", sizes=True):
        yield 1.7 if atom.plain else 2.2, "name", parse(atom.text, node)


def _of_names(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
        return
    if (isinstance(site.parent, ast.Call) and site.slot.field == "func") or _is_unpacked_call(site, around):
        return
    atom = around.kind(node)
    if atom is None:
        return
    numbers = ("int", "float", "scalar")
    kinds = numbers if atom.kind in numbers else ("tensor", "mask") if atom.kind == "tensor" else (atom.kind,)
    for other in around.visible(site, *kinds, sizes=atom.kind in ("int", "scalar")):
        if other.text == atom.text or _returned_call(other, site, around):
            continue
        same = isinstance(other.value, torch.Tensor) and other.value.shape == getattr(atom.value, "shape", None)
        cost = (1.4 if same or other.kind in numbers else 1.9) + (0.0 if other.plain else 0.4)
        yield cost, "name", parse(other.text, node)
    if atom.kind == "mask":
        yield 1.0, "sign", made(ast.UnaryOp(ast.Invert(), node), node)


def _of_subscripts(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if isinstance(node, ast.Slice):
        for name in ("lower", "upper", "step"):
            bound = getattr(node, name)
            if bound is None:
                if name != "step":
                    yield from (
                        ((1.5, "index", like(node, **{name: constant(number, site.statement)})) for number in (1, -1))
                        if _has_place(site)
                        else ()
                    )
                continue
            yield 1.3, "index", like(node, **{name: None})
            for operator in () if _is_shifted(bound) else SUMS:
                yield 1.2, "index", like(node, **{name: binary(bound, operator, constant(1, bound), bound)})
        if node.lower is None and node.upper is None and not _has_place(site):
            return
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.ctx, ast.Load):
        value = around.value_of(node.value)
        if value is not None and value.kind == "tensor":
            yield 1.5, "reduction", method(node.value, ".sum(0)")
            yield 1.6, "reduction", method(node.value, ".mean(0)")
    if isinstance(node, ast.Subscript) and isinstance(node.slice, (ast.Tuple, ast.Slice)):
        if isinstance(node.slice, ast.Tuple):
            for first, second in itertools.combinations(range(len(node.slice.elts)), 2):
                elements = list(node.slice.elts)
                elements[first], elements[second] = elements[second], elements[first]
                if ast.dump(elements[first]) != ast.dump(elements[second]):
                    yield 1.5, "order", like(node, slice=like(node.slice, elts=elements))
        yield from _negative_stops(node)
        yield from _fancy_rows(node, around, site)
    if isinstance(node, ast.Call) and _called(node) == "range" and node.args:
        end = 0 if len(node.args) == 1 else 1
        for operator in () if _is_shifted(node.args[end]) else SUMS:
            args = list(node.args)
            args[end] = binary(args[end], operator, constant(1, node), args[end])
            yield 1.2, "index", like(node, args=args)


def _negative_stops(node: ast.Subscript) -> Iterator[New]:
    """``x[p:-p]`` is empty for p = 0: ``x[p:x.shape[0] - p]`` is not."""
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
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


def _fancy_rows(node: ast.Subscript, around: Surroundings, site: Site) -> Iterator[New]:
    """``g[:, target]`` means all rows: ``g[range(len(target)), target]`` each its own."""
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
    if len(parts) == 2 and isinstance(parts[0], ast.Slice) and not isinstance(parts[1], ast.Slice):
        rows = parse(f"range(len({ast.unparse(parts[1])}))", node)
        yield 1.1, "index", like(node, slice=like(node.slice, elts=[rows, parts[1]]))


def _of_order(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if isinstance(node, ast.Tuple) and len(node.elts) > 1:
        if isinstance(site.parent, ast.Subscript):
            return  # see _of_subscripts
        unpacked = isinstance(node.ctx, ast.Store)
        if unpacked and isinstance(site.statement, ast.Assign) and isinstance(site.statement.value, ast.Call):
            return
        for first, second in itertools.combinations(range(len(node.elts)), 2):
            elements = list(node.elts)
            elements[first], elements[second] = elements[second], elements[first]
            yield 1.1 + 0.1 * (second - first), "order", like(node, elts=elements)
    elif isinstance(node, ast.IfExp):
        yield 1.2, "order", like(node, body=node.orelse, orelse=node.body)
        yield 1.5, "dropped", node.body
        yield 1.5, "dropped", node.orelse


def _of_statement(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], (ast.Name, ast.Subscript))
    ):
        yield 1.0, "accumulate", made(ast.AugAssign(node.targets[0], ast.Add(), node.value), node)
    if isinstance(node, ast.AugAssign):
        target = node.target
        yield 1.2, "accumulate", made(ast.Assign([target], node.value), node)
        left = parse(ast.unparse(target), target)
        yield 1.4, "accumulate", made(ast.Assign([target], binary(left, type(node.op), node.value, node)), node)
    if isinstance(node, (ast.AugAssign, ast.Expr)) and not isinstance(getattr(node, "value", None), ast.Constant):
        yield 1.3, "statement", _nothing(site)
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Name, ast.Subscript, ast.Attribute)):
        yield 1.6, "statement", _nothing(site)
    if isinstance(node, ast.If) and not node.orelse:
        yield 1.5, "statement", _nothing(site)


def _nothing(site: Site) -> list[ast.stmt]:
    """In place of a statement; a body must have one."""
    alone = len(getattr(site.parent, site.slot.field)) == 1
    return [parse_statement("pass", site.node)] if alone else []


def _hoisted(site: Site, around: Surroundings) -> Iterator[New]:
    """A part of an expression in place of the whole; or a name in place of what was made of it."""
    node = site.node
    if not isinstance(node, (ast.BinOp, ast.Call, ast.Tuple)) or isinstance(getattr(node, "ctx", None), ast.Store):
        return
    if isinstance(node, ast.BinOp):
        for child in (node.left, node.right):
            child = child.operand if isinstance(child, ast.UnaryOp) else child
            if isinstance(child, ast.BinOp):
                yield 1.5, "dropped", child.left
                yield 1.5, "dropped", child.right
            elif isinstance(child, ast.Call) and _inner(child) is not None:
                yield 1.7, "dropped", _inner(child)
    if isinstance(site.parent, (ast.Call, ast.Assign, ast.Return)) and site.slot.field in ("args", "value"):
        whole = around.value_of(node)
        if whole is None:
            return
        for atom in around.visible(site, whole.kind):
            same = getattr(atom.value, "shape", 0) == getattr(whole.value, "shape", 0)
            if atom.plain and same and not _returned_call(atom, site, around):
                yield 1.9, "name", parse(atom.text, node)


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
        choices = [group] if len(group) < 4 else [group, *_alike(group)]
        for chosen in choices:
            lists = [list(_plain(site, around)) for site in chosen]
            if len({len(one) for one in lists}) != 1:
                continue
            for news in zip(*lists, strict=True):
                if len({(cost, kind) for cost, kind, _ in news}) == 1 and not isinstance(news[0][2], list):
                    changes = tuple(Change(s.slot, s.node, new[2]) for s, new in zip(chosen, news, strict=True))
                    yield Edit(news[0][0] + 0.5 + around.extra, news[0][1], around.editable, changes)


def _alike(group: list[Site]) -> list[list[Site]]:
    """Those of a group that stand in one statement."""
    by_statement: dict[int, list[Site]] = {}
    for site in group:
        by_statement.setdefault(id(site.statement), []).append(site)
    return [sites for sites in by_statement.values() if 2 <= len(sites) < len(group)]


def _pattern(text: str) -> str:
    """The text without short names and numbers, which differ between rows and columns."""
    return re.sub(r"\b(\d+|[A-Za-z]{1,2}\d?)\b", "_", text)


def _moved_statements(around: Surroundings) -> Iterator[Edit]:
    """A statement out of its loop, to before or behind it; and two neighbours exchanged."""
    for site in around.sites:
        if not isinstance(site.node, (ast.Assign, ast.AugAssign, ast.Expr)) or site.slot.place is None:
            continue
        moved = _again(site.node)
        gone = Change(site.slot, site.node, [])
        for depth in range(len(site.way) - 1, 0, -1):
            loop, outside = site.way[depth], site.way[depth - 1]
            if not isinstance(loop, (ast.For, ast.While, ast.If)):
                continue
            body = next((name for name in ("body", "orelse") if loop in getattr(outside, name, [])), None)
            if body is None:
                continue
            slot = Slot(outside, body, getattr(outside, body).index(loop))
            if len(loop.body) == 1:
                continue
            for statements in ([moved, loop], [loop, moved]):
                changes = (gone, Change(slot, loop, statements))
                yield Edit(1.5 + around.extra, "statement", around.editable, changes)
        siblings = getattr(site.parent, site.slot.field)
        if site.slot.place + 1 < len(siblings):  # past its neighbour
            behind = siblings[site.slot.place + 1]
            if isinstance(behind, (ast.Assign, ast.AugAssign, ast.Expr)):
                change = Change(Slot(site.parent, site.slot.field, site.slot.place + 1), behind, [behind, moved])
                yield Edit(1.7 + around.extra, "statement", around.editable, (gone, change))


def _again(node: ast.stmt) -> ast.stmt:
    return parse_statement(ast.unparse(node), node)


def _of_several(around: Surroundings) -> Iterator[Edit]:
    """One idea at several places: a stride in all windows, a name for another throughout a statement."""
    scales = [
        atom for atom in around.atoms if atom.kind in ("int", "scalar") and atom.plain and atom.text.isidentifier()
    ]
    loops = {
        node.target.id for node in ast.walk(around.editable.tree)
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and "range" in ast.unparse(node.iter)
    }  # fmt: skip
    places = [
        site
        for site in around.sites
        if isinstance(site.node, ast.Name)
        and site.node.id in loops
        and isinstance(site.node.ctx, ast.Load)
        and site.inside(ast.Slice, ast.Call)
        and _in_slice(site)
    ]
    bare = [site for site in places if not _under(site, (ast.Mult,))]
    scaled = [site for site in places if _under(site, (ast.Mult,))]
    for scale in scales:
        groups = [
            bare,
            *([site for site in bare if site.statement is statement] for statement in _statements(bare)),
            *([site for site in bare if site.node.id == name] for name in sorted({s.node.id for s in bare})),
        ]
        for group in groups:
            if group:
                changes = tuple(
                    Change(s.slot, s.node, binary(s.node, ast.Mult, parse(scale.text, s.node), s.node)) for s in group
                )
                yield Edit(1.6 + around.extra, "factor", around.editable, changes)
        factors = [(site.parent, "right" if site.slot.field == "left" else "left") for site in scaled]
        changes = tuple(
            Change(Slot(parent, name), getattr(parent, name), parse(scale.text, parent))
            for parent, name in factors
            if isinstance(getattr(parent, name), ast.Name) and getattr(parent, name).id != scale.text
        )
        if changes:
            yield Edit(1.5 + around.extra, "name", around.editable, changes)
    yield from _names_throughout(around)


def _names_throughout(around: Surroundings) -> Iterator[Edit]:
    """Each name for another in all of a statement."""
    for statement in _statements(around.sites):
        uses: dict[str, list[Site]] = {}
        for site in around.sites:
            if site.statement is statement and isinstance(site.node, ast.Name) and isinstance(site.node.ctx, ast.Load):
                uses.setdefault(site.node.id, []).append(site)
        for name, group in uses.items():
            atom = around.kind(group[0].node)
            if len(group) < 2 or atom is None:
                continue
            for other in around.visible(group[0], atom.kind):
                if other.text != name and other.plain and not _returned_call(other, group[0], around):
                    changes = tuple(Change(s.slot, s.node, parse(other.text, s.node)) for s in group)
                    yield Edit(2.0 + around.extra, "name", around.editable, changes)


def _statements(places: Iterable[Site]) -> list[ast.stmt]:
    return list({id(site.statement): site.statement for site in places}.values())


# --- what is in scope ---


def _factors(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if _under(site, PRODUCTS) and not (isinstance(site.parent.op, ast.Div) and site.slot.field == "right"):
        return
    if isinstance(site.parent, ast.UnaryOp) or _is_index(site) or site.inside(ast.Compare):
        return
    for number in (2, 0.5):
        yield 1.5, "factor", binary(constant(number, node), ast.Mult, node, node)
    for atom in around.visible(site, "tensor", "scalar", "mask", "float", "int", sizes=True):
        if not _can_be_factor(atom, node):
            continue
        other = parse(atom.text, node)
        cost = 1.8 if atom.plain else 2.3
        if atom.kind == "mask":
            yield cost, "factor", binary(node, ast.Mult, other, node)
            yield cost + 0.2, "factor", binary(node, ast.Mult, made(ast.UnaryOp(ast.Invert(), other), node), node)
            continue
        number = atom.kind in ("int", "scalar", "float")
        yield cost, "factor", binary(node, ast.Mult, other, node)
        yield cost + (0.0 if number else 0.4), "factor", binary(node, ast.Div, other, node)
        if atom.plain and atom.kind != "int":
            rest = parse(f"1 - {atom.text}", node)
            yield cost + 0.4, "factor", binary(node, ast.Mult, rest, node)
            yield cost + 0.5, "factor", binary(node, ast.Div, rest, node)
            square = parse(f"1 - {atom.text} ** 2", node)
            yield cost + 0.6, "factor", binary(node, ast.Mult, square, node)
        if (
            atom.plain
            or (number and not atom.text.endswith(("]", ")")))
            or (atom.kind == "int" and "shape" not in atom.text)
        ):
            yield cost + 0.3, "factor", binary(node, ast.Div, parse(f"{atom.text} ** 2", node), node)
            yield cost + 0.5, "factor", binary(node, ast.Mult, parse(f"{atom.text} ** 2", node), node)
        if atom.kind == "int" and atom.plain:
            yield cost + 0.5, "factor", binary(node, ast.Div, parse(f"{atom.text} - 1", node), node)
        if atom.kind == "tensor" and atom.plain and atom.text.isidentifier():
            for axis in around.axes:
                text = f"{atom.text}.sum({axis}, keepdim=True)"
                yield cost + 0.6, "factor", binary(node, ast.Mult, parse(text, node), node)
            for text in (
                f"{atom.text}.abs()",
                f"torch.sign({atom.text})",
                f"torch.exp({atom.text})",
                f"{atom.text}.sum()",
                f"({atom.text} > 0)",
                f"{atom.text}.unsqueeze(-1)",
                f"{atom.text}[:, None]",
            ):
                yield cost + 0.7, "factor", binary(node, ast.Mult, parse(text, node), node)


def _summands(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if _under(site, SUMS) and not (isinstance(site.parent.op, ast.Sub) and site.slot.field == "right"):
        return
    if isinstance(site.parent, ast.UnaryOp):
        return
    numbers = _is_index(site)
    if isinstance(node, ast.Constant):
        return
    for number in (1, 0.5) if not numbers else (1,):
        yield 1.6, "summand", binary(node, ast.Add, constant(number, node), node)
        yield 1.6, "summand", binary(node, ast.Sub, constant(number, node), node)
    if not numbers:
        yield 1.7, "summand", binary(constant(1, node), ast.Sub, node, node)
    kinds = ("int",) if numbers else ("tensor", "scalar", "float", "mask")
    for atom in around.visible(site, *kinds):
        if not _can_be_factor(atom, node):
            continue
        cost = 1.5 if "eps" in atom.text else 2.0 if atom.plain else 2.5
        for operator in SUMS:
            yield cost, "summand", binary(node, operator, parse(atom.text, node), node)


def _calls_around(site: Site, around: Surroundings) -> Iterator[New]:
    node = site.node
    if isinstance(node, ast.Constant) or _is_index(site) or isinstance(site.parent, ast.UnaryOp):
        return
    outermost = not isinstance(site.parent, ast.BinOp) or not isinstance(site.parent.op, (*SUMS, *PRODUCTS))
    for name in FUNCTIONS:
        yield 1.8, "call", wrapped(f"torch.{name}", node)
    yield 1.8, "call", binary(node, ast.Pow, constant(2, node), node)
    yield 2.0, "call", binary(node, ast.Pow, constant(3, node), node)
    yield 2.0, "call", binary(constant(1, node), ast.Div, node, node)
    yield 1.9, "call", wrapped("torch.log_softmax", node, ", 1")
    yield 1.9, "call", wrapped("torch.softmax", node, ", 1")
    for axis in ("0", "1", "-1"):
        yield 1.7, "call", method(node, f".sum({axis}, keepdim=True)")
        yield 2.0, "call", method(node, f".mean({axis}, keepdim=True)")
        yield 1.8 if outermost else 2.0, "call", method(node, f".sum({axis})")
    for axis in around.axes:
        if axis.isidentifier():
            yield 1.7, "call", method(node, f".sum({axis}, keepdim=True)")
    if outermost or isinstance(node, ast.Name):
        for text in (
            ".T",
            ".transpose(-1, -2)",
            ".flip(2, 3)",
            ".flip(-1)",
            ".sum((0, 2, 3))",
            ".sum((0, 2))",
            ".sum((2, 3))",
            "[:, None]",
            "[..., None]",
            ".unsqueeze(-1)",
            ".clone()",
            ".transpose(2, 3)",
        ):
            yield 1.7, "call", method(node, text)
    if outermost:
        for atom in around.visible(site, "tensor", "tuple"):
            if not atom.plain and atom.kind == "tensor":
                continue
            shape = atom.text if atom.kind == "tuple" else f"{atom.text}.shape"
            for text in ("reshape", "sum_to_size", "expand"):
                yield 1.9, "call", method(node, f".{text}({shape})")


def _new_statements(site: Site, around: Surroundings) -> Iterator[New]:
    """A copy before something is changed in place."""
    node = site.node
    if site.slot.place is None or isinstance(node, ast.FunctionDef):
        return
    target = (
        node.target if isinstance(node, ast.AugAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    if (isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name)) or isinstance(node, ast.AugAssign):
        name = target.value.id if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) else None
        name = target.id if isinstance(target, ast.Name) else name
        atom = next((one for one in around.atoms if one.text == name), None)
        if atom is not None and atom.kind == "tensor":
            yield 1.6, "statement", [parse_statement(f"{name} = {name}.clone()", node), node]


# --- about sites ---


def _is_value(site: Site) -> bool:
    """Whether a number or tensor stands there that could be another."""
    node, parent = site.node, site.parent
    if isinstance(node, (ast.Slice, ast.Tuple, ast.Starred, ast.Lambda, ast.GeneratorExp, ast.List, ast.Dict)):
        return False
    if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)) or isinstance(parent, ast.keyword):
        return False
    if isinstance(node, ast.Constant) and not isinstance(node.value, (int, float)):
        return False
    if isinstance(node, (ast.Compare, ast.BoolOp)) or isinstance(site.statement, (ast.FunctionDef, ast.Import)):
        return False
    if isinstance(parent, ast.Call) and site.slot.field == "func":
        return False
    if isinstance(parent, ast.Attribute) and not isinstance(node, (ast.BinOp, ast.Call, ast.Name)):
        return False
    if isinstance(parent, ast.Attribute) and parent.attr in ("shape", "dtype", "device", "saved_tensors"):
        return False
    if isinstance(node, ast.Attribute) and isinstance(parent, ast.Call) and node.attr in ("shape", "dtype"):
        return False
    if (
        isinstance(node, ast.Name)
        and isinstance(site.statement, ast.Assign)
        and site.statement.value is node
        and (isinstance(site.statement.targets[0], ast.Tuple))
    ):
        return False  # the cache, unpacked
    return not (isinstance(node, ast.Name) and node.id in ("torch", "math", "np", "F", "self", "ctx"))


def _is_index(site: Site) -> bool:
    """Whether it is an index, an axis or a bound."""
    way = [*site.way, site.node]
    for outer, inner in itertools.pairwise(way):
        if isinstance(outer, ast.Subscript) and inner is outer.slice:
            return True
        if isinstance(outer, ast.Call) and _called(outer) == "range":
            return True
    return False


def _in_slice(site: Site) -> bool:
    return site.inside(ast.Slice) or any(isinstance(one, ast.Call) and _called(one) == "slice" for one in site.way)


def _is_shifted(node: ast.expr) -> bool:
    """n - 1: to add 1 to it would be the long way round."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, SUMS) and isinstance(node.right, ast.Constant)


def _has_place(site: Site) -> bool:
    return isinstance(site.node, ast.Slice)


def _under(site: Site, operators: tuple) -> bool:
    return isinstance(site.parent, ast.BinOp) and isinstance(site.parent.op, operators)


def _can_be_factor(atom: Atom, node: ast.AST) -> bool:
    """A size that happens to be 0 or 1 says nothing."""
    return atom.plain or not isinstance(atom.value, int) or atom.value not in (0, 1)


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _is_method(node: ast.Call) -> bool:
    """x.sum(...), not torch.sum(x, ...)."""
    return isinstance(node.func, ast.Attribute) and not (
        isinstance(node.func.value, ast.Name) and node.func.value.id in ("torch", "math", "np", "F")
    )


def _inner(node: ast.Call) -> ast.expr | None:
    if isinstance(node.func, ast.Attribute) and _is_method(node):
        return node.func.value
    return node.args[0] if node.args and not isinstance(node.args[0], ast.Starred) else None


def _with_inner(node: ast.Call, inner: ast.expr) -> ast.Call:
    if _is_method(node):
        return like(node, func=like(node.func, value=inner))
    return like(node, args=[inner, *node.args[1:]])


def _own_call(node: ast.Call) -> bool:
    """Whether a short function of the learner's is called by name, on names alone."""
    return isinstance(node.func, ast.Name) and all(
        isinstance(argument, (ast.Name, ast.Constant)) for argument in node.args
    )


def _renamed(function: ast.expr, name: str) -> ast.expr:
    return like(function, attr=name) if isinstance(function, ast.Attribute) else like(function, id=name)


def _keyword(name: str, value: object, node: ast.AST) -> ast.keyword:
    return made(ast.keyword(name, constant(value, node)), node)


def _keyword_of(site: Site) -> str | None:
    """The keyword whose value it is; for the first argument of a reduction, dim."""
    if isinstance(site.parent, ast.keyword):
        return site.parent.arg
    if isinstance(site.parent, ast.Call) and _called(site.parent) in WITH_AXIS and site.slot.field == "args":
        return "dim" if site.slot.place == (0 if _is_method(site.parent) else 1) else None
    if isinstance(site.parent, ast.Tuple) and len(site.way) > 1 and isinstance(site.way[-2], ast.Call):
        return "dim" if _called(site.way[-2]) in (*WITH_AXIS, "permute", "transpose") else None
    return None


def _is_unpacked_call(site: Site, around: Surroundings) -> bool:
    """Whether it is only handed on: dx, _, _ = helper(dout, cache)."""
    return (
        isinstance(site.statement, ast.Assign)
        and isinstance(site.statement.targets[0], ast.Tuple)
        and (isinstance(site.statement.value, ast.Name))
    )


def _returned_call(atom: Atom, site: Site, around: Surroundings) -> bool:
    """Whether the atom is another call's gradient: to return that would be no repair."""
    for node in ast.walk(around.editable.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Tuple):
            called = around.editable.function.__globals__.get(_called(node.value))
            if called is not None and any(getattr(one, "id", None) == atom.text for one in node.targets[0].elts):
                return True
    return False
