import json
import shutil
from types import SimpleNamespace

import pytest

from tinytorch_course.cli.app import run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run."""
    from tinytorch_course.training import loop
    from tinytorch_course.training.config import TrainConfig

    events = ("notice", "start", "epoch_start", "step", "epoch_end", "finish")
    silent = SimpleNamespace(**dict.fromkeys(events, lambda *args, **options: None))
    path = tmp_path_factory.mktemp("runs") / "one"
    config = TrainConfig(data="digits", model="softmax", limit=32, batch_size=32, epochs=1)
    loop.train(config, out=str(path), display=silent)
    return path


def test_made_and_verified(trained, tmp_path, capsys):
    out = tmp_path / "new" / "cards"
    assert run(["card", str(trained), "--out", str(out)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("softmax on embedded digits")
    assert "95 % interval" in first
    assert second == f"Saved: {out / 'card.json'}, {out / 'card.md'}"
    assert (out / "card.md").read_text(encoding="utf-8").startswith("# Result card: softmax")

    assert run(["card", "--verify", str(out / "card.json")]) == 0
    assert capsys.readouterr().out.startswith("All ")
    text = (out / "card.json").read_text()
    (out / "card.json").write_text(text.replace('"parameters": 7850', '"parameters": 7000'))
    assert run(["card", "--verify", str(out / "card.json")]) == 1
    assert "parameters: the card says 7000, but the run gives 7850\n1 of " in capsys.readouterr().out
    assert run(["card", "--verify", str(out / "card.json"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["differences"] == [{"figure": "parameters", "says": 7000, "gives": 7850}]


def test_json_into_the_run_folder(trained, capsys):
    assert run(["card", str(trained), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((trained / "card.json").read_text())


def test_a_contradiction_ends_with_1(trained, tmp_path, capsys):
    result = trained / "result.json"
    before = result.read_text()
    result.write_text(before.replace('"test_accuracy": 0.', '"test_accuracy": 0.9'))
    try:
        assert run(["card", str(trained), "--out", str(tmp_path / "cards")]) == 1
    finally:
        result.write_text(before)
    out, err = capsys.readouterr()
    assert out == ""
    assert "noted test.accuracy 0.9" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "cards").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a run folder to make a card of"),
        (["nowhere"], "there is no folder nowhere"),
        (["empty"], "empty is empty, so there is no run in it"),
        (["text.txt"], "text.txt is a file: name the run folder that contains it"),
        (["a"], "a/history.jsonl is malformed: line 1 is not an epoch of a run"),
        (["--verify", "text.txt"], "text.txt is not a card: it is not JSON"),
        (["--verify", "empty"], "empty is a folder: name the card in it"),
        (["--verify", "noruns.json"], "noruns.json is malformed: it does not name its runs"),
        (["--verify", "lost.json"], "lost.json is about the run lost, which is not there: name the run folders"),
        (["a", "b"], "name a folder with --out"),
        (["seeds"], "name a folder with --out"),
        (["--verify", "nowhere.json"], "there is no card nowhere.json"),
        (["--verify", "file", "--out", "x"], "leave out one of them"),
        (["a", "--device", "tpu"], "--device"),
    ],
    ids=" ".join,
)
def test_refusals(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "seeds/seed-0", "seeds/seed-1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.toml").write_text("")
        (tmp_path / name / "history.jsonl").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("some words")
    (tmp_path / "noruns.json").write_text('{"tinytorch_card": 1, "runs": []}')
    (tmp_path / "lost.json").write_text('{"tinytorch_card": 1, "runs": [{"folder": "lost"}]}')
    assert run(["card", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1


def test_weights_that_are_none_or_another_networks(trained, tmp_path, capsys):
    for name, change, words in (
        ("text", lambda path: (path / "model.pt").write_text("some words"), "model.pt is not a checkpoint"),
        ("gone", lambda path: (path / "model.pt").unlink(), "has no model.pt"),
        ("other", lambda path: replace_in(path / "config.toml", "softmax", "mlp-8"), "lacks fc1.weight, "),
    ):
        path = shutil.copytree(trained, tmp_path / name)
        change(path)
        assert run(["card", str(path)]) == 2, name
        out, err = capsys.readouterr()
        assert out == ""
        assert words in err
        assert len(err.splitlines()) == 1


def replace_in(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def test_out_that_is_a_file(trained, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(["card", str(trained), "--out", str(tmp_path / "file")]) == 2
    assert "which is a file" in capsys.readouterr().err
