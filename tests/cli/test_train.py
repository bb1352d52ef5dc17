import dataclasses
import json
import shlex

import pytest

from tinytorch_course.cli.app import run
from tinytorch_course.training import config
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.options.presets import PRESETS

# One value for every field of TrainConfig that is not its default.
OTHER = {
    "impl": "torch",
    "model": "mlp",
    "data": "digits",
    "data_dir": "my data",
    "epochs": 7,
    "batch_size": 32,
    "lr": 0.25,
    "optimizer": "sgd",
    "momentum": 0.5,
    "schedule": "cosine",
    "weight_decay": 0.125,
    "label_smoothing": 0.1,
    "clip_norm": 2.0,
    "augment": "shift,rotate=15",
    "class_weights": "1,2.5",
    "patience": 4,
    "overfit_batches": 2,
    "ema": 0.99,
    "init": "xavier-normal",
    "from_": "runs/before",
    "freeze": "conv*",
    "log_gradients": True,
    "tensorboard": True,
    "ops": "textbook",
    "format": "safetensors",
    "checkpoint_every": 40,
    "detect_anomaly": True,
    "seed": 3,
    "device": "cpu",
    "dtype": "float64",
    "precision": "bfloat16",
    "compile": True,
    "cuda_graph": True,
    "val_size": 50,
    "limit": 200,
    "loader": "stream",
}


def typed(settings):
    return [word for name, value in settings.items() for word in config.typed(name, value)]


def test_the_defaults_are_those_of_the_configuration(loop, capsys):
    assert run(["train"]) == 0
    assert loop.calls == [("train", TrainConfig(), None)]


def test_every_setting_has_its_option(loop, capsys):
    assert set(OTHER) == {field.name for field in dataclasses.fields(TrainConfig)}
    assert run(["train", *typed(OTHER), "--out", "runs/mine"]) == 0
    assert loop.calls == [("train", TrainConfig(**OTHER), "runs/mine")]


@pytest.mark.parametrize("name", OTHER)
def test_each_option_sets_its_own_field(loop, capsys, name):
    # Momentum is for optimizers that have one.
    settings = {name: OTHER[name]} | ({"optimizer": "sgd"} if name == "momentum" else {})
    assert run(["train", *typed(settings)]) == 0
    assert loop.calls == [("train", TrainConfig(**settings), None)]


