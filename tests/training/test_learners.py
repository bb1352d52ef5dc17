"""Both implementations side by side: same start, same batches, same masks."""

import dataclasses
import math

import pytest
import torch

from tinytorch_course import data
from tinytorch_course.data.loaders import MemoryLoader, epoch_order
from tinytorch_course.models import Model
from tinytorch_course.seeds import derive_seed
from tinytorch_course.training.config import SCHEDULE_NAMES, TrainConfig
from tinytorch_course.training.learners import LEARNERS, make_learner, make_schedule

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def learner(impl, config, device=CPU):
    return make_learner(dataclasses.replace(config, impl=impl), device=device)


def lockstep(digits, config, steps, device=CPU):
    """Train both for ``steps``; yields the two learners and losses after each."""
    config = config.resolved()
    learners = {impl: learner(impl, config, device) for impl in LEARNERS}
    schedules = {impl: make_schedule(dataclasses.replace(config, impl=impl), steps, 1) for impl in LEARNERS}
    loader = MemoryLoader(digits.train, digits.mean, digits.std, device=device, dtype=getattr(torch, config.dtype))
    step = epoch = 0
    while step < steps:
        order = epoch_order(len(digits.train.images), config.seed, epoch)
        for x, y in loader.batches(order, config.batch_size):
            if step == steps:
                return
            losses = {}
            for impl, each in learners.items():
                masks = torch.Generator().manual_seed(derive_seed("masks", config.seed, step))
                losses[impl], _ = each.train_step(x, y, masks, schedules[impl](step))
            step += 1
            yield learners["scratch"], learners["torch"], losses
        epoch += 1


def largest_difference(ours, twin):
    """Over all parameters and running statistics: max |a − b| / (1 + |b|)."""
    theirs = twin.state_dict()
    assert set(ours.state_dict()) == set(theirs)
    return max(
        ((tensor - theirs[key]).abs() / (1 + theirs[key].abs())).max().item()
        for key, tensor in ours.state_dict().items()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(optimizer="adam", schedule="one-cycle"),
        TrainConfig(optimizer="sgd", lr=0.05, schedule="cosine", clip_norm=1.0, label_smoothing=0.1),
    ],
    ids=["adam", "sgd"],
)
def test_float64_training_is_the_same_for_200_steps(digits, config):
    """With dropout and batch norm on: both draw the same masks."""
    config = dataclasses.replace(config, model="mnist_cnn", dtype="float64", batch_size=4)
    steps = list(lockstep(digits, config, 200))
    assert all(abs(losses["scratch"] - losses["torch"]) < 1e-9 for _, _, losses in steps)
    ours, twin, _ = steps[-1]
    assert largest_difference(ours, twin) < 1e-9


@pytest.mark.parametrize("model", ["softmax", "mlp"])
@pytest.mark.parametrize(
    "keywords",
    [
        {"optimizer": "adamw", "schedule": "linear-warmup"},
        {"optimizer": "rmsprop", "momentum": 0.5, "schedule": "step"},
        {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 1e-3, "schedule": "constant"},
    ],
    ids=lambda keywords: keywords["optimizer"],
)
def test_float64_training_is_the_same_with_every_optimizer_and_schedule(digits, model, keywords):
    config = TrainConfig(model=model, dtype="float64", batch_size=32, **keywords)
    *_, (ours, twin, _) = lockstep(digits, config, 24)
    assert largest_difference(ours, twin) < 1e-9


@pytest.mark.parametrize("impl", LEARNERS)
def test_schedules_divide_a_run_as_they_say(impl):
    """Four epochs of ten steps: thirds of two epochs, a tenth of four steps."""
    rates = {}
    for name in SCHEDULE_NAMES:
        config = TrainConfig(schedule=name, lr=1.0)
        schedule = make_schedule(dataclasses.replace(config, impl=impl), 10, 4)
        rates[name] = [schedule(step)["lr"] for step in range(40)]
        assert all(set(schedule(step)) == {"lr"} for step in range(40))
    assert rates["constant"] == [1.0] * 40
    assert rates["step"] == pytest.approx([1.0] * 20 + [0.1] * 20)
    assert rates["cosine"] == pytest.approx([(1 + math.cos(math.pi * step / 40)) / 2 for step in range(40)])
    assert rates["linear-warmup"] == pytest.approx([1 / 3, 1 / 2, 2 / 3, 5 / 6] + [1.0] * 36)
    assert (rates["one-cycle"][0], rates["one-cycle"][11], rates["one-cycle"][39]) == pytest.approx((0.04, 1.0, 4e-6))


