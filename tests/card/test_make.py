import hashlib
import json
import math
import statistics

import pytest
import torch

from tinytorch_course import data
from tinytorch_course.card.make import Contradiction, make_card
from tinytorch_course.data.splits import Split
from tinytorch_course.errors import InputError
from tinytorch_course.training.metrics import wilson_interval


def edit(path, change):
    """Change a JSON file, or a file of one JSON object a line."""
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    values = [json.loads(line) for line in lines]
    change(values if path.suffix == ".jsonl" else values[0])
    path.write_text("\n".join(map(json.dumps, values)) + "\n")


@pytest.mark.slow
def test_one_run(runs):
    card = make_card([str(runs / "seed-0")], runs)
    result = json.loads((runs / "seed-0" / "result.json").read_text())
    (entry,) = card["runs"]
    assert (card["model"], card["impl"], card["parameters"]) == ("softmax", "scratch", 7850)
    assert entry["test"]["accuracy"] == result["test_accuracy"]
    assert entry["test"]["interval"] == result["test_interval"]
    assert entry["test"]["loss"] == pytest.approx(result["test_loss"], rel=1e-6)
    assert (entry["test"]["count"], entry["val"]["count"]) == (64, 64)
    assert entry["val"]["accuracy"] == result["val_accuracy"]
    assert entry["val"]["interval"] == list(wilson_interval(round(64 * result["val_accuracy"]), 64))
    assert (entry["seed"], entry["epochs"], entry["best_epoch"]) == (0, 2, result["best_epoch"])
    assert entry["folder"] == "seed-0"
    assert entry["command"] == (
        "tinytorch train --impl scratch --model softmax --data digits --epochs 2 --batch-size 32 --limit 64"
    )
    assert entry["weights_sha256"] == hashlib.sha256((runs / "seed-0" / "model.pt").read_bytes()).hexdigest()
    assert entry["trained_with"]["torch"] == str(torch.__version__)
    assert card["over_seeds"] is None
    assert card["settings"]["lr"] == 5e-3  # the default that nobody typed
    assert "seed" not in card["settings"]
    json.dumps(card, allow_nan=False)


def test_data_are_known_again(runs):
    about = make_card([str(runs / "seed-0")], runs)["data"]
    dataset = data.load("digits", limit=64)
    assert {name: about[name]["images"] for name in ("train", "val", "test")} == {"train": 64, "val": 64, "test": 64}
    assert len({about[name]["sha256"] for name in ("train", "val", "test")}) == 3
    assert about["classes"] == list(dataset.classes)
    assert about["test_images_seen_in_training"] == 0


def test_a_changed_pixel_changes_the_checksum(runs, monkeypatch):
    before = make_card([str(runs / "seed-0")], runs)["data"]
    dataset = data.load("digits", limit=64)
    images = dataset.train.images.clone()
    images[5, 0, 14, 14] += 1
    other = dataset._replace(train=Split(images, dataset.train.labels))
    monkeypatch.setattr(data.sources, "load", lambda *args, **options: other)
    after = make_card([str(runs / "seed-0")], runs)["data"]
    assert after["train"]["sha256"] != before["train"]["sha256"]
    assert after["test"] == before["test"]


def test_test_images_that_were_trained_on_are_counted(runs, monkeypatch):
    dataset = data.load("digits", limit=64)
    images = torch.cat([dataset.test.images[:3], dataset.train.images[3:]])
    leaking = dataset._replace(train=Split(images, dataset.train.labels))
    monkeypatch.setattr(data.sources, "load", lambda *args, **options: leaking)
    assert make_card([str(runs / "seed-0")], runs)["data"]["test_images_seen_in_training"] == 3


def test_two_seeds(runs):
    card = make_card([str(runs / "seed-1"), str(runs / "seed-0")], runs / "cards")
    assert [entry["seed"] for entry in card["runs"]] == card["over_seeds"]["seeds"] == [0, 1]
    assert [entry["folder"] for entry in card["runs"]] == ["../seed-0", "../seed-1"]
    losses = [entry["test"]["loss"] for entry in card["runs"]]
    assert losses[0] != losses[1]
    spread = card["over_seeds"]["test_loss"]
    assert spread["mean"] == pytest.approx(statistics.mean(losses))
    assert spread["deviation"] == pytest.approx(abs(losses[0] - losses[1]) / math.sqrt(2))
    assert (spread["low"], spread["high"]) == (min(losses), max(losses))


def test_a_folder_of_seeds_stands_for_its_runs(runs):
    card = make_card([str(runs)], runs)
    assert [entry["folder"] for entry in card["runs"]] == ["seed-0", "seed-1"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["seed-0", "slow"], r"slow was trained differently from .*seed-0: lr is 0.0001, not 0.005"),
        (["few"], "trained with --overfit-batches"),
        (["stopped"], "has no result yet: its run was stopped"),
        (["seed-0", "again"], "seed-0 and .*again have the same seed, 0"),
        (["nowhere"], "there is no folder"),
    ],
)
def test_runs_that_make_no_card(runs, names, words):
    (runs / "seed-1").rename(runs / "stopped")
    (runs / "stopped" / "result.json").unlink()
    (runs / "again").mkdir()
    for file in (runs / "seed-0").iterdir():
        (runs / "again" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=words):
        make_card([str(runs / name) for name in names], runs)


def test_notes_that_do_not_fit_the_weights(runs):
    edit(runs / "seed-0" / "result.json", lambda result: result.update(test_accuracy=0.99))
    with pytest.raises(Contradiction, match=r"seed-0 noted test\.accuracy 0\.99, but its weights give 0\.\d+"):
        make_card([str(runs / "seed-0")], runs)


def test_weights_of_another_run(runs):
    (runs / "seed-0" / "model.pt").write_bytes((runs / "seed-1" / "model.pt").read_bytes())
    with pytest.raises(Contradiction, match="seed-0 noted val"):
        make_card([str(runs / "seed-0")], runs)


def test_an_epoch_that_was_not_the_best(runs):
    def change(history):
        history[0] |= {"val_accuracy": 1.0}
        history[1] |= {"best": True}

    edit(runs / "seed-0" / "history.jsonl", change)
    with pytest.raises(Contradiction, match="kept epoch 2, but epoch 1 was better on the validation images"):
        make_card([str(runs / "seed-0")], runs)
