import dataclasses

import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.options.presets import PRESETS, settings_under


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_run(name):
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    assert set(PRESETS[name].settings) <= fields
    TrainConfig(**PRESETS[name].settings).validate()


def test_what_is_typed_comes_first():
    assert settings_under("fast", {"epochs": 1, "seed": 3}) == PRESETS["fast"].settings | {"epochs": 1, "seed": 3}


def test_a_rate_tuned_for_another_optimizer_is_left_out():
    assert "lr" not in settings_under("fast", {"optimizer": "sgd"})
    assert settings_under("fast", {"optimizer": "sgd", "lr": 0.3})["lr"] == 0.3


def test_an_unknown_preset_is_refused():
    with pytest.raises(InputError, match=r"--preset must be one of fast.*, but it is 'fats'; did you mean fast\?"):
        settings_under("fats", {})
