"""One network's pictures and tables, ready for the page."""

import math
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from tinytorch_course.report.charts import histogram, number, reliability
from tinytorch_course.report.heatmap import heat_map
from tinytorch_course.report.inside import Example, Flow, Inside, Mistake, Weights
from tinytorch_course.report.tiles import diverging, grey, image, montage, strip, to_uri
from tinytorch_course.report.timeline import with_shared_columns

MOST_FILTERS = 64
MOST_MAPS = 16
MOST_CONFUSIONS = 5


class Picture(NamedTuple):
    """An image of the page."""

    uri: str
    alt: str
    caption: str
    width: int  # in CSS pixels at most


def confusion_rows(inside: Inside) -> list[tuple[str, list[tuple[int, float, bool]]]]:
    """The confusion matrix: a true class, and of each answer its count, its colour's strength, whether it is right."""
    rows = []
    for true, (name, counts) in enumerate(zip(inside.network.classes, inside.scores.confusion.tolist(), strict=True)):
        shares = [count / (sum(counts) or 1) for count in counts]
        # The root lets a rare mistake be seen beside the many that are right.
        cells = [
            (count, share if answer == true else math.sqrt(share), answer == true)
            for answer, (count, share) in enumerate(zip(counts, shares, strict=True))
        ]
        rows.append((name, cells))
    return rows


def confusions(inside: Inside) -> list[str]:
    """The most frequent mistakes, in words."""
    return [f"{true} taken for {answer}: {count:,}" for true, answer, count in inside.scores.mistakes(MOST_CONFUSIONS)]


def mistake_pictures(mistakes: list[Mistake]) -> list[Picture]:
    """Each with its true class and the answer."""
    return [
        Picture(
            to_uri(image(each.pixels.numpy())),
            f"Test image {each.position}: {each.true}, taken for {each.answer}, probability {each.confidence:.3f}",
            f"{each.true} → {each.answer}",
            72,
        )
        for each in mistakes
    ]


def filter_picture(inside: Inside) -> Picture | None:
    """The first layer's weights: in colour where they meet three colour channels, else by sign."""
    if inside.filters is None:
        return None
    weights = inside.filters.detach().double().cpu().numpy()  # (O, C, KH, KW)
    outputs, channels, height, width = weights.shape
    if channels == 3:
        shown = weights[:MOST_FILTERS]
        scale = 2 * np.abs(shown).max(axis=(1, 2, 3), keepdims=True) + 1e-12
        colours = np.rint(255 * (0.5 + shown / scale)).astype(np.uint8).transpose(0, 2, 3, 1)
        tiles = np.concatenate([colours, np.full((*colours.shape[:-1], 1), 255, dtype=np.uint8)], axis=-1)
        what, of = "mid grey is 0, a colour that of the pixels it answers to", outputs
    else:
        shown = weights.reshape(-1, height, width)[:MOST_FILTERS]
        tiles = np.stack([diverging(tile, np.abs(tile).max()) for tile in shown])
        what, of = "orange is positive, blue negative, white 0", outputs * channels
    count = _some(len(shown), of)
    caption = (
        f"{inside.filter_name}: {count} of {height} × {width} weights; {what}. Each is scaled to its largest weight."
    )
    return Picture(to_uri(montage(tiles)), f"The first layer's weights as {len(shown)} small pictures.", caption, 560)


