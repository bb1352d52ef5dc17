from types import SimpleNamespace

import numpy
import pytest
import torch

from tinytorch_course.data.splits import Split
from tinytorch_course.errors import InputError
from tinytorch_course.training.options.class_weights import class_weights

sklearn = pytest.importorskip("sklearn.utils.class_weight")
LABELS = torch.tensor([0, 2, 2, 1, 2, 0, 2, 2])


def dataset(labels=LABELS, classes=("a", "b", "c")):
    return SimpleNamespace(title="Letters", classes=classes, train=Split(torch.empty(len(labels)), labels))


def test_without_the_flag_all_count_alike():
    assert class_weights(None, dataset()) is None


def test_balanced_weights_are_those_of_scikit_learn():
    expected = sklearn.compute_class_weight("balanced", classes=numpy.arange(3), y=LABELS.numpy())
    weights = class_weights("balanced", dataset())
    torch.testing.assert_close(weights, torch.from_numpy(expected))
    # Every class has the same share of an epoch's loss.
    torch.testing.assert_close(weights * torch.bincount(LABELS), torch.full((3,), 8 / 3, dtype=torch.float64))


def test_weights_of_ones_own():
    assert class_weights("1, 2.5,1e-3", dataset()).tolist() == [1.0, 2.5, 0.001]


def test_wrong_numbers_of_weights_and_absent_classes_are_refused():
    with pytest.raises(InputError, match="one number for each of the 3 classes of Letters, but it has 2: '1,2'"):
        class_weights("1,2", dataset())
    with pytest.raises(InputError, match="training images of every class, and there are none of c, e"):
        class_weights("balanced", dataset(torch.tensor([0, 1, 3]), classes=tuple("abcde")))
