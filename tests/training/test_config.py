import dataclasses
import math
import subprocess
import sys

import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.training.config import (
    OPTIMIZER_DEFAULTS,
    TrainConfig,
    read_config,
    read_config_under,
    typed,
)


def test_the_defaults_are_a_run():
    TrainConfig().validate()


@pytest.mark.parametrize(
    "values",
    [
        {"impl": "torch", "model": "mlp", "data": "digits", "data_dir": "/some/where", "epochs": 1, "batch_size": 1},
        {"optimizer": "sgd", "momentum": 0.0, "lr": 1, "schedule": "constant", "weight_decay": 0},
        {"optimizer": "rmsprop", "momentum": 0.99, "schedule": "step", "label_smoothing": 0.999, "clip_norm": 5},
        {"optimizer": "adamw", "schedule": "linear-warmup", "device": "cuda", "dtype": "float64", "loader": "stream"},
        {"device": "cuda:12", "seed": 2**63 - 1, "val_size": 1, "limit": 1, "lr": 1e-300},
        {"augment": "shift,rotate=15", "class_weights": "balanced", "patience": 3},
        {"ema": 0.999, "init": "kaiming-normal", "from_": "runs/one", "freeze": "conv*,norm1", "log_gradients": True},
        {"class_weights": "1,2, 0.5", "overfit_batches": 2},
        {"device": "cpu", "schedule": "cosine", "data": "fashion-mnist", "model": "softmax"},
    ],
)
def test_good_values_pass(values):
    TrainConfig(**values).validate()


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("impl", "numpy", "--impl must be one of scratch, torch, but it is 'numpy'"),
        ("impl", "scrach", "--impl must be one of scratch, torch, but it is 'scrach'; did you mean scratch?"),
        ("impl", None, "--impl must be one of scratch, torch, but it is None"),
        ("ops", "fast", "--ops must be one of tuned, textbook, but it is 'fast'"),
        ("model", "mnist-cnn", "there is no network 'mnist-cnn'; did you mean mnist_cnn?"),
        ("model", "MLP", "there is no network 'MLP'; did you mean mlp?"),
        (
            "data",
            "minst",
            "of a folder of images or of an .npz file, but it is 'minst'; did you mean mnist?",
        ),
        ("data", "imagenet", "--data must be one of auto, mnist, fashion-mnist, kmnist, "),
        ("data", ["mnist"], "but it is ['mnist']"),
        ("data_dir", "", "--data-dir must be the path of a folder, but it is ''"),
        ("data_dir", 3, "--data-dir must be the path of a folder, but it is 3"),
        (
            "optimizer",
            "adm",
            "--optimizer must be one of sgd, adam, adamw, rmsprop, but it is 'adm'; did you mean adam?",
        ),
        (
            "schedule",
            "onecycle",
            "step, cosine, linear-warmup, one-cycle, but it is 'onecycle'; did you mean one-cycle?",
        ),
        ("dtype", "float16", "--dtype must be one of float32, float64, but it is 'float16'"),
        ("compile", "yes", "--compile must be true or false, but it is 'yes'"),
        ("cuda_graph", 1, "--cuda-graph must be true or false, but it is 1"),
        ("precision", "float16", "--precision must be one of float32, tf32, bfloat16, but it is 'float16'"),
        ("loader", "disk", "--loader must be one of memory, stream, but it is 'disk'"),
        ("format", "onnx", "--format must be one of pt, safetensors, but it is 'onnx'"),
        ("device", "gpu", "--device must be one of auto, cpu, cuda, cuda:N, but it is 'gpu'; did you mean cuda?"),
        ("device", "cuda:", "--device must be one of auto, cpu, cuda, cuda:N, but it is 'cuda:'; did you mean cuda?"),
        ("device", "cuda:-1", "but it is 'cuda:-1'"),
        ("device", "cuda:1\n", r"but it is 'cuda:1\n'"),
        ("device", 0, "--device must be one of auto, cpu, cuda, cuda:N, but it is 0"),
        ("epochs", 0, "--epochs must be at least 1, but it is 0"),
        ("epochs", -3, "--epochs must be at least 1, but it is -3"),
        ("epochs", 1.5, "--epochs must be an integer, but it is 1.5"),
        ("batch_size", 0, "--batch-size must be at least 1, but it is 0"),
        ("batch_size", None, "--batch-size must be an integer, but it is None"),
        ("batch_size", True, "--batch-size must be an integer, but it is True"),
        ("val_size", 0, "--val-size must be at least 1, but it is 0"),
        ("limit", -1, "--limit must be at least 1, but it is -1"),
        ("limit", 2**63, "--limit must be below 2**63, but it is 9223372036854775808"),
        ("seed", -1, "--seed must be at least 0, but it is -1"),
        ("seed", 2**63, "--seed must be below 2**63, but it is 9223372036854775808"),
        ("seed", "0", "--seed must be an integer, but it is '0'"),
        ("lr", 0.0, "--lr must be a finite number above 0, but it is 0.0"),
        ("lr", -1e-3, "--lr must be a finite number above 0, but it is -0.001"),
        ("lr", NAN, "--lr must be a finite number above 0, but it is nan"),
        ("lr", INF, "--lr must be a finite number above 0, but it is inf"),
        ("lr", 10**400, "--lr must be a finite number above 0, but it is 1000"),
        ("lr", "fast", "--lr must be a finite number above 0, but it is 'fast'"),
        ("clip_norm", 0, "--clip-norm must be a finite number above 0, but it is 0"),
        ("augment", "shift,blur", "--augment takes shift, rotate, scale, shear, elastic, flip, erase, but it is '"),
        ("augment", True, "--augment must be a comma-separated list without gaps, but it is True"),
        (
            "class_weights",
            "1,0",
            "--class-weights must be balanced or one number above 0 for each class, separated by commas",
        ),
        ("class_weights", "balance", "but it is 'balance'; did you mean balanced?"),
        ("class_weights", 1.5, "--class-weights must be a comma-separated list without gaps, but it is 1.5"),
        ("ema", 1.0, "--ema must be at least 0 and below 1, but it is 1.0"),
        ("ema", NAN, "--ema must be at least 0 and below 1, but it is nan"),
        ("init", "xavier", "but it is 'xavier'; did you mean xavier-normal?"),
        ("init", None, "--init must be one of default, zeros, normal, xavier-uniform"),
        ("from_", " ", "--from must be a run folder or a file of parameters, but it is ' '"),
        ("freeze", "conv1,,norm1", "--freeze must be a comma-separated list without gaps, but it is 'conv1,,norm1'"),
        ("log_gradients", 1, "--log-gradients must be true or false, but it is 1"),
        ("detect_anomaly", 1, "--detect-anomaly must be true or false, but it is 1"),
        ("checkpoint_every", 0, "--checkpoint-every must be at least 1, but it is 0"),
        ("tensorboard", "yes", "--tensorboard must be true or false, but it is 'yes'"),
        ("patience", 0, "--patience must be at least 1, but it is 0"),
        ("overfit_batches", 0, "--overfit-batches must be at least 1, but it is 0"),
        ("clip_norm", INF, "--clip-norm must be a finite number above 0, but it is inf"),
        ("weight_decay", -1e-4, "--weight-decay must be a finite number of at least 0, but it is -0.0001"),
        ("weight_decay", NAN, "--weight-decay must be a finite number of at least 0, but it is nan"),
        ("label_smoothing", 1.0, "--label-smoothing must be at least 0 and below 1, but it is 1.0"),
        ("label_smoothing", -0.1, "--label-smoothing must be at least 0 and below 1, but it is -0.1"),
        ("label_smoothing", None, "--label-smoothing must be at least 0 and below 1, but it is None"),
        ("momentum", 1.0, "--momentum must be at least 0 and below 1, but it is 1.0"),
        ("momentum", NAN, "--momentum must be at least 0 and below 1, but it is nan"),
        ("momentum", 0.9, "--momentum is for --optimizer sgd and rmsprop, but --optimizer is adam"),
    ],
)
def test_bad_values_are_named(name, value, message):
    with pytest.raises(InputError) as caught:
        TrainConfig(**{name: value}).validate()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_table_of_bad_values_covers_every_field():
    (table,) = (mark for mark in test_bad_values_are_named.pytestmark if mark.name == "parametrize")
    assert {name for name, _, _ in table.args[1]} == {field.name for field in dataclasses.fields(TrainConfig)}


