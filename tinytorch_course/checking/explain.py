"""Where the right formula stands, and what it says: taken from our own source."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

from tinytorch_course import models
from tinytorch_course.checking.cases import tables_by_op
from tinytorch_course.scratch import layers, optimizers, schedules

STEPS = {"sgd": "sgd_step", "adam": "adam_step", "adamw": "adam_step", "rmsprop": "rmsprop_step"}


class Explanation(NamedTuple):
    function: str
    file: str
    line: int
    formula: list[str]  # paragraphs


def explain(kind: str, name: str) -> Explanation:
    """The formula of an op, loss, layer, optimizer, schedule or network."""
    if kind in ("op", "loss"):
        module = tables_by_op()[name].module
        formula = _formula(getattr(module, f"{name}_forward")) or _formula(getattr(module, f"{_base(name)}_forward"))
        return _at(getattr(module, f"{name}_backward"), formula)
    if kind == "optimizer":
        step = getattr(optimizers, STEPS[name])
        return _at(step, _formula(step))
    module = {"layer": layers, "schedule": schedules, "network": models}[kind]
    function = models.find_model(name).build if kind == "network" else getattr(module, name)
    return _at(function, _formula(function))


def _base(name: str) -> str:
    """The op of which a naive or long form is one."""
    return name.removesuffix("_naive").removesuffix("_long")


def _at(function: Callable, formula: list[str]) -> Explanation:
    function = inspect.unwrap(function)
    _, line = inspect.getsourcelines(function)
    return Explanation(function.__name__, inspect.getsourcefile(function), line, formula)


def _formula(function: Callable) -> list[str]:
    """What the docstring says before its arguments, without its markup."""
    text = inspect.getdoc(function) or ""
    for heading in ("\nArgs:", "\nReturns:", "\nSource:"):
        text = text.partition(heading)[0]
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return [paragraph.replace("``", "").replace(":func:", "").replace("`", "") for paragraph in paragraphs if paragraph]
