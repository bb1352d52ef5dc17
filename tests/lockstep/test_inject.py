"""Each mistake that can be injected, where it shows first, and what is said of it."""

import dataclasses

import pytest
from lockstep.comparing import Listener, tiny

from tinytorch_course.errors import InputError
from tinytorch_course.lockstep.compare import compare
from tinytorch_course.lockstep.inject import INJECTIONS, find_injection, layers_of
from tinytorch_course.training.config import TrainConfig

# mistake, model, the first step that it affects, kind and name of the first tensor, the function that made it
FIRST_SEEN = [
    ("bias-forgotten", "mlp", 1, "activation", "fc1", "linear_forward"),
    ("flatten-channels-last", "mnist_cnn", 1, "activation", "flatten", "flatten_forward"),
    ("conv-flipped", "mnist_cnn", 1, "activation", "conv1", "conv2d_forward"),
    ("batch-norm-n-1", "mnist_cnn", 1, "activation", "norm1", "batch_norm_forward"),
    ("batch-norm-eps-outside", "mnist_cnn", 1, "activation", "norm1", "batch_norm_forward"),
    ("dropout-scale-forgotten", "mnist_cnn", 1, "activation", "drop1", "dropout_forward"),
    ("dropout-same-mask", "mnist_cnn", 2, "activation", "drop1", "dropout_forward"),
    ("softmax-twice", "mlp", 1, "loss", "", "cross_entropy_forward"),
    ("log-epsilon", "mlp", 1, "loss", "", "cross_entropy_forward"),
    ("label-smoothing-added", "mlp", 1, "loss", "", "cross_entropy_forward"),
    ("label-smoothing-others", "mlp", 1, "loss", "", "cross_entropy_forward"),
    ("loss-not-averaged", "mlp", 1, "output gradient", "fc3", "cross_entropy_backward"),
    ("softmax-gradient-forgotten", "mlp", 1, "output gradient", "fc3", "cross_entropy_backward"),
    ("relu-mask-from-dout", "mlp", 1, "output gradient", "fc2", "relu_backward"),
    ("linear-weight-transposed", "mlp", 1, "gradient", "fc3.weight", "linear_backward"),
    ("linear-bias-averaged", "mlp", 1, "gradient", "fc3.bias", "linear_backward"),
    ("linear-sign", "mlp", 1, "gradient", "fc3.weight", "linear_backward"),
    ("conv-kernel-not-rotated", "mnist_cnn", 1, "output gradient", "pool1", "conv2d_backward"),
    ("conv-weight-turned", "mnist_cnn", 1, "gradient", "conv2.weight", "conv2d_backward"),
    ("conv-weight-flipped", "mnist_cnn", 1, "gradient", "conv2.weight", "conv2d_backward"),
    ("max-pool-ties", "mnist_cnn", 1, "output gradient", "relu2", "max_pool2d_backward"),
    ("batch-norm-mean-constant", "mnist_cnn", 1, "output gradient", "conv2", "batch_norm_backward"),
    ("batch-norm-variance-constant", "mnist_cnn", 1, "output gradient", "conv2", "batch_norm_backward"),
    ("batch-norm-count", "mnist_cnn", 1, "output gradient", "conv2", "batch_norm_backward"),
    ("dropout-mask-forgotten", "mnist_cnn", 1, "output gradient", "relu3", "dropout_backward"),
    ("no-zero-grad", "mlp", 2, "update gradient", "fc1.weight", "ScratchLearner.train_step"),
    ("clip-by-value", "mlp", 1, "update gradient", "fc1.weight", "clip_grad_norm"),
    ("clip-each-alone", "mlp", 1, "update gradient", "fc1.weight", "clip_grad_norm"),
    ("cosine-one-step-ahead", "mlp", 1, "rate", "lr", "cosine"),
    ("warmup-one-step-ahead", "mlp", 1, "rate", "lr", "linear_warmup"),
    ("one-cycle-peak-late", "mlp", 2, "rate", "lr", "one_cycle"),
    ("uphill", "mlp", 1, "parameter", "fc1.weight", "sgd_step"),
    ("momentum-as-mean", "mlp", 2, "moment", "momentum_buffer of fc1.weight", "sgd_step"),
    ("optimizer-forgets", "mlp", 2, "moment", "step of fc1.weight", "ScratchLearner.train_step"),
    ("sgd-decay-without-rate", "mlp", 1, "moment", "momentum_buffer of fc1.weight", "sgd_step"),
    ("adam-no-bias-correction", "mlp", 1, "parameter", "fc1.weight", "adam_step"),
    ("adam-correction-late", "mlp", 1, "parameter", "fc1.weight", "adam_step"),
    ("adam-eps-inside", "mlp", 1, "parameter", "fc1.weight", "adam_step"),
    ("adam-betas-swapped", "mlp", 1, "moment", "exp_avg of fc1.weight", "adam_step"),
    ("adamw-decay-coupled", "mlp", 1, "moment", "exp_avg of fc1.weight", "adam_step"),
    ("adam-decay-decoupled", "mlp", 1, "moment", "exp_avg of fc1.weight", "adam_step"),
    ("rmsprop-eps-inside", "mlp", 1, "parameter", "fc1.weight", "rmsprop_step"),
    ("running-variance-biased", "mnist_cnn", 1, "statistic", "norm1.running_var", "batch_norm_forward"),
    ("running-momentum-swapped", "mnist_cnn", 1, "statistic", "norm1.running_mean", "batch_norm_forward"),
    ("running-statistics-dropped", "mnist_cnn", 1, "statistic", "norm1.running_mean", "ScratchLearner.train_step"),
    ("batch-norm-batch-in-evaluation", "mnist_cnn", 1, "evaluation", "norm1", "batch_norm_forward"),
    ("dropout-in-evaluation", "mnist_cnn", 1, "evaluation", "drop1", "dropout_forward"),
]

