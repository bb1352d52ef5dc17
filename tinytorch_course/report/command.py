"""The command that a run can be repeated with."""

import dataclasses
import shlex

from tinytorch_course.training.config import TrainConfig


def command(config: TrainConfig) -> str:
    """``tinytorch train`` with every setting that differs from what it would be anyway."""
    others = dataclasses.replace(config, impl=TrainConfig.impl).words()  # all but the implementation, always said
    return shlex.join(["tinytorch", "train", "--impl", config.impl, *others])
