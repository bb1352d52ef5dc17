"""What a search for a repair is given: the learner's functions, and probes that say what is right."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.checking.case_tables import optimizers
from tinytorch_course.checking.cases import Case, draw
from tinytorch_course.checking.ops import find_op
from tinytorch_course.checking.optimizers import Ours, flattened
from tinytorch_course.checking.optimizers import is_plain as is_plain_run
from tinytorch_course.grading.adapters import LARGE
from tinytorch_course.grading.forms import fit, is_plain
from tinytorch_course.grading.optimizers import starter, strange_keywords
from tinytorch_course.grading.pairs import DoesNotFit, Pair
from tinytorch_course.repair import Subject
from tinytorch_course.repair.truth import GradientProbe, RunProbe, gradient_probe, other_shapes

STEPS = 12  # of an optimizer


def subject_of_pair(
    pair: Pair,
    roots: tuple[list[Any], list[Any]],
    folder: Path,
    *,
    like: str | None,
    shapes: list[list[int]] | None = None,
    twin: Callable[..., Tensor] | None = None,
    seed: int = 0,
) -> Subject:
    """A forward and a backward, to be repaired."""
    parameters = list(pair.signature.parameters)

    def probes(number: int) -> list[GradientProbe]:
        drawn = seed + 1000 * number
        if shapes is None:
            return _like(pair, like or "", drawn)
        return _of_shapes(pair, shapes, like, twin, drawn, several=number > 0)

    def label(quantity: int | str) -> str:
        return quantity if isinstance(quantity, str) else f"d{(pair.labels or parameters)[quantity]}"

    return Subject(*roots, folder, probes, label)


def _like(pair: Pair, op: str, seed: int) -> list[GradientProbe]:
    row, found = find_op(op), []
    for case in row.cases:
        fitted = fit(pair, case, row)
        if isinstance(fitted, str) or not is_plain(case, row):
            continue
        inputs = row.draw(fitted, seed=seed)
        if sum(x.numel() for x in inputs if isinstance(x, Tensor)) > LARGE:
            continue
        run, constant = (pair.forward, pair.backward), (*row.constant, *pair.constant)
        with contextlib.suppress(DoesNotFit):
            found.append(gradient_probe(str(case), run, inputs, fitted.kwargs, row.twin, constant=constant, seed=seed))
    return [probe for probe in found if probe is not None]


def _of_shapes(pair: Pair, shapes, op: str | None, twin, seed: int, *, several: bool) -> list[GradientProbe]:
    found = []
    for number, ones in enumerate([shapes, *other_shapes(shapes)]):
        for scale in (1.0, 3.0) if not number else (1.0,):
            drawn = seed + 10 * number + int(scale)
            case = Case(tuple(tuple(shape) for shape in ones), op=op or pair.name)
            fitted = case if op is None else fit(pair, case, find_op(op))
            if isinstance(fitted, str):
                continue
            inputs = tuple(x * scale if isinstance(x, Tensor) else x for x in draw(fitted.inputs, seed=drawn))
            truth = twin if op is None else find_op(op).twin
            try:
                probe = gradient_probe(
                    str(case), (pair.forward, pair.backward), inputs, fitted.kwargs, truth, seed=drawn
                )
            except Exception:  # shapes that do not go together
                continue
            if probe is not None:
                probe.optional = number > 0
                found.append(probe)
    return found


def subject_of_optimizer(learners: Any, folder: Path, op: str, seed: int = 0) -> Subject:
    """An optimizer, to be repaired."""

    def probes(number: int) -> list[RunProbe]:
        start = starter(learners)
        return [
            _run_probe(case, start, seed + number)
            for case in optimizers.cases_of(op)
            if is_plain_run(case) and not strange_keywords(learners, case)
        ]

    twin = inspect.signature(optimizers.OPTIMIZERS[op].twin).parameters
    defaults = {name: one.default for name, one in twin.items() if isinstance(one.default, (int, float))}
    return Subject([learners], [], folder, probes, lambda quantity: "the parameters", defaults)


def _run_probe(case: Any, start: Callable, seed: int) -> RunProbe:
    steps = min(case.steps, STEPS)
    params = optimizers.draw_params("cpu", seed)
    params = {name: param.to(torch.float64) for name, param in params.items()}
    all_grads = list(optimizers.draw_grads(case, steps, "cpu", seed))

    def run(begin: Callable) -> Iterator[Tensor]:
        work = begin(case, {name: param.clone() for name, param in params.items()})
        for step, grads in enumerate(all_grads):
            work.update({name: None if g is None else g.clone() for name, g in grads.items()}, step)
            yield flattened(work.params).clone()

    return RunProbe(str(case), functools.partial(run, start), list(run(Ours)))
