"""The findings of ``tinytorch compare --out``, read again and drawn for the report."""

import math
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from markupsafe import Markup

from tinytorch_course.errors import InputError
from tinytorch_course.files import read_json
from tinytorch_course.instruments.recording import KINDS, Quantity
from tinytorch_course.lockstep.ties import Ties
from tinytorch_course.lockstep.timeline import Distance, Timeline
from tinytorch_course.report.heatmap import heat_map
from tinytorch_course.report.sources import SEEDS, TIMELINE
from tinytorch_course.report.timeline import GROUPS, error_matrix, short_name, worth_a_row
from tinytorch_course.training.display import percent

Found = TypeVar("Found")


class StepComparison(NamedTuple):
    """A comparison step by step."""

    name: str
    title: str
    verdict: str
    source: dict[str, Any] | None  # the line that made the first tensor out of tolerance
    largest: list[tuple[str, str]]  # the largest relative error of each kind of tensor
    picture: Markup


class SeedComparison(NamedTuple):
    """A comparison of accuracies over seeds."""

    name: str
    title: str
    verdict: str
    rows: list[tuple[str, str, str]]  # seed, from scratch, torch
    mean: tuple[str, str]
    deviation: tuple[str, str]


def read_steps(path: Path, name: str) -> StepComparison:
    """Read the folder of a comparison step by step.

    Raises:
        InputError: if it holds something else.
    """
    return _read(path / TIMELINE, _steps, name)


def read_seeds(path: Path, name: str) -> SeedComparison:
    """Read the folder of a comparison over seeds.

    Raises:
        InputError: if it holds something else.
    """
    return _read(path / SEEDS, _seeds, name)


def _read(path: Path, make: Callable[[dict[str, Any], str], Found], name: str) -> Found:
    try:
        return make(read_json(path), name)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(f"{path} is malformed: it is not a result of `tinytorch compare`") from error


def _steps(found: dict[str, Any], name: str) -> StepComparison:
    timeline = _to_timeline(found["timeline"])
    count = len(timeline.steps)
    divergence = found["divergence"]
    first = divergence and (int(divergence["step"]), Quantity(divergence["kind"], divergence["name"]))
    verdict = _verdict(found, timeline) + _ties(found.get("ties"))
    errors = {kind: float(found["largest_errors"][kind]) for kind in KINDS if kind in found["largest_errors"]}
    return StepComparison(
        name,
        _title(found, f"{count} step{'s' if count > 1 else ''}"),
        verdict[0].upper() + verdict[1:],
        divergence and dict(divergence["source"]),
        [(kind, f"{error:.1e}" if error else "equal") for kind, error in errors.items()],
        _draw(timeline, found["config"]["dtype"], first, verdict),
    )


def _verdict(found: dict[str, Any], timeline: Timeline) -> str:
    """What the comparison came to, in words."""
    divergence = found["divergence"]
    planted = f"With the planted mistake {found['injected']}: " if found["injected"] else ""
    if divergence is not None:
        quantity = Quantity(divergence["kind"], divergence["name"])
        tolerance = found["tolerance"]
        allowed = "which is no rounding" if tolerance is None else f"while {float(tolerance):.0e} is allowed"
        return planted + (
            f"the first tensor out of tolerance is {quantity}, in step {divergence['step']}. Its relative error is "
            f"{float(divergence['relative_error']):.1e}, {allowed}; worst at {divergence['index']}, "
            f"with {divergence['scratch']} from scratch and {divergence['torch']} in torch."
        )
    largest = timeline.largest()
    if largest is None:
        raise ValueError("nothing was compared")
    number, quantity, distance = largest
    allowed = "no tolerance was set" if found["tolerance"] is None else "no tensor was out of tolerance"
    if distance.error == 0:
        return f"{planted}{allowed}, and every tensor of every step is equal bit for bit."
    return f"{planted}{allowed}. The largest relative error, {distance.error:.1e}, is in {quantity}, step {number}."


def _ties(found: dict[str, int] | None) -> str:
    """Of those that were broken differently; folders of older versions do not tell of any."""
    ties = Ties(**{name: int(found[name]) for name in Ties._fields}) if found else Ties()
    return f" There were {ties}." if ties.differ else ""


def _draw(timeline: Timeline, dtype: str, first: tuple[int, Quantity] | None, verdict: str) -> Markup:
    """The divergence timeline: tensors in the order of computation from top to bottom, steps from left to right."""
    tensors = worth_a_row(timeline)
    errors, width = error_matrix(timeline, tensors)
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(errors > 0, np.log10(errors), np.nan)
    low = math.floor(math.log10(torch.finfo(getattr(torch, dtype)).eps))
    return heat_map(
        powers,
        names=[short_name(tensor) for tensor in tensors],
        columns=(0.5, 0.5 + width * errors.shape[1]),
        powers_shown=(low, 0),
        label=f"Divergence timeline of {len(tensors)} tensors over {len(timeline.steps)} steps. {verdict}",
        scale_title="relative error",
        equal=errors == 0,
        groups=[
            (group, len(list(members)))
            for group, members in groupby(tensors, key=lambda quantity: GROUPS[quantity.kind])
        ],
        mark=first and (tensors.index(first[1]), first[0] - 0.5, first[0] - 0.5 + width),
    )


def _to_timeline(document: dict[str, Any]) -> Timeline:
    """The inverse of ``Timeline.to_dict``."""
    tensors = [Quantity(tensor["kind"], tensor["name"]) for tensor in document["tensors"]]
    return Timeline(
        [
            {
                tensor: Distance(float(error), float(ulps))
                for tensor, error, ulps in zip(tensors, *rows, strict=True)
                if error is not None
            }
            for rows in zip(document["relative_error"], document["ulp"], strict=True)
        ]
    )


def _seeds(found: dict[str, Any], name: str) -> SeedComparison:
    difference, error = 100 * found["difference"], 100 * found["standard_error"]
    signed = f"{difference:+.2f}".replace("-", "\N{MINUS SIGN}")
    return SeedComparison(
        name,
        _title(found, f"{len(found['runs'])} seeds of {found['steps']} steps"),
        f"From scratch minus torch: {signed} ± {error:.2f} percentage points (standard error), "
        f"on {found['test_images']:,} test images.",
        [(str(run["seed"]), percent(run["scratch"]), percent(run["torch"])) for run in found["runs"]],
        (percent(found["mean"]["scratch"]), percent(found["mean"]["torch"])),
        (percent(found["standard_deviation"]["scratch"]), percent(found["standard_deviation"]["torch"])),
    )


def _title(found: dict[str, Any], how_long: str) -> str:
    config = found["config"]
    return f"{config['model']} on {config['data']}, {config['dtype']}, {config['optimizer']}, {how_long}"
