import copy
import math

import pytest
import torch
from torch import nn

from tinytorch_course.reference.initializers import reset_parameters
from tinytorch_course.scratch import initializers

SHAPES = [(5, 3), (1, 1), (300, 70), (4, 3, 5, 2), (6, 2, 3), (2, 3, 2, 2, 2)]


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


CASES = [
    ("uniform", {}),
    ("uniform", {"a": -0.3, "b": 0.7}),
    ("uniform", {"a": 2.0, "b": 2.0}),
    ("normal", {}),
    ("normal", {"mean": 1.5, "std": 0.2}),
    ("normal", {"std": 0.0}),
    ("xavier_uniform", {}),
    ("xavier_uniform", {"gain": 5 / 3}),
    ("xavier_normal", {}),
    ("xavier_normal", {"gain": 0.5}),
    *(
        (name, kwargs)
        for name in ("kaiming_uniform", "kaiming_normal")
        for kwargs in (
            {},
            {"mode": "fan_out"},
            {"a": math.sqrt(5)},
            {"a": 0.2, "mode": "fan_out"},
            {"nonlinearity": "relu"},
            {"nonlinearity": "tanh", "mode": "fan_out"},
            {"nonlinearity": "selu"},
            {"nonlinearity": "linear", "a": 3.0},
        )
    ),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_equals_torch_bit_for_bit(name, kwargs, shape, dtype):
    ours, theirs = seeded(), seeded()
    got = getattr(initializers, name)(shape, ours, **kwargs, dtype=dtype)
    expected = getattr(nn.init, f"{name}_")(torch.empty(shape, dtype=dtype), generator=theirs, **kwargs)
    assert got.dtype == dtype
    assert torch.equal(got, expected)
    assert torch.equal(ours.get_state(), theirs.get_state())  # and the next draw is the same as well


def test_zeros_and_constant():
    assert torch.equal(initializers.zeros((2, 3), dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64))
    assert torch.equal(initializers.constant((2,), 0.3), nn.init.constant_(torch.empty(2), 0.3))


@pytest.mark.parametrize(
    ("nonlinearity", "param"),
    [*((name, None) for name in initializers.GAINS), ("leaky_relu", None), ("leaky_relu", 0.2), ("leaky_relu", 0)],
)
def test_gains_are_torchs(nonlinearity, param):
    assert initializers.calculate_gain(nonlinearity, param) == nn.init.calculate_gain(nonlinearity, param)


LAYERS = [
    nn.Linear(7, 5),
    nn.Linear(7, 5, bias=False),
    nn.Conv1d(4, 6, 3),
    nn.Conv2d(3, 8, (3, 5)),
    nn.Conv2d(4, 6, 3, groups=2, bias=False),
    nn.Conv2d(4, 8, 3, groups=4),
    nn.Conv3d(2, 3, 2),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layer_defaults_are_torchs_bit_for_bit(layer):
    default = initializers.linear_default if isinstance(layer, nn.Linear) else initializers.conv_default
    torch.manual_seed(5)
    layer.reset_parameters()  # torch's own, from the global generator
    weight, bias = default(layer.weight.shape, seeded(5), bias=layer.bias is not None)
    assert torch.equal(weight, layer.weight)
    assert bias is None if layer.bias is None else torch.equal(bias, layer.bias)
    assert weight.abs().max() <= 1 / math.sqrt(layer.weight[0].numel())


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 2, 3, bias=False)), nn.Linear(9, 3)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_twin_draws_the_same_network_from_one_generator(dtype):
    net = network().to(dtype)
    with torch.no_grad():
        for tensor in [*net.parameters(), net[1].running_mean, net[1].running_var]:
            tensor.fill_(7)
    reset_parameters(net, seeded())

    generator = seeded()
    first = initializers.conv_default((4, 1, 3, 3), generator)
    second = initializers.conv_default((2, 4, 3, 3), generator, bias=False)
    last = initializers.linear_default((3, 9), generator)
    expected = [*first, torch.ones(4), torch.zeros(4), second[0], *last]
    for got, drawn in zip(net.parameters(), expected, strict=True):
        assert torch.equal(got, drawn.to(dtype))
    assert torch.equal(net[1].running_mean, torch.zeros(4).to(dtype))
    assert torch.equal(net[1].running_var, torch.ones(4).to(dtype))


def test_the_twin_starts_as_torch_itself_does():
    """Module after module, torch draws from its global generator what we draw from ours."""
    torch.manual_seed(11)
    net = network()
    again = copy.deepcopy(net)
    reset_parameters(again, seeded(11))
    for got, expected in zip(again.parameters(), net.parameters(), strict=True):
        assert torch.equal(got, expected)


def test_the_twin_names_a_layer_it_does_not_know():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))

    with pytest.raises(TypeError, match=r"0, a Scale, has parameters but no reset_parameters\(\)"):
        reset_parameters(nn.Sequential(Scale()), seeded())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: initializers.uniform((2,), g, a=1.0, b=0.0), ValueError, "b must be at least a, but a is 1.0 and"),
        (lambda g: initializers.normal((2,), g, std=-1.0), ValueError, "std must be at least 0, but it is -1.0"),
        (lambda g: initializers.normal((2,), None), TypeError, "generator must be a torch.Generator, but it is a None"),
        (lambda g: initializers.uniform((2,), 3), TypeError, "generator must be a torch.Generator, but it is a int"),
        (lambda g: initializers.xavier_uniform((2,), g), ValueError, r"at least two axes, .* but it is \(2,\)"),
        (lambda g: initializers.kaiming_normal((0, 3), g), ValueError, r"one entry on every axis, but it is \(0, 3\)"),
        (lambda g: initializers.kaiming_normal((2, 3), g, mode="fan"), ValueError, "mode must be .* but it is 'fan'"),
        (lambda g: initializers.kaiming_uniform((2, 3), g, nonlinearity="gelu"), ValueError, "one of linear, conv1d"),
        (
            lambda g: initializers.kaiming_uniform((2, 3), g, a=True),
            TypeError,
            "param must be a number, but it is True",
        ),
        (lambda g: initializers.linear_default((2, 3, 4), g), ValueError, r"shape must be \(out, in\)"),
        (lambda g: initializers.conv_default((2, 3), g), ValueError, r"shape must be \(out, in / groups, kernel"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(seeded())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_generator_elsewhere_is_refused():
    with pytest.raises(ValueError, match="generator must be on the cpu"):
        initializers.uniform((2,), torch.Generator("cuda"))
