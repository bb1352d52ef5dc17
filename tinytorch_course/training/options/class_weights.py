"""How much each class counts in the training loss: ``--class-weights``."""

import torch
from torch import Tensor

from tinytorch_course.data.splits import Dataset
from tinytorch_course.errors import InputError
from tinytorch_course.training.parsing import parse_class_weights


def class_weights(text: str | None, dataset: Dataset) -> Tensor | None:
    """The weight of each class, (K,) in float64; None if all count alike.

    "balanced" is ``N / (K · count of the class)``, by which every class has the same share of the loss of an epoch,
    however many of the N training images are of it.

    Raises:
        InputError: if there is not one number for each class, or a class to be balanced has no training image.

    Source: scikit-learn's compute_class_weight, after King & Zeng (2001), "Logistic regression in rare events data".
    """
    if text is None:
        return None
    classes, given = dataset.classes, parse_class_weights(text)
    if given != "balanced":
        if len(given) != len(classes):
            raise InputError(
                f"--class-weights must be one number for each of the {len(classes)} classes of {dataset.title}, "
                f"but it has {len(given)}: {text!r}"
            )
        return torch.tensor(given, dtype=torch.float64)
    counts = torch.bincount(dataset.train.labels.cpu(), minlength=len(classes)).double()
    absent = [name for name, count in zip(classes, counts.tolist(), strict=True) if count == 0]
    if absent:
        raise InputError(
            f"--class-weights balanced needs training images of every class, and there are none of {', '.join(absent)}"
        )
    return counts.sum() / (len(classes) * counts)
