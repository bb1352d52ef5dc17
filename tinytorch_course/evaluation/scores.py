"""The scores of a classifier on labelled images.

Legend: N images, K classes, B bins of confidence.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor

from tinytorch_course.errors import InputError
from tinytorch_course.training.metrics import wilson_interval

BINS = 15  # as in Guo et al.


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """How well one class was told from the others, or a mean over classes. All numbers but support from 0 to 1."""

    name: str
    precision: float  # of the images called this class, the share that is; 0 where none was
    recall: float  # of the images of this class, the share that was called so; 0 where there is none
    f1: float  # the harmonic mean of both
    support: int  # images of this class


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Whether a network that says "90 %" is right nine times out of ten."""

    edges: tuple[float, ...]  # B + 1 numbers from 0 to 1; a bin holds its upper edge
    confidence: tuple[float | None, ...]  # the mean probability of the answers in each bin; None where there is none
    accuracy: tuple[float | None, ...]  # the share of them that is right
    count: tuple[int, ...]  # how many there are
    ece: float  # the expected calibration error: the mean of |accuracy - confidence|, bins weighted by their count

    def bins(self) -> list[tuple[float, float, float | None, float | None, int]]:
        """Lower and upper edge, mean confidence, accuracy and count of each bin."""
        return list(zip(self.edges, self.edges[1:], self.confidence, self.accuracy, self.count, strict=False))


@dataclasses.dataclass(frozen=True)
class Scores:
    """All that :func:`score` finds."""

    accuracy: float  # from 0 to 1
    interval: tuple[float, float]  # where the true accuracy lies, 95 %
    count: int  # N
    loss: float  # cross entropy in nats, the mean of the images
    per_class: tuple[ClassScore, ...]
    macro: ClassScore  # every class that occurs counts alike
    weighted: ClassScore  # every image counts alike
    confusion: Tensor  # (K, K), int64: row the true class, column the answer
    calibration: Calibration

    def mistakes(self, most: int) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: true class, answer, and how often; fewer than ``most`` if there are no more."""
        names = [each.name for each in self.per_class]
        found = [
            (names[true], names[answer], int(self.confusion[true, answer]))
            for true, answer in self.confusion.nonzero().tolist()
            if true != answer
        ]
        return sorted(found, key=lambda mistake: -mistake[2])[:most]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts, for JSON."""
        return dataclasses.asdict(self) | {"confusion": self.confusion.tolist()}


def score(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> Scores:
    """The scores of a network's answers.

    The loss is the mean of ``-log softmax(logits)[label]``. A class's precision is TP / (TP + FP), its recall
    TP / (TP + FN), its F1 2 TP / (2 TP + FP + FN), each 0 where that is 0 / 0; a class that is neither among the labels
    nor among the answers does not count in the means.

    Args:
        logits: (N, K), floating point, before any softmax.
        labels: (N,), int64, positions in ``classes``.
        classes: the K names.

    Raises:
        ValueError: if the shapes do not fit, a label is no position, or there is no image.
        InputError: if a logit is NaN or infinite.
    """
    _check(logits, labels, classes)
    log_probabilities = logits.double().log_softmax(dim=1)
    loss = -log_probabilities.gather(1, labels[:, None]).mean()
    confidence, answers = log_probabilities.exp().max(dim=1)
    right = answers == labels
    correct, count = int(right.sum()), len(labels)

    positions = list(range(len(classes)))
    per_class = zip(*precision_recall_fscore_support(labels, answers, labels=positions, zero_division=0), strict=True)
    return Scores(
        accuracy=correct / count,
        interval=wilson_interval(correct, count),
        count=count,
        loss=float(loss),
        per_class=tuple(
            ClassScore(name, float(precision), float(recall), float(f1), int(support))
            for name, (precision, recall, f1, support) in zip(classes, per_class, strict=True)
        ),
        macro=_mean(labels, answers, "macro"),
        weighted=_mean(labels, answers, "weighted"),
        confusion=torch.from_numpy(confusion_matrix(labels, answers, labels=positions)).long(),
        calibration=calibrate(confidence, right),
    )


def calibrate(confidence: Tensor, right: Tensor, bins: int = BINS) -> Calibration:
    """Answers sorted into bins of equal width by their probability: ``(b - 1) / B < confidence <= b / B``.

    ``ece = Σ_b count_b / N · |accuracy_b - confidence_b|``.

    Args:
        confidence: (N,), the probability of each answer, from 0 to 1.
        right: (N,), bool.
        bins: B.

    Source: Guo, Pleiss, Sun, Weinberger (2017), "On calibration of modern neural networks", section 2.
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    confidence = confidence.double()
    place = torch.bucketize(confidence, edges[1:-1])  # right=False: an edge belongs to the bin below it
    count = torch.bincount(place, minlength=bins)
    confidence_sum = torch.bincount(place, weights=confidence, minlength=bins)
    right_sum = torch.bincount(place, weights=right.double(), minlength=bins)

    def means(sums: Tensor) -> tuple[float | None, ...]:
        return tuple(float(total) / int(held) if held else None for total, held in zip(sums, count, strict=True))

    ece = float((right_sum - confidence_sum).abs().sum()) / len(confidence)
    return Calibration(
        tuple(edges.tolist()), means(confidence_sum), means(right_sum), tuple(map(int, count.tolist())), ece
    )


def _mean(labels: Tensor, answers: Tensor, kind: str) -> ClassScore:
    precision, recall, f1, _ = precision_recall_fscore_support(labels, answers, average=kind, zero_division=0)
    return ClassScore(kind, float(precision), float(recall), float(f1), len(labels))


def _check(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    if logits.dim() != 2 or logits.shape != (len(labels), len(classes)) or labels.dim() != 1:
        raise ValueError(
            f"logits must be (N, {len(classes)}) and labels (N,), but they are {tuple(logits.shape)} "
            f"and {tuple(labels.shape)}"
        )
    if not len(labels):
        raise ValueError("there is no image to score")
    if not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise ValueError(
            f"labels must be from 0 to {len(classes) - 1}, but they go from {labels.min()} to {labels.max()}"
        )
    if not logits.isfinite().all():
        raise InputError("the network's answers are not finite numbers, so there is nothing to score")
