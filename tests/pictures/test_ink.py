import numpy as np
import pytest

from pictures import drawing, handwriting
from tinytorch_course.pictures.ink import find_ink, is_dark_on_light, noise_of, one_character, without_specks
from tinytorch_course.pictures.reading import Source, read_picture

SIDE = 200


def written(digit=3, width=0.1, share=0.7):
    rng = np.random.default_rng(2)
    return handwriting.placed(handwriting.Outlines().mask(digit, SIDE, width, rng), SIDE, share, rng)


def colored(ink, pen=(0.1, 0.1, 0.1), paper=(0.9, 0.9, 0.9)):
    return (ink[..., None] * np.array(pen) + (1 - ink[..., None]) * np.array(paper)).astype(np.float32)


def overlap(found, ink):
    return (found.mask & (ink > 0.5)).sum() / (found.mask | (ink > 0.5)).sum()


@pytest.mark.parametrize(
    ("pen", "paper"),
    [
        ((0, 0, 0), (1, 1, 1)),
        ((1, 1, 1), (0, 0, 0)),
        ((0.8, 0.1, 0.1), (0.95, 0.95, 0.9)),  # red on white
        ((0.9, 0.9, 0.3), (0.1, 0.3, 0.2)),  # yellow chalk on green
        ((0.45, 0.45, 0.45), (0.55, 0.55, 0.55)),  # hardly to be seen
        ((0.2, 0.3, 0.8), (0.9, 0.8, 0.3)),  # blue on yellow
    ],
)
def test_ink_of_any_colour_is_found(pen, paper):
    ink = written()
    found = find_ink(colored(ink, pen, paper))
    assert overlap(found, ink) > 0.9
    assert found.dark == (sum(pen) < sum(paper))


def test_light_that_falls_off_is_not_ink():
    ink = written()
    fall = np.linspace(1, 0.35, SIDE)[:, None, None]
    assert overlap(find_ink(colored(ink) * fall), ink) > 0.9
    assert overlap(find_ink(colored(ink) * fall.transpose(1, 0, 2)), ink) > 0.9


@pytest.mark.parametrize("noise", [0.05, 0.15])
def test_noise_is_not_ink(noise):
    ink = written()
    rng = np.random.default_rng(3)
    found = find_ink((colored(ink) + noise * rng.standard_normal((SIDE, SIDE, 1))).clip(0, 1).astype(np.float32))
    assert overlap(found, ink) > 0.8


def test_specks_and_other_writing_are_left_out():
    ink = written(share=0.5)
    dirty = ink.copy()
    dirty[5:12, 5:40] = 1  # a word in the corner
    dirty[180, 100:103] = 1
    assert overlap(find_ink(colored(dirty)), ink) > 0.9


def test_parts_that_belong_together_stay_together():
    mask = np.zeros((100, 100), bool)
    mask[20:30, 30:70] = True  # the bar of a 5 whose pen was lifted
    mask[34:80, 32:42] = True
    mask[2:4, 2:4] = True
    kept = one_character(mask, mask.astype(np.float32))
    assert kept[25, 50]
    assert kept[60, 36]
    assert not kept[2, 2]


def test_nothing_is_found_where_nothing_is():
    rng = np.random.default_rng(4)
    assert find_ink(np.full((64, 64, 3), 0.7, np.float32)) is None
    assert find_ink(rng.uniform(0.7, 0.9, (100, 100, 1)).astype(np.float32).repeat(3, axis=2)) is None
    assert find_ink(np.zeros((1, 1, 3), np.float32)) is None


@pytest.mark.parametrize(
    ("kind", "dark"), [("phone", True), ("to the edge", True), ("chalk", False), ("hairline", False)]
)
@pytest.mark.parametrize("digit", [1, 8])
def test_dark_on_light_is_told_from_light_on_dark(kind, dark, digit):
    made = drawing.KINDS[kind](digit, handwriting.Outlines(), np.random.default_rng(digit))
    assert is_dark_on_light(read_picture(Source(kind, made))) is dark


@pytest.mark.parametrize(
    ("squared", "lit", "most"), [(False, False, 0), (True, False, 0), (False, True, 1), (True, True, 1)]
)
def test_nothing_is_found_on_a_sheet_with_lines_alone(squared, lit, most):
    """A shadow that is as dark as the lines may be taken for ink."""
    sheets = [drawing.sheet(np.random.default_rng(seed), squared, lit) for seed in range(5)]
    found = [seed for seed, sheet in enumerate(sheets) if find_ink(read_picture(Source("sheet", sheet))) is not None]
    assert len(found) <= most, found


def test_noise_is_measured_and_strokes_do_not_count():
    rng = np.random.default_rng(5)
    values = written() + 0.1 * rng.standard_normal((SIDE, SIDE))
    assert noise_of(values) == pytest.approx(0.1, rel=0.1)
    assert noise_of(written()) < 1e-3


def test_single_pixels_go_and_a_hairline_stays():
    values = np.zeros((20, 20), np.float32)
    values[5, 5] = 1
    values[10, 2:18] = 1
    cleared = without_specks(values)
    assert cleared[5, 5] == 0
    assert cleared[10, 3:17].min() == 1
