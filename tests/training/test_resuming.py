"""Resumed is uninterrupted, bit for bit: every optimizer, every schedule and every option that changes training."""

import dataclasses
from itertools import cycle

import pytest
import torch
from trials import Display, final_state, same

from tinytorch_course.training.config import OPTIMIZER_DEFAULTS, SCHEDULE_NAMES, TrainConfig
from tinytorch_course.training.learners import LEARNERS
from tinytorch_course.training.loop import Interrupted, resume, train

# Dropout, batch norm; three batches an epoch, so that a stop before the fifth step is within the second one.
CONFIG = TrainConfig(model="mini_cnn", data="digits", limit=24, batch_size=8, epochs=2, val_size=16, seed=5)
STOP = 4

CHANGES = [
    *({"optimizer": o, "schedule": s} for o, s in zip(cycle(OPTIMIZER_DEFAULTS), SCHEDULE_NAMES, strict=False)),
    {"optimizer": "sgd", "momentum": 0.5, "weight_decay": 0.1, "lr": 0.05},
    {"label_smoothing": 0.1, "class_weights": "balanced"},
    {"clip_norm": 0.1, "freeze": "conv1*"},
    {"augment": "shift,rotate,scale,shear,elastic,erase"},
    {"ema": 0.9, "patience": 2},
    {"init": "kaiming-normal"},
    {"overfit_batches": 2},
    {"dtype": "float64"},
    {"precision": "bfloat16"},
    {"ops": "textbook"},
    {"loader": "stream"},
    {"log_gradients": True},
    {"format": "safetensors", "checkpoint_every": 2},
    {"val_size": 50},
    {"ema": 0.9, "freeze": "fc.bias", "init": "xavier-uniform", "augment": "shift", "class_weights": "balanced"},
]
# What is no part of these runs: what is trained and where, and what other tests resume.
ELSEWHERE = {"impl", "model", "data", "data_dir", "epochs", "batch_size", "seed", "device", "limit"}
ELSEWHERE |= {"from_", "compile", "cuda_graph", "tensorboard", "detect_anomaly"}


def test_every_setting_is_here():
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    assert fields == ELSEWHERE | {name for change in CHANGES for name in change}
    assert {change.get("optimizer") for change in CHANGES} > set(OPTIMIZER_DEFAULTS)


@pytest.mark.slow
@pytest.mark.parametrize("impl", LEARNERS)
@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: ",".join(f"{k}={v}" for k, v in changes.items()))
def test_resumed_is_uninterrupted(tmp_path, impl, changes):
    config = dataclasses.replace(CONFIG, impl=impl, **changes)
    train(config, out=str(tmp_path / "whole"), display=Display())
    with pytest.raises(Interrupted):
        train(config, out=str(tmp_path / "stopped"), display=Display(stop_before=STOP))
    torch.manual_seed(1000)  # what another process would have
    resume(str(tmp_path / "stopped"), {}, display=Display())
    assert same(final_state(tmp_path / "stopped"), final_state(tmp_path / "whole"))
