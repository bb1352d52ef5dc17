import numpy as np
import pytest

from pictures import drawing, handwriting
from tinytorch_course.pictures.lines import without_lines

SIDE = 256


def written(digit=3, width=0.08):
    """A character without paper: (256, 256), strength."""
    rng = np.random.default_rng(5)
    return handwriting.placed(handwriting.Outlines().mask(digit, SIDE, width, rng), SIDE, 0.7, rng)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_lines_go_and_what_is_written_stays(squared, seed):
    ink = written()
    lines = 0.5 * drawing.ruled(SIDE, np.random.default_rng(seed), squared)
    assert (lines > 0.3).sum() > 500
    cleared = without_lines(np.maximum(ink, lines))
    assert (cleared[ink < 0.1] > 0.3).mean() < 0.004  # of what is not ink
    assert (cleared[ink > 0.9] > 0.5).mean() > 0.98


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_left_of_a_sheet_without_writing(squared, seed):
    lines = 0.5 * drawing.ruled(SIDE, np.random.default_rng(seed), squared)
    assert without_lines(lines).max() < 0.3


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_without_lines_nothing_changes(noise):
    """Noise is no line, however much there is."""
    picture = written() + noise * np.random.default_rng(6).standard_normal((SIDE, SIDE), np.float32)
    assert np.array_equal(without_lines(picture), picture)


def test_a_one_from_edge_to_edge_is_no_line():
    one = np.zeros((SIDE, SIDE), np.float32)
    one[:, 126:131] = 1
    assert np.array_equal(without_lines(one), one)


def test_a_curved_line_is_followed():
    """Paper is not flat: a line that bends by two pixels."""
    picture = written()
    columns = np.arange(SIDE)
    for row in (30, 70, 110, 150, 190, 230):
        rows = row + np.round(2 * np.sin(columns / SIDE * np.pi)).astype(int)
        picture[rows, columns] = np.maximum(picture[rows, columns], 0.5)
    cleared = without_lines(picture)
    assert (cleared[written() < 0.1] > 0.3).mean() < 0.004


def test_small_pictures_are_left_alone():
    small = np.zeros((32, 32), np.float32)
    small[16] = 1
    assert np.array_equal(without_lines(small), small)
