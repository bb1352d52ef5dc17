"""Both implementations with their inside in bfloat16, whose eight bits of mantissa round to 2⁻⁹."""

import pytest
import torch

from tinytorch_course import data
from tinytorch_course.data.loaders import MemoryLoader
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import LEARNERS, make_learner

CPU = torch.device("cpu")


def learner(impl, model, precision):
    return make_learner(TrainConfig(impl=impl, model=model, precision=precision))


def batches(count):
    digits = data.load("digits")
    loader = MemoryLoader(digits.train, digits.mean, digits.std, device=CPU, dtype=torch.float32)
    return list(loader.batches(None, 64))[:count]


def masks(step):
    return torch.Generator().manual_seed(step)


@pytest.mark.parametrize("model", ["mlp", "mnist_cnn"])
def test_both_round_alike_and_everything_that_stays_is_float32(model):
    ours, twin = learner("scratch", model, "bfloat16"), learner("torch", model, "bfloat16")
    exact = learner("scratch", model, "float32")
    for step, (x, y) in enumerate(batches(3)):
        results = [each.train_step(x, y, masks(step), {"lr": 1e-3}) for each in (ours, twin, exact)]
        (loss, logits), (twin_loss, twin_logits), (_, exact_logits) = results
        assert loss.dtype == logits.dtype == twin_logits.dtype == torch.float32
        assert abs(loss - twin_loss) < 0.05
        for rounded in (logits, twin_logits):
            difference = (rounded - exact_logits).norm() / exact_logits.norm()
            # Rounded, and only that; then Adam, which makes steps of one size of all gradients, makes much of little.
            assert 1e-4 < difference < (0.02 if step == 0 else 0.3)
    for key, tensor in ours.state_dict().items():
        assert tensor.dtype == twin.state_dict()[key].dtype == exact.state_dict()[key].dtype
        torch.testing.assert_close(tensor, twin.state_dict()[key], rtol=0.05, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("impl", LEARNERS)
def test_it_learns(impl):
    each = learner(impl, "mnist_cnn", "bfloat16")
    losses = [each.train_step(x, y, masks(step), {"lr": 3e-3})[0] for step, (x, y) in enumerate(batches(20))]
    assert losses[-1] < 0.5 * losses[0]
    x, y = batches(1)[0]
    assert (each.predict(x).argmax(1) == y).double().mean() > 0.7  # another machine rounds bfloat16 otherwise


def test_running_statistics_and_their_count_move():
    for impl in LEARNERS:
        each = learner(impl, "mnist_cnn", "bfloat16")
        for step, (x, y) in enumerate(batches(2)):
            each.train_step(x, y, masks(step), {"lr": 1e-3})
        state = each.state_dict()
        assert state["norm1.num_batches_tracked"] == 2
        assert (state["norm1.running_mean"] != 0).any()