LINES = {  # that made the first wrong tensor
    "softmax-gradient-forgotten": "dinput = ",  # of two returns, the one that was taken
    "batch-norm-count": "dx = torch.addcmul(",  # of two branches, the one that was run
    "max-pool-ties": "dx[taps]",
    "conv-weight-flipped": "dweight = ",
    "running-variance-biased": "running_var = ",
    "momentum-as-mean": "buffer = ",
    "dropout-mask-forgotten": "return dout if mask is None else",
}


def planned(injection, **settings):
    """A tiny run, set as --inject sets it when the user typed ``settings``."""
    return TrainConfig(**injection.fit(dataclasses.asdict(tiny(**settings)), set(settings)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model", "step", "kind", "tensor", "function"), FIRST_SEEN, ids=[row[0] for row in FIRST_SEEN]
)
def test_caught_in_the_first_step_and_named_at_the_right_tensor(name, model, step, kind, tensor, function):
    injection = find_injection(name)
    found = compare(
        planned(injection, model=model), steps=4, tolerance=1e-9, injection=injection, display=Listener()
    ).divergence
    assert found is not None
    assert (found.step, *found.quantity) == (step, kind, tensor)
    assert found.source.function == function
    assert found.source.text.startswith(LINES.get(name, ""))
    assert found.distance.error > 1e-9


def test_the_table_has_every_mistake_once():
    assert {row[0] for row in FIRST_SEEN} >= LINES.keys()
    assert [row[0] for row in FIRST_SEEN] == [injection.name for injection in INJECTIONS]
    assert len({injection.name for injection in INJECTIONS}) == len(INJECTIONS) >= 20


@pytest.mark.parametrize("model", ["softmax", "mlp", "lenet5", "mnist_cnn"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_without_a_mistake_nothing_is_caught(model, optimizer):
    config = tiny(model=model, optimizer=optimizer, clip_norm=0.1, label_smoothing=0.1, weight_decay=0.01)
    assert compare(config, steps=4, tolerance=1e-9, display=Listener()).divergence is None


def test_a_mistake_is_taken_out_again():
    injection = find_injection("uphill")
    compare(planned(injection), steps=1, tolerance=1e-9, injection=injection, display=Listener())
    assert compare(tiny(optimizer="sgd"), steps=2, tolerance=1e-9, display=Listener()).divergence is None


@pytest.mark.parametrize("injection", INJECTIONS, ids=lambda injection: injection.name)
def test_a_description_is_one_short_line_of_its_own(injection):
    assert 20 <= len(injection.what) <= 110
    assert "\n" not in injection.what
    assert not injection.what.endswith(".")
    assert [each.what for each in INJECTIONS].count(injection.what) == 1


def test_what_a_mistake_needs_is_set():
    settings = {"model": "mnist_cnn", "optimizer": "adam", "weight_decay": None, "momentum": None}
    fitted = find_injection("sgd-decay-without-rate").fit(settings, set())
    assert fitted == settings | {"optimizer": "sgd", "weight_decay": 0.01}
    assert settings["optimizer"] == "adam"


def test_what_was_typed_stays_where_it_shows_the_mistake():
    settings = {"model": "mlp", "optimizer": "adamw", "weight_decay": 0.5}
    assert find_injection("adamw-decay-coupled").fit(settings, {"optimizer", "weight_decay"}) == settings
    assert find_injection("adam-eps-inside").fit(settings, {"optimizer"}) == settings


@pytest.mark.parametrize(
    ("name", "typed", "words"),
    [
        ("adam-eps-inside", {"optimizer": "sgd"}, "shows only with --optimizer adam or adamw, but --optimizer is sgd"),
        ("momentum-as-mean", {"momentum": 0.0}, "--optimizer sgd, --momentum above 0, but --momentum is 0.0"),
        ("label-smoothing-added", {"label_smoothing": 0.0}, "--label-smoothing above 0, but --label-smoothing is 0.0"),
        (
            "max-pool-ties",
            {"model": "mlp"},
            "needs a network with max_pool2d, which mlp has not: choose --model mnist_cnn",
        ),
    ],
)
def test_what_was_typed_is_refused_where_it_hides_the_mistake(name, typed, words):
    with pytest.raises(InputError, match=words):
        planned(find_injection(name), **typed)


def test_an_unknown_mistake():
    with pytest.raises(InputError, match=r"there is no mistake 'uphil' to inject; did you mean uphill\?"):
        find_injection("uphil")
    with pytest.raises(InputError, match="`tinytorch compare --list-mistakes` lists them"):
        find_injection("xyz")


def test_layers_of_a_network():
    assert layers_of("mlp") == {"sequential", "flatten", "linear", "relu"}
