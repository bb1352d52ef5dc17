import json
import math
import shlex

import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.report.gather import command, learning_rates, read_gradients, read_run
from tinytorch_course.training.config import TrainConfig


def test_a_run_that_ended(trained):
    run = read_run(trained, "one")
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert (run.planned, run.config.model, run.notes) == (2, "lenet5", [])
    assert run.best["epoch"] == run.result["best_epoch"]
    assert {"tinytorch", "torch", "threads"} <= set(run.versions)
    steps = [step for step, _ in run.gradients["conv1.weight"]]
    assert steps == sorted(steps)
    assert all(norm > 0 for _, norm in run.gradients["conv1.weight"])


def test_a_run_that_was_stopped(stopped):
    run = read_run(stopped, "one")
    assert (run.result, len(run.history), run.planned) == (None, 2, 4)


def test_rates_are_the_history_s(trained):
    run = read_run(trained, "one")
    rates = learning_rates(run, 64)
    assert [epoch for epoch, _ in rates] == [0.5, 1.0, 1.5, 2.0]  # two steps an epoch
    by_epoch = dict(rates)
    for row in run.history:
        assert by_epoch[row["epoch"]] == pytest.approx(row["lr"])


def test_rates_of_another_schedule_are_taken_from_the_history(trained):
    run = read_run(trained, "one")
    noted = [(row["epoch"], row["lr"]) for row in run.history]
    assert learning_rates(run, None) == noted  # the number of training images is not known
    run.history[0]["lr"] *= 1.01
    assert learning_rates(run, 64) == [(1, pytest.approx(1.01 * noted[0][1])), noted[1]]


def test_what_else_is_malformed_becomes_a_note(copy):
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | {"test_accuracy": "high"}))
    (copy / "last.pt").write_text("no checkpoint")
    (copy / "gradients.csv").write_text("a,b\n1,2\n")
    run = read_run(copy, "one")
    assert (run.result, run.versions, run.gradients) == (None, {}, {})
    for note, name in zip(run.notes, ("result.json", "last.pt", "gradients.csv"), strict=True):
        assert name in note


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("history.jsonl", '{"epoch": "1"}\n', "line 1 is not an epoch of a run"),
        ("history.jsonl", '{"epoch": 1}\n', "line 1 is not an epoch of a run"),
        ("history.jsonl", "epoch 1\n", "line 1 is not an epoch of a run"),
        ("history.jsonl", "[1]\n", "line 1 is not an epoch of a run"),
        ("config.toml", "model = ", "is not valid TOML"),
        ("config.toml", 'model = "resnet8"', "there is no network 'resnet8'"),
    ],
)
def test_a_malformed_history_or_configuration_is_refused(copy, name, text, words):
    (copy / name).write_text(text)
    with pytest.raises(InputError, match=words) as error:
        read_run(copy, "one")
    assert str(copy / name) in str(error.value)


def test_gradients_are_read_by_name(tmp_path):
    path = tmp_path / "gradients.csv"
    path.write_text("epoch,step,name,norm\n1,1,a,0.5\n1,1,b,2\n1,3,a,inf\n")
    assert read_gradients(path) == {"a": [(1, 0.5), (3, math.inf)], "b": [(1, 2.0)]}
    path.write_text("epoch,step,name,norm\n1,first,a,0.5\n")
    with pytest.raises(InputError, match="its columns are not epoch, step, name and norm"):
        read_gradients(path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "tinytorch train --impl scratch"),
        ({"impl": "torch", "seed": 3}, "tinytorch train --impl torch --seed 3"),
        ({"optimizer": "sgd"}, "tinytorch train --impl scratch --optimizer sgd"),
        ({"lr": 0.01, "clip_norm": 1.0}, "tinytorch train --impl scratch --lr 0.01 --clip-norm 1.0"),
        ({"data_dir": "my data"}, "tinytorch train --impl scratch --data-dir 'my data'"),
        ({"log_gradients": True}, "tinytorch train --impl scratch --log-gradients"),
    ],
)
def test_only_what_differs_is_typed(settings, words):
    # A run's configuration has the optimizer's own numbers written out.
    assert command(TrainConfig(**settings).resolved()) == words


def test_what_is_typed_gives_the_same_run():
    config = TrainConfig(model="mlp-20", optimizer="rmsprop", momentum=0.5, schedule="step", epochs=4).resolved()
    typed = dict(zip(*[iter(shlex.split(command(config))[2:])] * 2, strict=True))
    kinds = {"--momentum": float, "--epochs": int}
    values = {name[2:].replace("-", "_"): kinds.get(name, str)(value) for name, value in typed.items()}
    assert TrainConfig(**values).resolved() == config
