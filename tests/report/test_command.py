import shlex

import pytest

from tinytorch_course.report.command import command
from tinytorch_course.training.config import TrainConfig


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
