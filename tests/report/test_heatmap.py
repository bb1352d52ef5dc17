import base64
import io
import math
import xml.etree.ElementTree as ET

import numpy as np
from PIL import Image

from tinytorch_course.report.heatmap import EQUAL, heat_map


def draw(powers, **options):
    usual = {
        "names": [f"row {row}" for row in range(len(powers))],
        "columns": (0.5, 0.5 + powers.shape[1]),
        "powers_shown": (-3, 0),
        "label": "a map",
        "scale_title": "error",
    }
    return ET.fromstring(heat_map(powers, **usual | options))


def pixels(picture, which=0):
    uri = [*picture.iter("image")][which].get("href")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_colours_follow_the_numbers():
    powers = np.array([[-9.0, -3.0, 0.0, 5.0], [math.nan, -1.0, math.nan, -2.0]])
    equal = np.array([[False] * 4, [False, False, True, False]])
    picture = draw(powers, equal=equal)
    shown, scale = pixels(picture), pixels(picture, 1)
    assert shown.shape == (2, 4, 4)
    assert np.array_equal(shown[0, 0], scale[0, 0])  # below the scale
    assert np.array_equal(shown[0, 1], scale[0, 0])
    assert np.array_equal(shown[0, 2], scale[0, -1])
    assert np.array_equal(shown[0, 3], scale[0, -1])
    assert shown[1, 0, 3] == 0
    assert tuple(shown[1, 2]) == EQUAL
    assert shown[1, 1, :3].sum() > shown[1, 3, :3].sum()  # larger is brighter


def test_rows_groups_and_steps_are_named():
    picture = draw(np.zeros((3, 20)), groups=[("first", 1), ("other\ntwo", 2)])
    texts = [text.text for text in picture.iter("text")]
    for name in ("row 0", "row 2", "first", "other two", "2", "20", "Step", "error"):
        assert name in texts
    assert (picture.get("role"), picture.get("aria-label")) == ("img", "a map")


def test_many_rows_are_not_all_named():
    picture = draw(np.zeros((400, 2)), names=[f"row {row}" for row in range(400)])
    named = [text.text for text in picture.iter("text") if (text.text or "").startswith("row")]
    assert named[0] == "row 0"
    assert 50 < len(named) <= 130


def test_the_mark_lies_on_its_cell():
    picture = draw(np.zeros((4, 10)), mark=(2, 3.5, 4.5))
    (mark,) = picture.iter("rect")
    image = next(picture.iter("image"))
    left, width = float(image.get("x")), float(image.get("width"))
    assert float(mark.get("x")) == np.float64(round(left + 0.3 * width, 1))
    assert float(mark.get("y")) == 4 + 2 * 13