def test_round_trip():
    config = TrainConfig(
        from_="runs/one", epochs=7, lr=0.1, optimizer="sgd", momentum=0.5, device="cuda:1", data_dir="there"
    )
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert TrainConfig.from_dict({}) == TrainConfig()


def test_settings_of_none_can_be_left_out():
    """``config.toml`` leaves them out, so absent must mean None wherever None is allowed."""
    for field in dataclasses.fields(TrainConfig):
        if "None" in str(field.type):
            assert field.default is None, field.name


def test_from_is_called_from_in_a_file():
    assert TrainConfig(from_="runs/one").to_dict()["from"] == "runs/one"
    with pytest.raises(InputError, match=r"no setting 'from_'; did you mean from\?"):
        TrainConfig.from_dict({"from_": "runs/one"})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("batch_size", 8, ["--batch-size", "8"]),
        ("from_", "a b", ["--from", "a b"]),
        ("ema", None, []),
        ("log_gradients", True, ["--log-gradients"]),
        ("log_gradients", False, []),
    ],
)
def test_settings_as_they_are_typed(name, value, words):
    assert typed(name, value) == words


def test_unknown_settings_are_named():
    with pytest.raises(InputError, match=r"no setting 'batchsize'; did you mean batch_size\?"):
        TrainConfig.from_dict({"batchsize": 4})
    with pytest.raises(InputError, match=r"no setting 'colour'$"):
        TrainConfig.from_dict({"colour": "red"})


