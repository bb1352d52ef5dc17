import numpy as np
import pytest

from pictures import drawing, handwriting
from tinytorch_course.pictures.reading import Source, read_picture
from tinytorch_course.pictures.sheet import otsu, sheet_in


def picture(kind, seed, digit=3):
    made = drawing.KINDS[kind](digit, handwriting.Outlines(), np.random.default_rng(seed))
    return read_picture(Source(kind, made))


@pytest.mark.parametrize("seed", range(3))
def test_a_note_on_a_desk_is_cut_out(seed):
    colors = picture("on a desk", seed)
    sheet = sheet_in(colors)
    assert sheet.shape[0] < colors.shape[0]
    assert 0.4 < sheet.shape[0] * sheet.shape[1] / (colors.shape[0] * colors.shape[1]) < 0.9
    rim = np.concatenate([sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1]]).mean(axis=1)
    assert rim.min() > 0.45  # paper all around, and no wood


@pytest.mark.parametrize("kind", ["phone", "phone in shadow", "mouse", "hairline", "ruled", "squared", "chalk", "scan"])
@pytest.mark.parametrize("seed", range(2))
def test_paper_that_fills_the_picture_is_no_sheet(kind, seed):
    assert sheet_in(picture(kind, seed)) is None


def test_ruled_paper_without_writing_is_no_sheet():
    for seed in range(4):
        lines = drawing.ruled(256, np.random.default_rng(seed), False)[..., None]
        assert sheet_in((0.9 - 0.3 * lines).repeat(3, axis=2)) is None


def test_a_light_character_on_dark_ground_is_no_sheet():
    colors = np.zeros((100, 100, 3), np.float32)
    colors[10:90, 35:65] = 1  # a very broad 1
    assert sheet_in(colors) is None
    assert sheet_in(np.zeros((40, 40, 3), np.float32)) is None


def test_otsu_parts_two_groups():
    values = np.concatenate([np.full(900, 0.2), np.full(100, 0.8)])
    assert 0.2 < otsu(values + np.linspace(-0.05, 0.05, 1000)) < 0.8


@pytest.mark.parametrize("seed", range(3))
def test_otsus_threshold_is_the_best_of_all(seed):
    """By the definition: the groups' sizes times the squared distance of their means, at the histogram's edges."""
    generator = np.random.default_rng(seed)
    values = np.concatenate([generator.normal(0.3, 0.1, 700), generator.normal(0.7, 0.15, 300)])
    edges = np.linspace(values.min(), values.max(), 257)

    def between(threshold):
        low, high = values[values < threshold], values[values >= threshold]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(low) and len(high) else 0.0

    assert between(otsu(values)) == pytest.approx(max(between(edge) for edge in edges), rel=1e-3)
