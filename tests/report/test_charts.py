import math
import xml.etree.ElementTree as ET

import pytest

from tinytorch_course.report.charts import MARKED, MARKERS, Line, Scale, histogram, key, line_chart, number, reliability


def chart(*lines, **options):
    titles = {"label": "a <chart>", "x_title": "Epoch", "y_title": "Loss"}
    return ET.fromstring(line_chart(lines, **titles | options))


def paths(picture, kind):
    return [each.get("d") for each in picture.iter("path") if each.get("class") == kind]


@pytest.mark.parametrize(
    ("low", "high", "whole", "wanted"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1, 4, True, [1, 2, 3, 4]),
        (0.5, 1.5, True, [1]),
        (1, 200, True, [50, 100, 150, 200]),
        (-0.05, 0.05, False, [-0.04, -0.02, 0, 0.02, 0.04]),
        (0.0013, 0.0021, False, [0.0014, 0.0016, 0.0018, 0.002]),
    ],
)
def test_ticks_are_round(low, high, whole, wanted):
    assert Scale(low, high, 0, 100, whole=whole).ticks() == pytest.approx(wanted)


def test_scale_holds_all_values():
    scale = Scale.over([3, 1, math.nan, 2, math.inf], 10, 110, whole=True)
    assert [scale(value) for value in (1, 2, 3)] == [10, 60, 110]
    assert Scale.over([5, 5], 0, 100)(5) == pytest.approx(50)
    assert Scale.over([0], 0, 100)(0) == pytest.approx(50)
    assert Scale.over([], 0, 100).ticks()


def test_lines_go_through_their_points():
    picture = chart(Line("one", [(1, 2.0), (2, 1.0), (3, 0.0)], 0))
    (path,) = paths(picture, "line")
    places = [tuple(map(float, place.split())) for place in path[1:].split("L")]
    assert [x for x, _ in places] == pytest.approx([60, 223, 386])
    heights = [y for _, y in places]
    assert heights[0] < heights[1] < heights[2]  # a larger loss stands higher
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)


def test_lines_differ_in_more_than_colour():
    points = [(1, 1.0), (2, 2.0)]
    picture = chart(Line("a", points, 0), Line("b", points, 1), Line("b", points, 1, dashed=True))
    assert len(paths(picture, "line")) == 2
    assert len(paths(picture, "line dashed")) == 1
    titles = [title.text for title in picture.iter("title")]
    assert titles == ["a: 1 at 1", "a: 2 at 2", "b: 1 at 1", "b: 2 at 2", "b: 1 at 1", "b: 2 at 2"]
    assert len({*MARKERS}) == len(MARKERS)
    assert 'class="hollow"' in line_chart([Line("b", points, 1, dashed=True)], label="", x_title="Epoch", y_title="")


def test_long_lines_have_few_markers_and_gaps_are_left_out():
    long = [(float(x), math.nan if x == 5 else x) for x in range(MARKED + 5)]
    picture = chart(Line("long", long, 2))
    assert [title.text for title in picture.iter("title")][:3] == ["long: 0 at 0", "long: 4 at 4", "long: 9 at 9"]
    assert "nan" not in ET.tostring(picture, encoding="unicode")


def test_pictures_say_what_they_show():
    picture = chart(Line("one", [(1, 2.0)], 0))
    assert (picture.get("role"), picture.get("aria-label")) == ("img", "a <chart>")
    assert "Loss" in [text.text for text in picture.iter("text")]


def test_histogram_bars_have_their_heights():
    picture = ET.fromstring(histogram([-1, 0, 1, 2], [1, 4, 2], label="weights"))
    (path,) = paths(picture, "area")
    tops = [float(place.split()[1]) for place in path[1:-1].split("L")][1:-1:2]
    heights = [80 - top for top in tops]
    assert heights == pytest.approx([19, 76, 38])
    assert {text.text for text in picture.iter("text")} == {"\N{MINUS SIGN}1", "0", "2"}


def test_zero_is_marked_where_it_is():
    picture = ET.fromstring(histogram([-1, 0, 1, 3], [1, 4, 2], label="weights"))
    (zero,) = paths(picture, "zero")
    (area,) = paths(picture, "area")
    left, right = float(area[1:].split()[0]), float(area.rsplit("L", 1)[1].split()[0])
    assert float(zero[1:].split()[0]) == pytest.approx(left + (right - left) / 4, abs=0.1)
    assert [text.get("x") for text in picture.iter("text") if text.text == "0"] == [zero[1:].split()[0]]


def test_every_number_stands_at_its_line():
    picture = chart(Line("one", [(1, 2.0), (2, 1.0), (3, 0.0)], 0))
    rules = [each.split("L") for each in paths(picture, "grid")]
    across = {float(start.split()[1]) for start, end in rules if start[1:].split()[1] == end.split()[1]}
    down = {float(start[1:].split()[0]) for start, end in rules if start[1:].split()[0] == end.split()[0]}
    beside = [text for text in picture.iter("text") if text.get("text-anchor") == "end"]
    below = [text for text in picture.iter("text") if text.text in ("1", "2", "3") and text not in beside]
    assert [text.text for text in beside] == ["0", "0.5", "1", "1.5", "2"]
    assert all(min(abs(float(text.get("y")) - 4 - y) for y in across) < 0.11 for text in beside)
    assert [text.text for text in below] == ["1", "2", "3"]
    assert all(min(abs(float(text.get("x")) - x) for x in down) < 0.11 for text in below)


def test_reliability_draws_what_is_known():
    picture = ET.fromstring(reliability([(0.0, 0.5, None, None, 0), (0.5, 1.0, 0.8, 0.25, 4)], label="calibration"))
    (bar,) = picture.iter("rect")
    (mean,) = picture.iter("circle")
    assert bar.find("title").text == "50 to 100 % sure: 25.0 % right of 4"
    assert float(bar.get("height")) == pytest.approx(0.25 * 198, abs=0.1)
    assert float(mean.get("cx")) == pytest.approx(60 + 0.8 * 326)


def test_keys_show_colour_and_dashes():
    assert MARKERS[3] in key(3)
    assert "var(--c3)" in key(3)
    assert "dashed" in key(None, True)
    assert "dashed" not in key(None, False)


def test_numbers_are_short():
    assert [number(value) for value in (0, 1.23456, -0.5, 2e-08, 421738)] == [
        "0",
        "1.23",
        "\N{MINUS SIGN}0.5",
        "2e\N{MINUS SIGN}8",
        "4.22e5",
    ]