def test_resolved_fills_in_what_was_not_given():
    assert TrainConfig().resolved() == TrainConfig(lr=OPTIMIZER_DEFAULTS["adam"].one_cycle_lr, weight_decay=0.0)
    assert TrainConfig(schedule="constant").resolved().lr == OPTIMIZER_DEFAULTS["adam"].lr
    given = TrainConfig(optimizer="sgd", lr=0.3, momentum=0.0, weight_decay=0.1)
    assert given.resolved() == given
    for optimizer in OPTIMIZER_DEFAULTS:
        resolved = TrainConfig(optimizer=optimizer).resolved()
        resolved.validate()
        assert resolved.resolved() == resolved
        assert (resolved.momentum is None) == (optimizer in ("adam", "adamw"))


def test_torch_is_not_imported():
    """The command line imports this module to answer --help, and torch takes seconds."""
    script = "import sys, tinytorch_course.training.config; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_an_mlp_of_any_widths():
    TrainConfig(model="mlp-32-16").validate()
    with pytest.raises(InputError, match="mlp-32-0"):
        TrainConfig(model="mlp-32-0").validate()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, []),
        ({"impl": "torch", "from_": "a", "log_gradients": True}, ["--impl", "torch", "--from", "a", "--log-gradients"]),
        # The optimizer's own numbers need not be typed.
        ({"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.0}, ["--optimizer", "sgd"]),
        ({"lr": 0.05, "momentum": None}, ["--lr", "0.05"]),
    ],
)
def test_the_words_that_give_a_run(settings, words):
    assert TrainConfig(**settings).words() == words


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_settings_from_a_file_or_the_folder_that_holds_it(tmp_path):
    path = write(tmp_path / "config.toml", 'model = "mlp"\nfrom = "runs/one"\nlr = 1\nlog_gradients = true\n')
    expected = TrainConfig(model="mlp", from_="runs/one", lr=1, log_gradients=True)
    assert read_config(path) == read_config(tmp_path) == expected
    assert read_config_under(path, {"model": "softmax", "seed": 3}) == dataclasses.replace(
        expected, model="softmax", seed=3
    )


def test_another_optimizer_does_not_inherit_the_numbers_of_the_first(tmp_path):
    path = write(tmp_path / "file", 'optimizer = "sgd"\nlr = 0.3\nmomentum = 0.5\nweight_decay = 0.1\nseed = 4\n')
    assert read_config_under(path, {"optimizer": "sgd"}).momentum == 0.5
    assert read_config_under(path, {"optimizer": "adam", "lr": 0.1}) == TrainConfig(optimizer="adam", lr=0.1, seed=4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = fast", "is not valid TOML"),
        ("rate = 3", "file cannot be used: the configuration has no setting 'rate'"),
        ("lr = -1.0", "file cannot be used: --lr must be a finite number above 0, but it is -1.0"),
        ("lr = true", "--lr must be a finite number above 0, but it is True"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    with pytest.raises(InputError) as caught:
        read_config(write(tmp_path / "file", text))
    assert message in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, message in (("binary", "binary is not valid TOML"), ("none", "cannot read"), (".", "config.toml")):
        with pytest.raises(InputError, match=message):
            read_config(tmp_path / name)
