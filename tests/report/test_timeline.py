import io
import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from tinytorch_course.instruments.recording import KINDS, Quantity
from tinytorch_course.lockstep.timeline import Distance, Timeline
from tinytorch_course.report import timeline as pictures
from tinytorch_course.report.timeline import draw_seeds, draw_timeline

STEP_COUNT = Quantity("moment", "step of fc.weight")


def timeline(steps=3):
    """Every kind once, with errors of every sort."""
    errors = [0.0, 1e-17, 1e-9, 0.5, 30.0, math.inf]
    quantities = [Quantity(kind, "fc") for kind in KINDS]
    found = Timeline(
        [
            {each: Distance(errors[(row + step) % 6], 1.0) for row, each in enumerate(quantities)}
            | {STEP_COUNT: Distance(0.0, 0.0)}
            for step in range(steps)
        ]
    )
    for step in found.steps[1:]:
        del step[quantities[-1]]  # evaluation, of the first step alone
    return found


def pixels(png):
    image = imread(io.BytesIO(png), format="png")
    return (255 * image[..., :3]).round().astype(int)


def has_color(png, color):
    wanted = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    return (np.abs(pixels(png) - wanted).max(axis=-1) <= 2).any()


@pytest.mark.parametrize("steps", [1, 3, 1301])
def test_a_timeline_is_drawn(steps):
    assert pixels(draw_timeline(timeline(steps), title="a test", digits=2e-16)).shape[0] > 200


def test_the_first_tensor_out_of_tolerance_is_marked():
    found = timeline()
    marked = draw_timeline(found, title="a test", digits=2e-16, first=(2, Quantity("gradient", "fc")))
    assert has_color(marked, pictures.ALARM)
    assert not has_color(draw_timeline(found, title="a test", digits=2e-16), pictures.ALARM)


def test_a_timeline_of_equal_tensors_is_grey():
    equal = Timeline([{Quantity("loss", ""): Distance(0.0, 0.0)}] * 2)
    picture = pixels(draw_timeline(equal, title="a test", digits=2e-16))
    grey = (np.abs(picture - 0xD9).max(axis=-1) <= 2).mean()
    assert grey > 0.2


def test_errors_stand_in_their_rows_and_columns():
    found = timeline()
    tensors = found.quantities()
    errors, width = pictures.error_matrix(found, tensors)
    assert width == 1
    for column, step in enumerate(found.steps):
        for row, quantity in enumerate(tensors):
            if quantity in step:
                assert errors[row, column] == min(step[quantity].error, 1e300)
            else:
                assert np.isnan(errors[row, column])


def test_many_steps_share_columns_that_show_the_largest_error():
    loss = Quantity("loss", "")
    found = Timeline([{loss: Distance(0.0, 0.0)} for _ in range(1300)])
    found.steps[700][loss] = Distance(0.25, 1.0)
    errors, width = pictures.error_matrix(found, [loss])
    assert width == 3
    assert errors.shape == (1, 434)
    assert np.flatnonzero(errors[0]).tolist() == [233]
    assert errors[0, 233] == 0.25


def test_counters_that_count_alike_have_no_row():
    found = timeline()
    assert STEP_COUNT not in pictures.worth_a_row(found)
    found.steps[1][STEP_COUNT] = Distance(0.5, 1.0)
    assert STEP_COUNT in pictures.worth_a_row(found)


def test_accuracies_are_drawn():
    picture = draw_seeds({"scratch": [0.9, 0.95, 0.92], "torch": [0.91, 0.94, 0.93]}, [0, 1, 2], title="a test")
    assert has_color(picture, pictures.SCRATCH_STYLE["color"])
    assert has_color(picture, pictures.TORCH_STYLE["color"])


def test_each_seed_has_a_point_of_both_beside_each_other(monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "Figure", lambda **options: figures.append(Figure(**options)) or figures[0])
    draw_seeds({"scratch": [0.9, 0.95, 0.92], "torch": [0.91, 0.94, 0.93]}, [4, 5, 6], title="a test")
    (axes,) = figures[0].axes
    drawn = [line.get_xydata() for line in axes.lines if len(line.get_xydata()) == 3]
    ours, theirs = drawn
    assert np.allclose(ours, [(-0.08, 90), (0.92, 95), (1.92, 92)])
    assert np.allclose(theirs, [(0.08, 91), (1.08, 94), (2.08, 93)])
