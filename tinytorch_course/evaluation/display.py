"""Scores as a person reads them in a terminal. ASCII only, so that every console can show them."""

import shutil
from collections.abc import Iterator

from tinytorch_course.evaluation.evaluate import Evaluation
from tinytorch_course.evaluation.scores import Scores
from tinytorch_course.training.display import IMPLEMENTATIONS, number, percent

MOST_MISTAKES = 5


def lines(evaluation: Evaluation) -> Iterator[str]:
    """All of it: figures, classes, confusions, calibration."""
    network, scores = evaluation.network, evaluation.scores
    low, high = (f"{100 * bound:.2f}" for bound in scores.interval)
    part = {"test": "test", "val": "validation"}[evaluation.split]
    yield f"{network.model} {IMPLEMENTATIONS[network.impl]}, {network.path}"
    yield f"on {scores.count:,} {part} images of {evaluation.title}"
    yield ""
    yield f"Accuracy      {percent(scores.accuracy):<9} 95 % interval {low} to {high} %"
    yield f"Loss          {number(scores.loss):<9} cross entropy, mean of the images"
    yield f"Calibration   {percent(scores.calibration.ece):<9} expected error: how far confidence is from accuracy"
    yield ""
    yield from class_lines(scores)
    yield ""
    yield from confusion_lines(scores)
    yield ""
    yield from calibration_lines(scores)


def class_lines(scores: Scores) -> Iterator[str]:
    """One line a class, and the two means."""
    means = (scores.macro, "macro average"), (scores.weighted, "weighted average")
    rows = [*((each, each.name) for each in scores.per_class), *means]
    wide = max(len(name) for _, name in rows)
    yield f"{'class':<{wide}}  precision    recall        F1  images"
    for each, name in rows:
        numbers = "  ".join(f"{percent(value):>8}" for value in (each.precision, each.recall, each.f1))
        yield f"{name:<{wide}}   {numbers}  {each.support:>6,}"


def confusion_lines(scores: Scores) -> Iterator[str]:
    """The matrix, where the terminal has room for it, and the commonest mistakes."""
    names = [each.name for each in scores.per_class]
    counts = scores.confusion.tolist()
    label = max(map(len, names))
    cell = max(2, *(len(str(count)) for row in counts for count in row), *(len(name) for name in names)) + 1
    columns = shutil.get_terminal_size().columns
    if label + cell * len(names) + 1 <= columns:
        yield "Confusion matrix: rows are true classes, columns are answers"
        yield " " * (label + 1) + "".join(f"{name:>{cell}}" for name in names)
        for name, row in zip(names, counts, strict=True):
            yield f"{name:<{label}} " + "".join(f"{count or '.':>{cell}}" for count in row)
    else:
        yield f"Confusion: {len(names)} x {len(names)} is too wide for this terminal; --out draws it, --json lists it"
    worst = [f"{true} as {answer} ({count})" for true, answer, count in scores.mistakes(MOST_MISTAKES)]
    yield f"Most frequent mistakes: {', '.join(worst)}" if worst else "No image was misclassified"


def calibration_lines(scores: Scores) -> Iterator[str]:
    """One line for each bin that holds an answer."""
    found = scores.calibration
    yield "Probability of the answer   on average      right   images"
    for low, high, confidence, accuracy, count in found.bins():
        if confidence is not None and accuracy is not None:
            between = f"{100 * low:.1f} to {100 * high:.1f} %"
            yield f"{between:>25}   {percent(confidence):>10}  {percent(accuracy):>9}  {count:>7,}"
