import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tinytorch_course import data
from tinytorch_course.cli.app import run
from tinytorch_course.models import find_model
from tinytorch_course.reference import layers as torch_layers
from tinytorch_course.training import loop
from tinytorch_course.training.config import TrainConfig

EVENTS = ("notice", "start", "epoch_start", "step", "epoch_end", "finish")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run by the from-scratch implementation."""
    silent = SimpleNamespace(**dict.fromkeys(EVENTS, lambda *args, **options: None))
    path = tmp_path_factory.mktemp("runs") / "one"
    config = TrainConfig(data="digits", model="softmax", val_size=100, limit=300, batch_size=32, epochs=2)
    loop.train(config, out=str(path), display=silent)
    return path


@pytest.fixture
def evaluated(trained, capsys):
    """Run ``tinytorch evaluate`` on the run, or on what is named; returns exit code, stdout and stderr."""

    def call(*args, checkpoint=trained):
        code = run(["evaluate", *([] if checkpoint is None else [str(checkpoint)]), *map(str, args)])
        return code, *capsys.readouterr()

    return call


def by_hand(trained, images):
    """Answers of torch's own layers with the run's weights."""
    weights = torch.load(trained / "model.pt", weights_only=True)
    about = json.loads((trained / "data.json").read_text())
    module = find_model("softmax").build(torch_layers)
    module.load_state_dict(weights)
    with torch.no_grad():
        return module((images / 255 - about["mean"][0]) / about["std"][0])


@pytest.mark.parametrize("impl", ["scratch", "torch"])
def test_figures_are_those_of_the_answers(trained, evaluated, impl):
    code, out, err = evaluated("--json", "--impl", impl)
    assert (code, err) == (0, "")
    found = json.loads(out)
    images, labels = data.load("digits").test
    logits = by_hand(trained, images)
    assert (found["model"], found["impl"], found["data"], found["split"]) == ("softmax", impl, "digits", "test")
    assert found["count"] == 300
    assert found["accuracy"] == pytest.approx((logits.argmax(dim=1) == labels).double().mean().item())
    assert found["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    counts = torch.zeros(10, 10, dtype=torch.int64)
    counts.index_put_((labels, logits.argmax(dim=1)), torch.tensor(1), accumulate=True)
    assert found["confusion"] == counts.tolist()
    assert found["interval"][0] < found["accuracy"] < found["interval"][1]


def test_what_a_person_reads(evaluated):
    code, out, err = evaluated()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("softmax from scratch, ")
    assert lines[1].startswith("on 300 test images of embedded digits")
    assert any(line.startswith("Accuracy") and "95 % interval" in line for line in lines)
    assert "Confusion matrix: rows are true classes, columns are answers" in lines
    assert [line.split()[-1] for line in lines if line.split()[1:2] == ["average"]] == ["300", "300"]
    assert out.isascii()


def test_the_validation_images_are_the_runs_own(trained, evaluated):
    result = json.loads((trained / "result.json").read_text())
    code, out, _ = evaluated("--split", "val", "--json")
    found = json.loads(out)
    assert (code, found["split"], found["count"]) == (0, "val", 100)
    assert found["accuracy"] == pytest.approx(result["val_accuracy"])


def test_limit_takes_the_first(evaluated):
    code, out, _ = evaluated("--limit", 7, "--json")
    assert (code, json.loads(out)["count"]) == (0, 7)


def test_out_saves_scores_and_drawings(evaluated, tmp_path):
    folder = tmp_path / "scores"
    code, out, err = evaluated("--out", folder)
    assert (code, err) == (0, "")
    names = ["evaluation.json", "confusion.png", "calibration.png"]
    assert out.splitlines()[-1] == "Saved: " + ", ".join(str(folder / name) for name in names)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert json.loads((folder / "evaluation.json").read_text())["count"] == 300
    for name in names[1:]:
        with Image.open(folder / name) as image:
            assert np.ptp(np.asarray(image.convert("L"))) > 100
    assert evaluated("--out", folder)[0] == 2  # what is there is not overwritten


def test_a_file_of_weights_needs_to_be_told_what_it_is(trained, evaluated, tmp_path):
    alone = tmp_path / "weights.pt"
    torch.save(torch.load(trained / "model.pt", weights_only=True), alone)
    code, out, _ = evaluated("--model", "softmax", "--data", "digits", "--json", checkpoint=alone)
    assert code == 0
    assert json.loads(out)["accuracy"] == json.loads(evaluated("--json")[1])["accuracy"]
    for args, words in (
        (["--model", "softmax"], "does not say which data it was trained on: name them with --data"),
        (["--data", "digits"], "does not say which network it holds: name it with --model"),
        (["--data", "digits", "--model", "mlp-8"], "is it from another --model?"),
    ):
        code, out, err = evaluated(*args, checkpoint=alone)
        assert (code, out) == (2, "")
        assert words in err


def folder_of(path, *classes):
    """An ImageFolder of blank pictures."""
    for name in classes:
        (path / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (28, 28), 60 * number).save(path / name / f"{number}.png")
    return path


def test_bad_input_is_one_sentence(evaluated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("some words")
    (tmp_path / "empty").mkdir()
    folder_of(tmp_path / "one", "cat")
    folder_of(tmp_path / "two", "cat", "dog")
    folder_of(tmp_path / "damaged", "cat", "dog")
    (tmp_path / "damaged" / "dog" / "0.png").write_text("no picture")
    (tmp_path / "none" / "cat").mkdir(parents=True)
    cases = [
        (None, [], "Missing argument 'CHECKPOINT'"),
        ("nowhere", [], "nowhere"),
        ("empty", [], "empty has no model.pt or model.safetensors: it is not a run folder"),
        ("text.txt", [], "text.txt is not a checkpoint: it begins with b'some words'"),
        ("text.txt", ["--model", "lenet5", "--data", "digits"], "text.txt is not a checkpoint"),
        ("run", ["--model", "lenet5"], "lacks conv1.weight, conv1.bias, conv2.weight and"),
        ("run", ["--data", "one"], "one has only one class (cat), but at least two are needed"),
        ("run", ["--data", "two"], "distinguishes 10 classes, but"),
        ("run", ["--data", "damaged"], "1 of 8 images cannot be read"),
        ("run", ["--data", "none"], "none contains no images"),
        ("run", ["--data", "text.txt"], "text.txt is not an .npz file, or is damaged"),
        ("run", ["--data", "mnits"], "--data must be one of"),
        ("run", ["--split", "train"], "--split must be test, val or all, but it is 'train'"),
        ("run", ["--limit", "0"], "--limit must be at least 1, but it is 0"),
        ("run", ["--impl", "jax"], "--impl must be scratch or torch, but it is 'jax'"),
        ("run", ["--device", "tpu"], "--device"),
        ("run", ["--out", "two"], "two already exists and is not an empty folder"),
    ]
    for checkpoint, args, words in cases:
        named = {} if checkpoint == "run" else {"checkpoint": checkpoint}
        code, out, err = evaluated(*args, **named)
        assert (code, out) == (2, ""), (checkpoint, args)
        assert words in err
        assert err.count("\n") == 1, err
