import re

import pytest

from tinytorch_course.card.make import make_card
from tinytorch_course.card.markdown import headline, to_markdown


@pytest.mark.parametrize("names", [["seed-0"], ["seed-0", "seed-1"]], ids=["one", "two"])
def test_every_figure_is_there(trained, names):
    card = make_card([str(trained / name) for name in names], trained)
    text = to_markdown(card)
    assert text.startswith("# Result card: softmax on embedded digits")
    assert "7,850 parameters" in text
    for entry in card["runs"]:
        low, high = entry["test"]["interval"]
        accuracy = f"{100 * entry['test']['accuracy']:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f} %"
        assert accuracy in text
        assert entry["command"] in text
        assert entry["weights_sha256"] in text
    for part in ("train", "val", "test"):
        assert card["data"][part]["sha256"] in text
    assert "tinytorch card --verify card.json" in text
    assert "None" not in text


def test_tables_are_whole(trained):
    text = to_markdown(make_card([str(trained / "seed-0")], trained))
    tables = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    assert len(tables) == 5
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_several_seeds_have_mean_and_deviation(trained):
    card = make_card([str(trained / "seed-0"), str(trained / "seed-1")], trained)
    spread = card["over_seeds"]["test_accuracy"]
    assert headline(card).startswith(f"{100 * spread['mean']:.2f} % ± {100 * spread['deviation']:.2f} % (mean and dev")
