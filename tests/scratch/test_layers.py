import sys
import weakref

import pytest
import torch

from tinytorch_course import reference
from tinytorch_course.checking.cases import IMAGE, ROWS, draw
from tinytorch_course.checking.ops import layer_cases
from tinytorch_course.models import find_model
from tinytorch_course.reference import layers as twins
from tinytorch_course.scratch import layers
from tinytorch_course.scratch.tuned import convolution

# name -> (build, input shape): what `tinytorch check` goes through, and what its differences cannot see or need not
LAYERS = {f"{case.layer} {case.note}".strip(): (case.build, case.x) for case in layer_cases()} | {
    "linear unbatched": (lambda L: L.linear(6, 5), (6,)),
    "conv2d unbatched": (lambda L: L.conv2d(6, 4, 3), IMAGE[1:]),
    "dropout nothing": (lambda L: L.dropout(0.0), IMAGE),
    "sequential empty": (lambda L: L.sequential(), ROWS),
    "sequential deeper": (
        lambda L: L.sequential(L.sequential(L.linear(6, 5), L.tanh()), L.sequential(L.sequential(L.linear(5, 3)))),
        ROWS,
    ),
}


def twins_of(build, seed=0):
    """The layer's parameters and state in float64, and its twin holding the same."""
    layer, module = build(layers), build(twins)
    params, state = layer.init(torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    tensors = {
        name: (
            tensor.double() + torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        )
        for name, tensor in (params | state).items()
    }  # not at the special values 0 and 1, which could hide a mistake
    module.double().load_state_dict(tensors, strict=True)
    return layer, {name: tensors[name] for name in params}, {name: tensors[name] for name in state}, module


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", LAYERS)
def test_equals_its_twin(name, training):
    build, spec = LAYERS[name]
    layer, params, state, module = twins_of(build)
    module.train(training)
    (x,) = draw((spec,), seed=3)

    for step in range(3):  # several, for the running statistics
        masks, twin_masks = torch.Generator().manual_seed(step), torch.Generator().manual_seed(step)
        before = {key: tensor.clone() for key, tensor in (params | state).items()}
        out, new_state, cache = layer.forward(params, state, x, training=training, generator=masks)
        twins.set_generator(module, twin_masks)
        twin_x = x.clone().requires_grad_(x.is_floating_point())
        twin_out = module(twin_x) * 1
        torch.testing.assert_close(out, twin_out.detach(), rtol=1e-10, atol=1e-10)
        assert all(torch.equal(tensor, (params | state)[key]) for key, tensor in before.items()), "changed in place"

        dout = torch.randn(out.shape, dtype=torch.float64)
        module.zero_grad()
        twin_out.backward(dout)
        dx, grads = layer.backward(dout, cache)
        if x.is_floating_point():
            torch.testing.assert_close(dx, twin_x.grad, rtol=1e-10, atol=1e-10)
        assert list(grads) == list(params)
        for key, parameter in module.named_parameters():
            torch.testing.assert_close(
                grads[key], parameter.grad, rtol=1e-10, atol=1e-10, msg=lambda m, key=key: f"{key}: {m}"
            )

        dx, grads_alone = layer.backward(dout, cache, need_dx=False)
        assert all(torch.equal(grads_alone[key], grads[key]) for key in params)
        state = new_state
        for key, tensor in state.items():
            torch.testing.assert_close(tensor, module.state_dict()[key], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_first_parameters_are_the_twins_bit_for_bit(name):
    build, _ = LAYERS[name]
    params, state = build(layers).init(torch.Generator().manual_seed(7))
    module = build(twins)
    reference.initializers.reset_parameters(module, torch.Generator().manual_seed(7))
    expected = module.state_dict()
    assert set(params | state) == set(expected)
    assert list(params) == [key for key, _ in module.named_parameters()]
    for key, tensor in (params | state).items():
        assert tensor.dtype == expected[key].dtype
        assert torch.equal(tensor, expected[key]), key


def test_a_networks_input_gradient_is_never_computed_when_nobody_needs_it(monkeypatch):
    asked = []
    original = convolution.conv2d_backward
    monkeypatch.setattr(
        convolution,
        "conv2d_backward",
        lambda dout, cache, need_dx=True: (asked.append(need_dx), original(dout, cache, need_dx=need_dx))[1],
    )
    net = layers.sequential(layers.relu(), layers.conv2d(1, 2, 3), layers.conv2d(2, 2, 3))
    params, state = net.init(torch.Generator())
    out, _, cache = net.forward(params, state, torch.randn(1, 1, 6, 6), training=True)
    dx, grads = net.backward(torch.ones_like(out), cache, need_dx=False)
    assert dx is None
    assert asked == [True, False]
    assert set(grads) == set(params)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(layers.linear(3, 2), (4, 3)), (layers.conv2d(1, 2, 3), (1, 1, 5, 5))],
    ids=["linear", "conv2d"],
)
def test_a_layer_that_is_asked_for_no_input_gradient_computes_none(layer, shape):
    params, state = layer.init(torch.Generator())
    out, _, cache = layer.forward(params, state, torch.randn(shape), training=True)
    assert layer.backward(torch.ones_like(out), cache)[0] is not None
    assert layer.backward(torch.ones_like(out), cache, need_dx=False)[0] is None


