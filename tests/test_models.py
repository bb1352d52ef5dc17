import pytest
import torch
import torch.nn.functional as F

from tinytorch_course.models import MODELS
from tinytorch_course.reference import layers as twins
from tinytorch_course.scratch import layers, losses


def both(name, dtype=torch.float64, **keywords):
    """A network's parameters and state, and its twin holding the same."""
    net, module = MODELS[name].build(layers, **keywords), MODELS[name].build(twins, **keywords)
    params, state = net.init(torch.Generator().manual_seed(0))
    module.load_state_dict(params | state, strict=True)
    params = {key: tensor.to(dtype) for key, tensor in params.items()}
    state = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    return net, params, state, module.to(dtype)


def gradients(name, dtype, batch=6):
    """Loss, gradients and new state of one training step of both."""
    net, params, state, module = both(name, dtype)
    x = torch.randn(batch, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype)
    y = torch.arange(batch) % 10
    out, state, cache = net.forward(params, state, x, training=True, generator=torch.Generator().manual_seed(2))
    loss, loss_cache = losses.cross_entropy_forward(out, y)
    _, grads = net.backward(losses.cross_entropy_backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)

    twins.set_generator(module, torch.Generator().manual_seed(2))
    twin_loss = F.cross_entropy(module(x), y)
    twin_loss.backward()
    twin_grads = {key: parameter.grad for key, parameter in module.named_parameters()}
    return (loss, grads, state), (twin_loss.detach(), twin_grads, module.state_dict())


@pytest.mark.parametrize("name", MODELS)
def test_loss_and_every_gradient_are_autograds(name):
    (loss, grads, state), (twin_loss, twin_grads, twin_state) = gradients(name, torch.float64)
    torch.testing.assert_close(loss, twin_loss, rtol=1e-10, atol=1e-10)
    assert set(grads) == set(twin_grads)
    for key, grad in grads.items():
        torch.testing.assert_close(grad, twin_grads[key], rtol=1e-10, atol=1e-10, msg=lambda m, key=key: f"{key}: {m}")
    for key, tensor in state.items():
        torch.testing.assert_close(tensor, twin_state[key], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_float32_gradients_are_autograds_within_rounding(name):
    (loss, grads, _), (twin_loss, twin_grads, _) = gradients(name, torch.float32)
    torch.testing.assert_close(loss, twin_loss, rtol=1e-5, atol=1e-5)
    for key, grad in grads.items():
        assert (grad - twin_grads[key]).abs().max() < 1e-5 * twin_grads[key].abs().max(), key


@pytest.mark.parametrize("name", MODELS)
def test_the_first_loss_is_that_of_a_guess(name):
    """An untrained classifier of ten classes knows nothing: its loss is near ln 10 = 2.303."""
    (loss, _, _), _ = gradients(name, torch.float64, batch=32)
    assert 2.0 < loss.item() < 2.8


@pytest.mark.parametrize("name", MODELS)
def test_input_channels_and_classes_can_be_chosen(name):
    net, params, state, module = both(name, num_classes=26, in_channels=3)
    x = torch.randn(2, 3, 28, 28, dtype=torch.float64)
    out, _, _ = net.forward(params, state, x, training=False)
    assert out.shape == (2, 26)
    torch.testing.assert_close(out, module.eval()(x).detach(), rtol=1e-10, atol=1e-10)


def test_the_mlp_is_784_128_64_10():
    params, _ = MODELS["mlp"].build(layers).init(torch.Generator())
    assert [tuple(params[f"fc{i}.weight"].shape) for i in (1, 2, 3)] == [(128, 784), (64, 128), (10, 64)]
