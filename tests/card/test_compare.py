import pytest

from tinytorch_course.card.compare import count_figures, differences

CARD = {
    "parameters": 10,
    "runs": [{"folder": "a", "test": {"accuracy": 0.97, "loss": 0.1}, "trained_with": {"torch": "2.10"}}],
    "settings": {"lr": 0.1},
    "evaluated": {"date": "today"},
}


def changed(*path, to):
    """A copy of CARD with one figure changed."""

    def copy(value, path):
        if not path:
            return to
        if isinstance(value, list):
            return [copy(one, path[1:]) if number == path[0] else one for number, one in enumerate(value)]
        return {**value, path[0]: copy(value.get(path[0]), path[1:])}

    return copy(CARD, path)


def test_a_card_is_like_itself():
    assert list(differences(CARD, CARD)) == []
    assert count_figures(CARD) == 5


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("runs", 0, "test", "accuracy"), 0.9701),  # one image of 10,000
        (("runs", 0, "test", "loss"), 0.100009),
        (("runs", 0, "folder"), "b"),
        (("runs", 0, "trained_with", "torch"), None),  # nobody knows any more
        (("evaluated", "date"), "tomorrow"),
        (("settings", "new"), 1),  # a setting that the card did not know
    ],
)
def test_what_may_differ(path, value):
    assert list(differences(CARD, changed(*path, to=value))) == []


@pytest.mark.parametrize(
    ("path", "value", "figure"),
    [
        (("runs", 0, "test", "accuracy"), 0.9704, "runs[0].test.accuracy"),
        (("runs", 0, "test", "accuracy"), None, "runs[0].test.accuracy"),
        (("runs", 0, "test", "loss"), 0.1001, "runs[0].test.loss"),
        (("runs", 0, "trained_with", "torch"), "2.11", "runs[0].trained_with.torch"),
        (("runs",), [], "runs"),
        (("parameters",), 11, "parameters"),
        (("settings", "lr"), 0.2, "settings.lr"),
        (("more",), 1, "more"),
    ],
)
def test_what_may_not_differ(path, value, figure):
    (one,) = differences(CARD, changed(*path, to=value))
    assert one.figure == figure
    assert one.gives == value
