import numpy as np
import pytest
from scipy import ndimage

from tinytorch_course.pictures.strokes import skeleton, stroke_width, with_width


def ring(side=120, radius=40, width=10):
    y, x = np.mgrid[:side, :side] - side / 2
    return np.abs(np.hypot(x, y) - radius) <= width / 2


@pytest.mark.parametrize("width", [5, 11, 25])
def test_width_is_measured(width):
    bar = np.zeros((60, 400), bool)
    bar[15 : 15 + width, 20:380] = True
    assert stroke_width(bar) == pytest.approx(width, rel=0.12, abs=1.2)
    assert stroke_width(bar.T) == pytest.approx(stroke_width(bar))


@pytest.mark.parametrize("wanted", [3, 6, 14, 20])
def test_strokes_get_the_width_that_is_wanted(wanted):
    assert stroke_width(with_width(ring(), wanted)) == pytest.approx(wanted, abs=1.5)


@pytest.mark.parametrize("wanted", [1, 2, 5, 15])
def test_no_stroke_breaks_and_no_loop_closes(wanted):
    made = with_width(ring(), wanted)
    assert ndimage.label(made, structure=np.ones((3, 3)))[1] == 1
    assert ndimage.label(~made)[1] == 2  # inside and outside


def test_a_skeleton_is_thin_and_as_connected_as_what_it_is_of():
    two = np.zeros((100, 220), bool)
    two[:, :120] = ring()[10:110]
    two[40:52, 150:210] = True
    bones = skeleton(two)
    assert not (bones & ~two).any()
    eight = np.ones((3, 3))
    assert ndimage.label(bones, structure=eight)[1] == 2
    assert ndimage.label(~bones)[1] == 2
    squares = bones[1:, 1:] & bones[:-1, 1:] & bones[1:, :-1] & bones[:-1, :-1]
    assert not squares.any()  # nowhere two pixels wide
    assert bones[40:52, 157:203].any(axis=0).all()


def test_a_skeleton_at_the_rim():
    bones = skeleton(np.ones((9, 40), bool))
    assert 20 <= bones.sum() <= 60