@pytest.mark.parametrize("name", OTHER)
def test_help_says_each_default(capsys, name):
    assert run(["train", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    line = words[words.index(config.flag(name) + " ") :]
    default = getattr(TrainConfig(), name)
    if default is False:
        return  # a flag that is not typed is off
    line = line[: line.index(")", line.index("(default: ")) + 1]
    assert line.count(" --") == 0  # no other option's default
    assert line.endswith(f"(default: {default})") or default is None


def test_resume_changes_only_what_was_typed(loop, capsys):
    assert run(["train", "--resume", "runs/one"]) == 0
    assert loop.calls.pop() == ("resume", "runs/one", {})
    assert run(["train", "--resume", "runs/one", "--epochs", "9"]) == 0
    assert loop.calls.pop() == ("resume", "runs/one", {"epochs": 9})


def test_resume_notes_a_default_that_was_typed(loop, capsys):
    assert run(["train", "--resume", "runs/one", "--batch-size", "128"]) == 0
    assert loop.calls == [("resume", "runs/one", {"batch_size": 128})]


def test_a_file_of_settings_stands_under_what_is_typed(loop, tmp_path, capsys):
    (tmp_path / "config.toml").write_text('model = "mlp"\nseed = 4\nepochs = 3\n')
    assert run(["train", "--config", str(tmp_path / "config.toml"), "--seed", "0"]) == 0
    assert loop.calls.pop() == ("train", TrainConfig(model="mlp", seed=0, epochs=3), None)
    assert run(["train", "--config", str(tmp_path)]) == 0
    assert loop.calls.pop() == ("train", TrainConfig(model="mlp", seed=4, epochs=3), None)


def test_a_preset_stands_under_what_is_typed(loop, capsys):
    assert run(["train", "--preset", "fast", "--epochs", "1"]) == 0
    assert loop.calls == [("train", TrainConfig(**{**PRESETS["fast"].settings, "epochs": 1}), None)]


def test_json_is_one_document_and_all_of_stdout(loop, capsys):
    assert run(["train", "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["test_accuracy"] == 0.9722
    assert document["test_interval"] == [0.95, 0.985]
    assert document["run_folder"] == "runs/one"
    assert "train loss" in err


def test_summary(loop, capsys):
    assert run(["train"]) == 0
    out, err = capsys.readouterr()
    assert "97.22 %    95 % interval 95.00 to 98.50 %, on 360 images" in out
    assert "1 of 2     chosen by its validation accuracy, 97.50 %" in out
    assert "421,834    mnist_cnn from scratch, float32 on cpu" in out
    assert "  tinytorch train --resume runs/one --epochs 4\n" in out
    assert "mnist_cnn from scratch, 421,834 parameters, on handwritten digits" in err


@pytest.mark.parametrize("settings", [{}, OTHER, OTHER | {"impl": "scratch"}], ids=["defaults", "all", "all, scratch"])
def test_the_command_to_compare_trains_the_same_with_the_other_implementation(loop, capsys, settings):
    assert run(["train", *typed(settings)]) == 0
    (_, trained, _) = loop.calls.pop()
    command = capsys.readouterr().out.split("To compare:")[1]
    program, *args = shlex.split(command)
    assert program == "tinytorch"
    assert run(args) == 0
    (_, compared, _) = loop.calls.pop()
    other = "torch" if trained.impl == "scratch" else "scratch"
    assert compared.resolved() == dataclasses.replace(trained, impl=other, cuda_graph=False).resolved()


def test_the_command_to_compare_leaves_out_what_is_usual(loop, capsys):
    assert run(["train"]) == 0
    assert capsys.readouterr().out.endswith("  tinytorch train --impl torch\n")


def test_a_real_run_and_its_resumption(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = ["--model", "softmax", "--data", "digits", "--limit", "64", "--batch-size", "32", "--device", "cpu"]
    assert run(["train", "--impl", "scratch", *settings, "--epochs", "1", "--out", "mine", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["run_folder"], first["impl"], first["epochs"], first["test_count"]) == ("mine", "scratch", 1, 64)

    assert run(["train", "--resume", "mine", "--impl", "torch", "--epochs", "2"]) == 0
    out, err = capsys.readouterr()
    assert "Resuming at step 1 of 2 in epoch 2 of 2." in err
    assert [line.split()[0] for line in out.splitlines()[:2]] == ["epoch", "2/2"]
    assert "softmax in torch, float32 on cpu" in out

    assert run(["train", "--resume", "mine", "--lr", "0.5"]) == 2
    assert capsys.readouterr().err.startswith("Error: --lr cannot change when a run is resumed")


def test_several_seeds(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = ["--model", "softmax", "--data", "digits", "--limit", "64", "--batch-size", "32", "--epochs", "1"]
    assert run(["train", *settings, "--seeds", "2", "--seed", "3", "--out", "many"]) == 0
    out, err = capsys.readouterr()
    assert "Seed 3, 1 of 2." in out
    assert "Seed 4, 2 of 2." in out
    table = out.splitlines()
    heading = next(number for number, line in enumerate(table) if line.split()[:1] == ["seed"])
    assert [line.split()[0] for line in table[heading + 1 : heading + 3]] == ["3", "4"]
    assert "(deviation of a single run)" in out
    assert out.splitlines()[-1] == "Run folders    many"

    assert run(["train", "--config", "many/seed-3", "--seeds", "3,4", "--out", "many", "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["seeds"] == [3, 4]
    assert document["test_accuracy"]["deviation"] >= 0
    assert [each["run_folder"] for each in document["runs"]] == ["many/seed-3", "many/seed-4"]
    assert err.count("All 1 epochs of this run are done") == 2
