"""Pictures of a comparison, as PNG files in memory."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure  # not pyplot: no window system, and no state shared with the caller
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import AutoLocator

from tinytorch_course.evaluation.drawing import to_png
from tinytorch_course.instruments.recording import Quantity
from tinytorch_course.lockstep.timeline import Timeline

# Cividis keeps its order for every kind of colour vision, and in grey. Vermilion is Okabe and Ito's.
COLORS = "cividis"
EQUAL, ALARM = "#d9d9d9", "#D55E00"
SCRATCH_STYLE: dict[str, Any] = {"color": "#0072B2", "marker": "o", "label": "from scratch"}
TORCH_STYLE: dict[str, Any] = {"color": "#D55E00", "marker": "s", "label": "torch"}

MOST_COLUMNS = 600  # more steps than that share a column, which shows the largest of their errors
MOST_NAMES = 150  # more tensors than that cannot all be named
GROUPS = {
    "activation": "outputs",
    "loss": "loss",
    "output gradient": "gradients",
    "gradient": "gradients",
    "update gradient": "given to the\noptimizer",
    "rate": "rate",
    "moment": "moments",
    "parameter": "parameters",
    "statistic": "running\nstatistics",
    "evaluation": "evaluation",
}


def draw_timeline(timeline: Timeline, *, title: str, digits: float, first: tuple[int, Quantity] | None = None) -> bytes:
    """The divergence timeline: step against tensor, coloured by the logarithm of the relative error.

    Args:
        timeline: of at least one step.
        title: of the picture.
        digits: the relative precision of the numbers (torch.finfo's eps), where the colours begin.
        first: step and quantity of the first tensor out of tolerance, to be marked.
    """
    tensors = worth_a_row(timeline)
    errors, width = error_matrix(timeline, tensors)
    figure = Figure(figsize=(10, min(2.5 + 0.13 * len(tensors), 40)), dpi=120, layout="constrained")
    axes = figure.subplots()
    place: dict[str, Any] = {
        "aspect": "auto",
        "interpolation": "nearest",
        "extent": (0.5, 0.5 + width * errors.shape[1], len(tensors) - 0.5, -0.5),
    }
    axes.imshow(np.where(errors == 0, 0.0, np.nan), cmap=ListedColormap([EQUAL]), **place)
    with np.errstate(divide="ignore"):
        logarithms = np.ma.masked_where(~(errors > 0), np.log10(errors))
    image = axes.imshow(logarithms, cmap=COLORS, vmin=math.floor(math.log10(digits)), vmax=0, **place)
    figure.colorbar(image, label="log10 of the relative error", extend="both", pad=0.02, shrink=0.6)

    handles = [
        Patch(color=EQUAL, label="equal bit for bit"),
        Patch(facecolor="white", edgecolor="0.5", label="not computed in this step"),
    ]
    if first is not None:
        step, quantity = first
        axes.add_patch(
            Rectangle((step - 0.5, tensors.index(quantity) - 0.5), width, 1, fill=False, edgecolor=ALARM, linewidth=2)
        )
        handles.append(Patch(facecolor="white", edgecolor=ALARM, label=f"first out of tolerance: {quantity}"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    _name_rows(axes, tensors)
    axes.set_xlim(0.5, len(timeline.steps) + 0.5)
    axes.set_xlabel("Step")
    whole_numbers = AutoLocator()
    whole_numbers.set_params(integer=True, min_n_ticks=1)
    axes.xaxis.set_major_locator(whole_numbers)
    figure.suptitle(title)
    return to_png(figure)


def draw_seeds(accuracies: Mapping[str, Sequence[float]], seeds: Sequence[int], *, title: str) -> bytes:
    """The accuracies that both implementations reached from each seed, with mean and deviation beside them.

    Args:
        accuracies: "scratch" and "torch", one number from 0 to 1 for each seed.
        seeds: their names.
        title: of the picture.
    """
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(seeds))
    for shift, (impl, style) in zip((-0.08, 0.08), (("scratch", SCRATCH_STYLE), ("torch", TORCH_STYLE)), strict=True):
        percent = 100 * np.asarray(accuracies[impl])
        axes.plot(places + shift, percent, linestyle="none", **style)
        place, marked = len(seeds) + 0.3 + 2 * shift, {name: style[name] for name in ("color", "marker")}
        axes.errorbar(place, percent.mean(), percent.std(ddof=1), capsize=5, **marked)
    axes.axvline(len(seeds) - 0.4, color="0.7", linewidth=0.8)
    axes.set_xticks([*places, len(seeds) + 0.3], [*map(str, seeds), "mean, deviation"])
    axes.set_xlabel("Seed")
    axes.set_ylabel("Test accuracy (%)")
    axes.grid(alpha=0.3, axis="y")
    axes.legend()
    figure.suptitle(title)
    return to_png(figure)


def worth_a_row(timeline: Timeline) -> list[Quantity]:
    """All quantities but counters of steps that count alike."""

    def counts_alike(quantity: Quantity) -> bool:
        is_counter = quantity.name.startswith("step of ") or quantity.name.endswith("num_batches_tracked")
        return is_counter and not any(step[quantity].error for step in timeline.steps if quantity in step)

    return [quantity for quantity in timeline.quantities() if not counts_alike(quantity)]


def error_matrix(timeline: Timeline, tensors: list[Quantity]) -> tuple[np.ndarray, int]:
    """Errors by tensor and step, NaN where there is none, infinite ones as 1e300; and how many steps share a column."""
    errors = np.full((len(tensors), len(timeline.steps)), np.nan)
    row = {quantity: number for number, quantity in enumerate(tensors)}
    for column, step in enumerate(timeline.steps):
        for quantity, distance in step.items():
            if quantity in row:
                errors[row[quantity], column] = min(distance.error, 1e300)
    return with_shared_columns(errors)


def with_shared_columns(table: np.ndarray) -> tuple[np.ndarray, int]:
    """(R, steps) with at most :data:`MOST_COLUMNS` columns, each the largest of its steps; and how many those are."""
    rows, steps = table.shape
    width = math.ceil(steps / MOST_COLUMNS)
    padded = np.full((rows, math.ceil(steps / width) * width), np.nan)
    padded[:, :steps] = table
    return np.fmax.reduce(padded.reshape(rows, -1, width), axis=2), width


def _name_rows(axes: Axes, tensors: list[Quantity]) -> None:
    """The tensors' names on the left, the groups' on the right, lines between the groups."""
    every = math.ceil(len(tensors) / MOST_NAMES)
    named = range(0, len(tensors), every)
    axes.set_yticks(named, [short_name(tensors[row]) for row in named], fontsize=6)
    groups = axes.twinx()
    groups.set_ylim(axes.get_ylim())
    middles, names, begin = [], [], 0
    for name, members in groupby(tensors, key=lambda quantity: GROUPS[quantity.kind]):
        end = begin + len(list(members))
        middles.append((begin + end - 1) / 2)
        names.append(name)
        axes.axhline(end - 0.5, color="black", linewidth=0.6)
        begin = end
    groups.set_yticks(middles, names, fontsize=8)
    groups.tick_params(length=0)


def short_name(quantity: Quantity) -> str:
    """What a row is called whose group says the kind."""
    return f"{quantity.name} (output)" if quantity.kind == "output gradient" else quantity.name or quantity.kind
