import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from tinytorch_course.report.tiles import diverging, grey, image, montage, strip, to_uri

NEGATIVE, ZERO, POSITIVE = (0, 82, 155), (247, 247, 247), (200, 80, 0)


def decode(uri):
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 4)])
def test_pixels_survive(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(decode(to_uri(pixels)), pixels)


def test_signs_have_their_colours():
    colours = diverging(np.array([-2.0, 0.0, 2.0, 9.0, math.nan]), 2.0)
    assert np.abs(colours[:4, :3].astype(int) - [NEGATIVE, ZERO, POSITIVE, POSITIVE]).max() <= 1
    assert colours[:, 3].tolist() == [255, 255, 255, 255, 0]
    assert np.abs(diverging(np.zeros(1), 0.0)[0, :3].astype(int) - ZERO).max() <= 1


def test_greys_grow():
    assert grey(np.array([0.0, 0.5, 1.0, -1.0]), 1.0)[:, 0].tolist() == [0, 128, 255, 0]


def test_montage_puts_tiles_in_rows():
    tiles = np.stack([np.full((2, 3, 4), value, dtype=np.uint8) for value in (1, 2, 3, 4, 5)])
    out = montage(tiles, columns=3)
    assert out.shape == (5, 11, 4)
    assert out[::3, ::4, 0].tolist() == [[1, 2, 3], [4, 5, 0]]
    assert not out[2].any()  # the gap


def test_columns_fill_the_last_row():
    for count, columns in ((64, 8), (32, 8), (10, 5), (6, 3), (1, 1), (2, 2)):
        assert montage(np.zeros((count, 1, 1, 4), dtype=np.uint8), gap=0).shape[1] == columns


def test_images_and_strips():
    assert image(np.zeros((1, 4, 5), dtype=np.uint8)).shape == (4, 5)
    assert image(np.zeros((3, 4, 5), dtype=np.uint8)).shape == (4, 5, 3)
    rows = strip(range(5), width=3)
    assert rows[0].tolist() == [0, 1, 2]
    assert rows[1, :2].tolist() == [3, 4]
    assert math.isnan(rows[1, 2])
