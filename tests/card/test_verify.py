import json

import pytest

from tinytorch_course.card.make import make_card
from tinytorch_course.card.verify import read_card, verify
from tinytorch_course.errors import InputError


@pytest.fixture
def file(runs):
    """A card of two runs."""
    path = runs / "card.json"
    path.write_text(json.dumps(make_card([str(runs / "seed-0"), str(runs / "seed-1")], runs)))
    return path


def test_it_holds(file):
    card, found = verify(file)
    assert card["tinytorch_card"] == 1
    assert found == []


def test_it_holds_where_it_was_moved_to(file, tmp_path):
    file.parent.rename(tmp_path / "elsewhere")
    assert verify(tmp_path / "elsewhere" / "card.json")[1] == []


def test_it_holds_without_what_training_needs_to_go_on(file):
    (file.parent / "seed-0" / "last.pt").unlink()
    assert verify(file)[1] == []


def test_runs_can_be_named(file, tmp_path):
    alone = tmp_path / "alone.json"
    file.rename(alone)
    with pytest.raises(InputError, match=r"is about the run .*seed-0, which is not there: name the run folders"):
        verify(alone)
    folders = [str(file.parent / name) for name in ("seed-1", "seed-0")]
    assert verify(alone, folders)[1] == []


@pytest.mark.parametrize(
    ("old", "new", "figure"),
    [
        ('"parameters": 7850', '"parameters": 7000', "parameters"),
        ('"best_epoch": 2', '"best_epoch": 1', "runs[0].best_epoch"),
        ('"accuracy": 0.', '"accuracy": 0.9', "runs[0].val.accuracy"),
        ('"seed": 0', '"seed": 7', "runs[0].seed"),
        ('"weights_sha256": "', '"weights_sha256": "0', "runs[0].weights_sha256"),
        ('"deviation": 0.', '"deviation": 0.9', "over_seeds.val_accuracy.deviation"),
        ('"lr": 0.005', '"lr": 0.004', "settings.lr"),
    ],
)
def test_a_changed_figure_is_named(file, old, new, figure):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    assert [one.figure for one in verify(file)[1]] == [figure]


def test_other_weights_are_noticed(file):
    """Of a run whose notes were changed with them."""
    zero, one = file.parent / "seed-0", file.parent / "seed-1"
    for name in ("model.pt", "history.jsonl", "result.json"):
        (zero / name).write_bytes((one / name).read_bytes())
    figures = {found.figure for found in verify(file)[1]}
    assert {"runs[0].weights_sha256", "runs[0].test.loss", "over_seeds.test_loss.mean"} <= figures


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no card"),
        ("# Result card", "is not a card: it is not JSON"),
        ("[1]", "is not a card made by `tinytorch card`"),
        ('{"tinytorch_card": 2}', "is a card of format 2"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not a card: it is not JSON"),
    ],
)
def test_what_is_no_card(tmp_path, content, words):
    path = tmp_path / "card.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words):
        read_card(path)


def test_a_folder_is_no_card(tmp_path):
    with pytest.raises(InputError, match="is a folder: name the card in it"):
        read_card(tmp_path)


@pytest.mark.parametrize("runs", ["", ', "runs": []', ', "runs": {"a": 1}', ', "runs": [{"folder": 3}]'])
def test_a_card_that_names_no_runs(tmp_path, runs):
    (tmp_path / "card.json").write_text('{"tinytorch_card": 1' + runs + "}")
    with pytest.raises(InputError, match="does not name its runs"):
        verify(tmp_path / "card.json")