def build_block(L):
    """A network whose root is no sequential."""
    return L.residual(
        conv=L.conv2d(1, 2, 3, padding=1), norm=L.batch_norm2d(2), downsample=L.conv2d(1, 2, 1), activation=L.relu()
    )


@pytest.mark.parametrize("build", [find_model("mini_cnn").build, build_block], ids=["sequential", "residual"])
def test_backward_may_be_called_twice(build):
    net = build(layers)
    params, state = net.init(torch.Generator().manual_seed(0))
    x = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    out, _, cache = net.forward(params, state, x, training=True)
    dx, grads = net.backward(torch.ones_like(out), cache)
    same_dx, same_grads = net.backward(torch.ones_like(out), cache)
    assert torch.equal(dx, same_dx)
    assert all(torch.equal(grad, same_grads[name]) for name, grad in grads.items())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="older Pythons hold a call's arguments until it returns")
def test_a_cache_that_was_given_away_is_let_go_of_on_the_way():
    first = layers.relu()
    alive = []

    def backward(dout, cache, **options):
        alive.append(last() is not None)
        return first.backward(dout, cache, **options)

    net = layers.sequential(first=first._replace(backward=backward), last=layers.tanh())
    out, _, *held = net.forward({}, {}, torch.randn(3, 4), training=True)
    last = weakref.ref(held[0].caches["last"].out)
    del out
    net.backward(torch.ones(3, 4), held[0])
    net.backward(torch.ones(3, 4), held.pop())
    assert alive == [True, False]


def test_a_network_prints_as_the_calls_that_made_it():
    net = layers.sequential(
        conv1=layers.conv2d(1, 32, 3, padding=1, bias=False),
        block=layers.residual(fc=layers.linear(4, 4), activation=layers.relu()),
    )
    assert (
        repr(net)
        == """sequential(
  (conv1): conv2d(in_channels=1, out_channels=32, kernel_size=3, padding=1, bias=False)
  (block): residual(
    (fc): linear(in_features=4, out_features=4)
    (activation): relu()
  )
)"""
    )
    assert repr(layers.sequential()) == "sequential()"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: layers.sequential(layers.linear, 5),
            "sequential is made of layers, but '0' is .*: call it, as in linear",
        ),
        (lambda: layers.sequential(fc=5), "sequential is made of layers, but 'fc' is 5"),
        (lambda: layers.residual(fc=layers.linear(2, 2), downsample=5), "residual .* but 'downsample' is 5"),
    ],
)
def test_what_is_no_layer_is_refused(build, message):
    with pytest.raises(TypeError, match=message):
        build()


def test_a_missing_parameter_names_its_layer():
    net = layers.sequential(stem=layers.sequential(conv2=layers.conv2d(1, 2, 3)))
    with pytest.raises(KeyError, match=r"stem.conv2: params has no 'weight'; its keys are 'bias', 'w'"):
        net.forward({"stem.conv2.bias": 0, "stem.conv2.w": 0}, {}, torch.ones(1, 1, 5, 5), training=True)
    with pytest.raises(KeyError, match=r"stem.conv2: params has no 'weight'; it has none"):
        net.forward({}, {}, torch.ones(1, 1, 5, 5), training=True)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: layers.sequential(layers.relu(), named=layers.relu()), "named layers or unnamed ones, not both"),
        (lambda: layers.dropout(1.5), "p must be a probability from 0 to 1, but it is 1.5"),
        (lambda: layers.conv2d(3, 4, 3, groups=2), "groups must divide in_channels, but they are 2 and 3"),
        (lambda: layers.conv2d(4, 3, 3, groups=2), "groups must divide out_channels, but they are 2 and 3"),
        (lambda: layers.conv2d(4, 3, 0), "kernel_size must be at least 1"),
        (
            lambda: layers.conv2d(4, 3, 3, padding_mode="mirror"),
            "padding_mode must be 'zeros', 'reflect', 'replicate' or",
        ),
    ],
)
def test_bad_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("layer", "shape"), [(layers.batch_norm1d(3), (2, 3, 4, 4)), (layers.batch_norm2d(3), (2, 3))], ids=["1d", "2d"]
)
def test_batch_norm_refuses_another_layout(layer, shape):
    params, state = layer.init(torch.Generator())
    with pytest.raises(ValueError, match=r"x must be \(N, C"):
        layer.forward(params, state, torch.ones(shape), training=True)
