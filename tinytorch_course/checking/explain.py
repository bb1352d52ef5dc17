"""Where the right formula stands, and what it says: taken from our own source."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

from tinytorch_course import models
from tinytorch_course.checking.ops import find_op
from tinytorch_course.scratch import layers, optimizers, schedules


class Explanation(NamedTuple):
    """A formula, and where it stands."""

    function: str
    file: str
    line: int
    formula: list[str]  # paragraphs


def explain(kind: str, name: str) -> Explanation:
    """The formula of an op, loss, layer, optimizer, schedule or network."""
    if kind in ("op", "loss"):
        op = find_op(name)
        return _at(op.backward, _formula(op.forward) or _formula(find_op(_base(name)).forward))
    if kind == "optimizer":
        step = _step(name)
        return _at(step, _formula(step))
    module = {"layer": layers, "schedule": schedules, "network": models}[kind]
    function = models.find_model(name).build if kind == "network" else getattr(module, name)
    return _at(function, _formula(function))


def _step(optimizer: str) -> Callable:
    """The function with its whole formula: its own, or that of the optimizer of which it is a variant (AdamW's)."""
    steps = [name for name in vars(optimizers) if name.endswith("_step") and not name.startswith("_")]
    own = max((step for step in steps if optimizer.startswith(step.removesuffix("_step"))), key=len, default=optimizer)
    return getattr(optimizers, own)


def _base(name: str) -> str:
    """The op of which a naive or long form is one."""
    return name.removesuffix("_naive").removesuffix("_long")


def _at(function: Callable, formula: list[str]) -> Explanation:
    function = inspect.unwrap(function)
    lines, line = inspect.getsourcelines(function)
    line += next(number for number, text in enumerate(lines) if text.startswith("def "))  # after its decorators
    return Explanation(function.__name__, inspect.getfile(function), line, formula)


def _formula(function: Callable) -> list[str]:
    """What the docstring says before its arguments, without its markup."""
    text = inspect.getdoc(function) or ""
    for heading in ("\nArgs:", "\nReturns:", "\nRaises:", "\nSource:"):
        text = text.partition(heading)[0]
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return [paragraph.replace("``", "").replace(":func:", "").replace("`", "") for paragraph in paragraphs if paragraph]