def example_pictures(example: Example) -> tuple[Picture, list[Picture]]:
    """The image, and what each layer made of it."""
    answers = ", ".join(f"{name} ({100 * probability:.1f} %)" for name, probability in example.answers)
    pixels = Picture(
        to_uri(image(example.pixels.numpy())),
        f"Test image {example.position}: {example.true}",
        f"Test image {example.position}: {example.true}. The network says {answers}.",
        112,
    )
    maps = []
    for layer, tensor in example.outputs:
        values = tensor.detach().double().numpy()
        shape = " × ".join(map(str, values.shape))
        shown = values[:MOST_MAPS] if values.ndim == 3 else strip(values)[None]
        largest = float(np.nanmax(np.abs(shown)))
        signed = bool(np.nanmin(shown) < 0)
        colours = (diverging if signed else grey)(shown, largest)
        many = f", {_some(len(shown), len(values))} shown" if values.ndim == 3 and len(shown) < len(values) else ""
        maps.append(
            Picture(
                to_uri(montage(colours, columns=None if len(shown) % 8 else 8)),
                f"Output of {layer}, from {number(float(values.min()))} to {number(float(values.max()))}",
                f"{layer}: {shape}{many}, up to {number(float(values.max()))}"
                + (f", down to {number(float(values.min()))}" if signed else ""),
                340,
            )
        )
    return pixels, maps


def flow_bars(flow: list[Flow]) -> list[tuple[Flow, float]]:
    """The gradient of each layer with a bar's length, from 0 to 1, which is logarithmic."""
    powers = [math.log10(each.norm) if each.norm > 0 else math.nan for each in flow]
    low, high = _whole_powers(np.array(powers))
    return [
        (each, max(0.01, (power - low) / (high - low)) if each.norm > 0 else 0.0)
        for each, power in zip(flow, powers, strict=True)
    ]


def _whole_powers(powers: np.ndarray) -> tuple[int, int]:
    """Two whole numbers between which all are that are not NaN."""
    known = powers[~np.isnan(powers)] if not np.isnan(powers).all() else np.zeros(1)
    low = math.floor(known.min())
    return low, max(math.ceil(known.max()), low + 1)


def gradient_map(norms: dict[str, list[tuple[int, float]]]) -> Markup:
    """The gradients' norms that a run logged: parameters from top to bottom, steps from left to right."""
    steps = sorted({step for rows in norms.values() for step, _ in rows})
    place = {step: column for column, step in enumerate(steps)}
    table = np.full((len(norms), len(steps)), np.nan)
    for row, values in enumerate(norms.values()):
        for step, norm in values:
            table[row, place[step]] = norm
    half = (steps[-1] - steps[0]) / (len(steps) - 1) / 2 if len(steps) > 1 else 0.5  # a step is drawn around its number
    table, _ = with_shared_columns(table)
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(np.isfinite(table) & (table > 0), np.log10(table), np.nan)
    names = list(norms)
    finite = np.where(np.isfinite(table), table, np.nan)
    means = np.zeros(len(names)) if np.isnan(powers).all() else np.nanmean(finite, axis=1)
    label = (
        f"Norm of the gradient of {len(names)} parameters at {len(steps)} steps, from {steps[0]} to {steps[-1]}. "
        f"Largest in the mean: {names[int(np.nanargmax(means))]}; smallest: {names[int(np.nanargmin(means))]}."
    )
    return heat_map(
        powers,
        names=names,
        columns=(steps[0] - half, steps[-1] + half),
        powers_shown=_whole_powers(powers),
        label=label,
        scale_title="norm of the gradient",
        equal=table == 0,
    )


def weight_histogram(weights: Weights) -> tuple[Markup, str]:
    """The picture and its caption."""
    shape = " × ".join(map(str, weights.shape))
    spread = f"mean {number(weights.mean)}, deviation {number(weights.deviation)}"
    label = f"Histogram of {weights.name}: {spread}, from {number(weights.edges[0])} to {number(weights.edges[-1])}"
    return histogram(weights.edges, weights.counts, label=label), f"{shape}; {spread}"


def calibration(inside: Inside) -> tuple[Markup, list[tuple[Any, ...]]]:
    """The reliability diagram, and its bins: begin, end, mean confidence, accuracy, number of answers."""
    found = inside.scores.calibration
    bins = found.bins()
    label = (
        f"Reliability diagram of {inside.scores.count:,} answers: the expected calibration error is "
        f"{100 * found.ece:.2f} percentage points."
    )
    return reliability(bins, label=label), bins


def _some(shown: int, there_are: int) -> str:
    return f"{shown} of {there_are}" if shown < there_are else str(there_are)
