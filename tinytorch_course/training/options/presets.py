"""Recipes by name: settings that were tuned together, on validation images alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tinytorch_course.errors import InputError, did_you_mean


class Preset(NamedTuple):
    """Settings that go together."""

    purpose: str
    settings: dict[str, Any]  # fields of TrainConfig that differ from its defaults


PRESETS = {
    "fast": Preset(
        "99 % on MNIST in the least time",
        {"model": "fast_cnn", "data": "mnist", "epochs": 2, "batch_size": 128, "lr": 1e-2},
    ),
}


def settings_under(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's settings with ``changes`` on top. A learning rate that was tuned for another optimizer is left out.

    Raises:
        InputError: if there is no such preset.
    """
    if name not in PRESETS:
        raise InputError(
            f"--preset must be one of {', '.join(PRESETS)}, but it is {name!r}{did_you_mean(name, PRESETS)}"
        )
    settings = dict(PRESETS[name].settings)
    if "optimizer" in changes:
        for tuned in ("lr", "momentum", "weight_decay"):
            settings.pop(tuned, None)
    return {**settings, **changes}
