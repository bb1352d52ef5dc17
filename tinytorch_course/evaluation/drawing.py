"""Scores as pictures: PNG files in memory."""

import io

import numpy as np
from matplotlib.figure import Figure  # not pyplot: no window system, and no state shared with the caller

from tinytorch_course.evaluation.scores import Calibration, Scores

MOST_NUMBERS = 30  # classes up to which each cell has its number
BARS, GAP = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermilion


def draw_confusion(scores: Scores, *, title: str) -> bytes:
    """The confusion matrix. Colours show each row's shares, so that rare classes are seen as well; numbers count."""
    names = [each.name for each in scores.per_class]
    counts = scores.confusion.numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(5.0, 0.55 * len(names) + 2.0), 18.0)
    figure = Figure(figsize=(side + 1, side), dpi=120, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    if len(names) <= MOST_NUMBERS:
        for row, col in np.argwhere(counts > 0):
            color = "black" if shares[row, col] > 0.5 else "white"
            axes.text(col, row, f"{counts[row, col]}", ha="center", va="center", color=color, fontsize=8)
    upright = max(map(len, names)) > 3
    axes.set_xticks(range(len(names)), names, rotation=90 if upright else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("Answer")
    axes.set_ylabel("True class")
    figure.suptitle(title)
    return to_png(figure)


def draw_calibration(calibration: Calibration, *, title: str) -> bytes:
    """The reliability diagram: how often answers of each confidence are right, and how many there are."""
    figure = Figure(figsize=(6, 6), dpi=120, layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    low, high = np.array(calibration.edges[:-1]), np.array(calibration.edges[1:])
    held = np.array(calibration.count) > 0
    accuracy = np.array(calibration.accuracy, dtype=float)[held]
    confidence = np.array(calibration.confidence, dtype=float)[held]
    axes.bar(low[held], accuracy, (high - low)[held], align="edge", color=BARS, edgecolor="white", label="right")
    axes.plot(confidence, accuracy, "o", color=GAP, label="at the mean confidence")
    axes.plot([0, 1], [0, 1], "--", color="0.4", label="as often as said")
    axes.set_ylim(0, 1)
    axes.set_ylabel("Share that is right")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    below.bar(low, calibration.count, high - low, align="edge", color="0.6", edgecolor="white")
    below.set_yscale("symlog")
    below.set_ylim(bottom=0)
    below.set_xlim(0, 1)
    below.set_xlabel("Probability that the network gives its answer")
    below.set_ylabel("Images")
    figure.suptitle(f"{title}\nexpected calibration error {100 * calibration.ece:.2f} %")
    return to_png(figure)


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
