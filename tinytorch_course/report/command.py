"""The command that a run can be repeated with."""

import dataclasses
import shlex

from tinytorch_course.training.config import TrainConfig


def command(config: TrainConfig) -> str:
    """``tinytorch train`` with every setting that differs from what it would be anyway."""
    words = ["tinytorch", "train", "--impl", config.impl]
    usual = TrainConfig(optimizer=config.optimizer, schedule=config.schedule).resolved()
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        # Where "not given" means a number of the optimizer's own, that number need not be given either.
        default = getattr(usual, field.name) if field.default is None else field.default
        if field.name == "impl" or value is None or value == default:
            continue
        name = field.name.replace("_", "-")
        words += [f"--{name}" if value else f"--no-{name}"] if isinstance(value, bool) else [f"--{name}", str(value)]
    return shlex.join(words)
