import numpy as np
import pytest
from scipy import ndimage

from tinytorch_course.pictures.form import Form, to_form
from tinytorch_course.pictures.ink import Ink
from tinytorch_course.pictures.strokes import stroke_width


def ink_of(mask):
    return Ink(mask.astype(np.float32), mask, True)


def a_seven(width=6, height=90):
    """A bar above and a slanted stroke, in a large picture, far from its middle."""
    mask = np.zeros((256, 256), bool)
    mask[20 : 20 + width, 30:90] = True
    for row in range(height):
        at = 90 - round(row * 40 / height)
        mask[20 + row, at - width : at] = True
    return mask


@pytest.mark.parametrize("width", [2, 6, 14])
def test_mnists_form(width):
    image = to_form(ink_of(a_seven(width)), Form())
    assert (image.shape, image.dtype, image.max()) == ((28, 28), np.uint8, 255)
    rows, cols = (np.flatnonzero((image > 0).any(axis=axis)) for axis in (1, 0))
    assert rows[-1] - rows[0] + 1 == 20  # its longer side
    assert cols[-1] - cols[0] + 1 < 20
    assert ndimage.center_of_mass(image) == pytest.approx((14, 14), abs=0.55)  # as near as whole pixels allow


def test_strokes_are_within_the_forms_limits():
    wide, thin = (to_form(ink_of(a_seven(width)), Form()) > 100 for width in (16, 1))
    assert stroke_width(np.kron(wide, np.ones((8, 8), bool))) / 8 < 4.2
    assert stroke_width(np.kron(thin, np.ones((8, 8), bool))) / 8 > 1.5
    assert thin.sum() < wide.sum() < 2 * thin.sum()


def test_by_the_box_instead_of_the_mass():
    image = to_form(ink_of(a_seven()), Form(box=24, by_mass=False))
    rows, cols = (np.flatnonzero((image > 0).any(axis=axis)) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (2, 25)
    assert abs(cols[0] + cols[-1] - 27) <= 1


def test_other_sizes():
    image = to_form(ink_of(a_seven()), Form().scaled(56))
    assert image.shape == (56, 56)
    assert (image > 0).any(axis=1).sum() == 40


def test_a_turn():
    upright = np.zeros((100, 100), bool)
    upright[10:90, 47:53] = True
    widths = [(to_form(ink_of(upright), Form(), turn=turn) > 64).any(axis=0).sum() for turn in (0, 20, -20)]
    assert widths[0] <= 4
    assert widths[1] == pytest.approx(20 * np.sin(np.radians(20)) + 2, abs=2)
    assert abs(widths[1] - widths[2]) <= 1
    left = to_form(ink_of(upright), Form(), turn=20)
    assert left[6].argmax() < left[21].argmax()  # against the clock: the top goes to the left


def test_a_character_at_the_edge_of_the_picture():
    mask = np.zeros((50, 50), bool)
    mask[:, :8] = True
    assert (to_form(ink_of(mask), Form()) > 0).any(axis=1).sum() == 20
