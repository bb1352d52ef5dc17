import pytest
import torch

from tinytorch_course.errors import InputError
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import LEARNERS, make_learner
from tinytorch_course.training.options.freezing import describe, trainable

NAMES = ("conv1.weight", "norm1.weight", "norm1.bias", "layer1.0.conv1.weight", "layer10.bias", "fc.weight", "fc.bias")


@pytest.mark.parametrize(
    ("freeze", "left"),
    [
        (None, NAMES),
        ("conv1", NAMES[1:]),
        ("norm1.bias", tuple(name for name in NAMES if name != "norm1.bias")),
        ("layer1", NAMES[:3] + NAMES[4:]),  # and not layer10
        ("layer*", NAMES[:3] + NAMES[5:]),
        ("*.weight", ("norm1.bias", "layer10.bias", "fc.bias")),
        ("conv1, norm?,layer*,*.bias", ("fc.weight",)),
    ],
)
def test_patterns_match_layers_and_parameters(freeze, left):
    assert trainable(NAMES, freeze) == left


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (
            "conv1,conv9",
            "--freeze conv9 matches no parameter; the layers are conv1, norm1, layer1.0.conv1, ",
        ),
        ("Conv1", "--freeze Conv1 matches no parameter"),
        ("*", r"--freeze \* leaves nothing to train"),
    ],
)
def test_patterns_that_freeze_nothing_or_all_are_refused(freeze, message):
    with pytest.raises(InputError, match=message):
        trainable(NAMES, freeze)


@pytest.mark.parametrize("impl", LEARNERS)
@pytest.mark.parametrize(
    "optimizer",
    [
        {"optimizer": "sgd", "weight_decay": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "rmsprop", "momentum": 0.5},
    ],
    ids=lambda keywords: keywords["optimizer"],
)
def test_frozen_parameters_keep_every_bit_and_have_no_state(impl, optimizer):
    config = TrainConfig(impl=impl, model="mini_cnn", freeze="conv*,norm1", **optimizer).resolved()
    learner = make_learner(config)
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    x, y = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(1)), torch.arange(8)
    shown = []
    learner.watch = lambda grads: shown.append(set(grads))
    for step in range(2):
        learner.train_step(x, y, torch.Generator().manual_seed(step), {"lr": 0.01})

    learned = set(learner.trainable)
    assert shown == [learned, learned]
    for name, tensor in learner.state_dict().items():
        if name in learned or "running" in name or "tracked" in name:  # statistics follow, as in torch
            assert not torch.equal(tensor, before[name]), name
        else:
            assert torch.equal(tensor, before[name]), name
    state = learner.optimizer_state()
    (group,) = state["param_groups"]
    assert set(group["param_names"]) == learned
    assert len(state["state"]) == len(learned)


def test_what_is_left_to_train_is_said():
    tensors = {name: torch.empty(2, 3) for name in NAMES}
    assert describe(NAMES[4:], tensors) == "--freeze leaves 18 parameters to train, in layer10, fc."
    many = {f"fc{number}.weight": torch.empty(1000) for number in range(11)}
    assert "11,000 parameters" in describe(tuple(many), many)
    assert describe(tuple(many), many).endswith("in fc0, fc1, fc2, fc3, fc4, fc5, fc6, fc7 and 3 more layers.")
