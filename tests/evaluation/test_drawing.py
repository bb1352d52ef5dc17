"""What stands in the pictures, read from the figure before it becomes pixels."""

import numpy as np
import pytest
import torch

from tinytorch_course.evaluation import drawing
from tinytorch_course.evaluation.scores import Calibration, score


@pytest.fixture(autouse=True)
def figures(monkeypatch):
    monkeypatch.setattr(drawing, "to_png", lambda figure: figure)


def test_the_confusion_matrix_has_each_rows_shares_and_the_counts():
    answers, labels = torch.tensor([0, 0, 0, 1, 1, 0]), torch.tensor([0, 0, 0, 0, 1, 2])
    scores = score(torch.eye(3)[answers], labels, ("ant", "bee", "cat"))
    axes, bar = drawing.draw_confusion(scores, title="a test").axes
    (image,) = axes.images
    assert image.get_array().tolist() == [[0.75, 0.25, 0], [0, 1, 0], [1, 0, 0]]
    assert image.get_clim() == (0, 1)
    written = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert written == {
        (0, 0): ("3", "black"),  # dark on light, light on dark
        (1, 0): ("1", "white"),
        (1, 1): ("1", "black"),
        (0, 2): ("1", "black"),
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Answer", "True class")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ant", "bee", "cat"]
    assert bar.get_ylabel() == "share of the true class"


@pytest.mark.parametrize(("name", "rotation"), [("ant", 0), ("ants", 90)])
def test_long_names_stand_upright(name, rotation):
    scores = score(torch.eye(2), torch.tensor([0, 1]), (name, "bee"))
    axes, _ = drawing.draw_confusion(scores, title="a test").axes
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {rotation}


def test_many_classes_have_no_numbers():
    for count, numbers in ((drawing.MOST_NUMBERS, drawing.MOST_NUMBERS), (drawing.MOST_NUMBERS + 1, 0)):
        names = tuple(str(number) for number in range(count))
        axes, _ = drawing.draw_confusion(score(torch.eye(count), torch.arange(count), names), title="a test").axes
        assert len(axes.texts) == numbers


def test_the_reliability_diagram_has_a_bar_for_each_bin_that_holds_images():
    calibration = Calibration((0.0, 0.5, 0.75, 1.0), (None, 0.7, 0.9), (None, 0.5, 0.8), (0, 4, 10), 0.1)
    axes, below = drawing.draw_calibration(calibration, title="a test").axes
    bars = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in axes.patches]
    assert np.allclose(bars, [(0.5, 0.25, 0.5), (0.75, 0.25, 0.8)])
    points, diagonal = axes.lines
    assert np.allclose(points.get_xydata(), [(0.7, 0.5), (0.9, 0.8)])
    assert np.allclose(diagonal.get_xydata(), [(0, 0), (1, 1)])
    assert [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in below.patches] == [
        (0.0, 0.5, 0),
        (0.5, 0.25, 4),
        (0.75, 0.25, 10),
    ]
    assert axes.get_ylim() == (0, 1)
    assert below.get_ylim()[0] == 0