@pytest.mark.parametrize("impl", LEARNERS)
def test_evaluation_smooths_no_labels(digits, impl):
    config = TrainConfig(model="softmax", label_smoothing=0.5).resolved()
    loader = MemoryLoader(digits.test, digits.mean, digits.std, device=CPU, dtype=torch.float32)
    x, y = next(loader.batches(None, 50))
    loss, logits = learner(impl, config).evaluate(x, y)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, y))


def test_float32_training_is_the_same_for_ten_steps(digits):
    """Longer than that nobody can promise: torch parts from itself when the number of threads changes."""
    *_, (ours, twin, _) = lockstep(digits, TrainConfig(optimizer="sgd", lr=0.01, batch_size=32), 10)
    assert largest_difference(ours, twin) < 1e-5


@pytest.mark.parametrize("impl", LEARNERS)
def test_twenty_images_can_be_learned_by_heart(digits, impl):
    config = TrainConfig(model="mlp", optimizer="adam", lr=3e-3, schedule="constant").resolved()
    each = learner(impl, config)
    loader = MemoryLoader(digits.train, digits.mean, digits.std, device=CPU, dtype=torch.float32)
    x, y = next(loader.batches(None, 20))
    for step in range(150):
        loss, _ = each.train_step(x, y, torch.Generator().manual_seed(step), {"lr": 3e-3})
    assert loss < 1e-3


@pytest.mark.parametrize(("giver", "taker"), [("scratch", "torch"), ("torch", "scratch")])
def test_a_state_dict_moves_to_the_other_implementation(digits, giver, taker):
    config = TrainConfig(model="mnist_cnn").resolved()
    first, second = learner(giver, config), learner(taker, TrainConfig(seed=1).resolved())
    loader = MemoryLoader(digits.train, digits.mean, digits.std, device=CPU, dtype=torch.float32)
    x, y = next(loader.batches(None, 64))
    for step in range(5):
        first.train_step(x, y, torch.Generator().manual_seed(step), {"lr": 1e-3})
    second.load_state_dict(first.state_dict())
    _, expected = first.evaluate(x, y)
    _, got = second.evaluate(x, y)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_float64_training_is_the_same_on_cuda(digits):
    config = TrainConfig(model="mnist_cnn", dtype="float64", batch_size=32)
    steps = list(lockstep(digits, config, 200, torch.device("cuda")))
    assert all(abs(losses["scratch"] - losses["torch"]) < 1e-9 for _, _, losses in steps)
    ours, twin, _ = steps[-1]
    assert largest_difference(ours, twin) < 1e-9


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("impl", LEARNERS)
def test_cuda_draws_the_masks_of_the_cpu(digits, impl):
    config = TrainConfig(model="mnist_cnn", dtype="float64").resolved()
    results = []
    for device in (CPU, torch.device("cuda")):
        each = learner(impl, config, device)
        loader = MemoryLoader(digits.train, digits.mean, digits.std, device=device, dtype=torch.float64)
        x, y = next(loader.batches(None, 32))
        loss, _ = each.train_step(x, y, torch.Generator().manual_seed(0), {"lr": 1e-3})
        results.append(loss.cpu())
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("model", ["mlp", "mnist_cnn", "lenet5"])
def test_textbook_and_tuned_ops_train_alike(digits, model):
    learners = [learner("scratch", TrainConfig(model=model, ops=ops, dtype="float64")) for ops in ("tuned", "textbook")]
    x, y = digits.train.images[:8].double() / 255, digits.train.labels[:8]
    for step in range(5):
        losses = [each.train_step(x, y, torch.Generator().manual_seed(step), {"lr": 1e-3})[0] for each in learners]
        torch.testing.assert_close(*losses, rtol=1e-10, atol=1e-10)
    tuned, textbook = (each.state_dict() for each in learners)
    assert any(not torch.equal(tensor, textbook[name]) for name, tensor in tuned.items())  # they are not the same code
    for name, tensor in tuned.items():
        torch.testing.assert_close(tensor, textbook[name], rtol=1e-10, atol=1e-10)


def test_a_network_whose_root_is_no_sequential_trains(digits):
    model = Model(
        "block",
        lambda L, **options: L.residual(
            flat=L.flatten(), fc=L.linear(784, 10), downsample=L.sequential(L.flatten(), L.linear(784, 10))
        ),
        "a residual block",
    )
    both = {impl: make_learner(TrainConfig(impl=impl, dtype="float64"), model=model) for impl in LEARNERS}
    x, y = digits.train.images[:8].double() / 255, digits.train.labels[:8]
    for step in range(3):
        losses = [each.train_step(x, y, torch.Generator().manual_seed(step), {"lr": 1e-3})[0] for each in both.values()]
        torch.testing.assert_close(*losses, rtol=1e-10, atol=1e-10)
