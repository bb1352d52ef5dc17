import pytest
import torch

from tinytorch_course.training.config import INIT_NAMES, TrainConfig
from tinytorch_course.training.learners import make_learner


def start(impl, model, init, seed=0):
    return make_learner(TrainConfig(impl=impl, model=model, init=init, seed=seed)).state_dict()


@pytest.mark.parametrize("init", INIT_NAMES)
def test_both_implementations_start_alike_bit_for_bit(init):
    for model in ("mlp", "mini_cnn"):
        ours, twins = (start(impl, model, init) for impl in ("scratch", "torch"))
        assert set(ours) == set(twins)
        for name, tensor in ours.items():
            assert torch.equal(tensor, twins[name]), name


@pytest.mark.parametrize(
    ("init", "deviation", "bound"),
    [
        ("normal", 0.01, None),
        ("xavier-uniform", (2 / (784 + 128)) ** 0.5, (6 / (784 + 128)) ** 0.5),
        ("xavier-normal", (2 / (784 + 128)) ** 0.5, None),
        ("kaiming-uniform", (2 / 784) ** 0.5, (6 / 784) ** 0.5),
        ("kaiming-normal", (2 / 784) ** 0.5, None),
        ("default", (1 / 3 / 784) ** 0.5, (1 / 784) ** 0.5),
    ],
)
def test_weights_are_as_wide_as_their_formula_says(init, deviation, bound):
    params = start("scratch", "mlp", init)
    weight = params["fc1.weight"]
    assert weight.std().item() == pytest.approx(deviation, rel=0.01)
    assert abs(weight.mean().item()) < deviation / 50
    largest = weight.abs().max().item()
    assert 0.99 * bound < largest <= bound if bound else largest > 3 * deviation
    if init != "default":
        assert not params["fc1.bias"].any()


def test_zeros_are_zeros_and_batch_norm_keeps_its_start():
    params = start("torch", "mini_cnn", "zeros")
    for name, tensor in params.items():
        if name.startswith("norm") and name.endswith(("weight", "running_var")):
            assert (tensor == 1).all()
        else:
            assert not tensor.any()


def test_the_seed_decides():
    assert not torch.equal(*(start("scratch", "mlp", "kaiming-normal", seed)["fc2.weight"] for seed in (0, 1)))
