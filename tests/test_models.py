import pytest
import torch
import torch.nn.functional as F
import torchvision

from tinytorch_course.errors import InputError
from tinytorch_course.models import MODELS, find_model, resnet18
from tinytorch_course.reference import layers as twins
from tinytorch_course.scratch import layers, losses

# The large networks see pictures that leave 2 x 2 values in layer4, over which batch norm can take a deviation.
SIDES = {"resnet18": 16, "resnet18_imagenet": 64}
NAMES = [*MODELS, "mlp-20-30-15"]


def both(name, dtype=torch.float64, **keywords):
    """A network's parameters and state, and its twin holding the same."""
    net, module = find_model(name).build(layers, **keywords), find_model(name).build(twins, **keywords)
    params, state = net.init(torch.Generator().manual_seed(0))
    module.load_state_dict(params | state, strict=True)
    params = {key: tensor.to(dtype) for key, tensor in params.items()}
    state = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    return net, params, state, module.to(dtype)


def gradients(name, dtype, batch=6):
    """Loss, gradients and new state of one training step of both."""
    net, params, state, module = both(name, dtype)
    side = SIDES.get(name, 28)
    x = torch.randn(batch, 1, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype)
    y = torch.arange(batch) % 10
    out, state, cache = net.forward(params, state, x, training=True, generator=torch.Generator().manual_seed(2))
    loss, loss_cache = losses.cross_entropy_forward(out, y)
    _, grads = net.backward(losses.cross_entropy_backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)

    twins.set_generator(module, torch.Generator().manual_seed(2))
    twin_loss = F.cross_entropy(module(x), y)
    twin_loss.backward()
    twin_grads = {key: parameter.grad for key, parameter in module.named_parameters()}
    return (loss, grads, state), (twin_loss.detach(), twin_grads, module.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_every_gradient_are_autograds(name):
    (loss, grads, state), (twin_loss, twin_grads, twin_state) = gradients(name, torch.float64)
    torch.testing.assert_close(loss, twin_loss, rtol=1e-10, atol=1e-10)
    assert set(grads) == set(twin_grads)
    for key, grad in grads.items():
        torch.testing.assert_close(grad, twin_grads[key], rtol=1e-10, atol=1e-10, msg=lambda m, key=key: f"{key}: {m}")
    for key, tensor in state.items():
        torch.testing.assert_close(tensor, twin_state[key], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_float32_gradients_are_autograds_within_rounding(name):
    (loss, grads, _), (twin_loss, twin_grads, _) = gradients(name, torch.float32)
    torch.testing.assert_close(loss, twin_loss, rtol=1e-5, atol=1e-5)
    for key, grad in grads.items():
        if name in SIDES:
            # In 18 layers of so few values a rounding may carry one over relu's kink, which costs 2 % of a gradient.
            assert (grad - twin_grads[key]).norm() < 0.1 * twin_grads[key].norm(), key
        else:
            assert (grad - twin_grads[key]).abs().max() < 1e-5 * twin_grads[key].abs().max(), key


@pytest.mark.parametrize("name", NAMES)
def test_the_first_loss_is_that_of_a_guess(name):
    """An untrained classifier of ten classes knows nothing: its loss is near ln 10 = 2.303."""
    net, params, state, _ = both(name, torch.float32)
    side = SIDES.get(name, 28)
    x = torch.randn(32, 1, side, side, generator=torch.Generator().manual_seed(1))
    out, _, _ = net.forward(params, state, x, training=True, generator=torch.Generator().manual_seed(2))
    loss, _ = losses.cross_entropy_forward(out, torch.arange(32) % 10)
    assert 2.0 < loss.item() < 2.8


@pytest.mark.parametrize("side", [18, 25, 32])
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("resnet")])
def test_the_size_of_the_pictures_can_be_chosen(name, side):
    net, params, state, module = both(name, image_size=side)
    x = torch.randn(2, 1, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    out, _, _ = net.forward(params, state, x, training=False)
    assert out.shape == (2, 10)
    torch.testing.assert_close(out, module.eval()(x).detach(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "smallest"), [("lenet5", 12), ("mnist_cnn", 4), ("mini_cnn", 18), ("fast_cnn", 18), ("tiny_vgg", 16)]
)
def test_the_smallest_picture_is_taken_and_a_smaller_one_refused(name, smallest):
    net, params, state, _ = both(name, image_size=smallest)
    out, _, _ = net.forward(params, state, torch.zeros(2, 1, smallest, smallest, dtype=torch.float64), training=False)
    assert out.shape == (2, 10)
    with pytest.raises(ValueError, match=f"it needs at least {smallest} x {smallest} pixels"):
        find_model(name).build(layers, image_size=smallest - 1)


@pytest.mark.parametrize("name", NAMES)
def test_input_channels_and_classes_can_be_chosen(name):
    net, params, state, module = both(name, num_classes=26, in_channels=3)
    x = torch.randn(2, 3, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    out, _, _ = net.forward(params, state, x, training=False)
    assert out.shape == (2, 26)
    torch.testing.assert_close(out, module.eval()(x).detach(), rtol=1e-10, atol=1e-10)


def test_the_mlp_is_784_128_64_10():
    params, _ = find_model("mlp").build(layers).init(torch.Generator())
    assert [tuple(params[f"fc{i}.weight"].shape) for i in (1, 2, 3)] == [(128, 784), (64, 128), (10, 64)]


def test_an_mlp_has_the_widths_of_its_name():
    params, _ = find_model("mlp-7-300-5").build(layers, num_classes=4, in_channels=2).init(torch.Generator())
    assert [tuple(param.shape) for key, param in params.items() if key.endswith("weight")] == [
        (7, 2 * 784),
        (300, 7),
        (5, 300),
        (4, 5),
    ]


@pytest.mark.parametrize(
    "name", ["mlp-", "mlp-0", "mlp-12-", "mlp-012", "mlp-3-0", "mlp-12345", "MLP-3", "mlp3", None, 3]
)
def test_other_names_are_no_networks(name):
    with pytest.raises(InputError, match=f"there is no network {name!r}"):
        find_model(name)


def test_lenet5_has_the_papers_sizes():
    params, _ = find_model("lenet5").build(layers).init(torch.Generator())
    weights = [tuple(param.shape) for key, param in params.items() if key.endswith("weight")]
    assert weights == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]


def test_mini_cnn_has_under_ten_thousand_parameters():
    params, _ = find_model("mini_cnn").build(layers).init(torch.Generator())
    assert sum(param.numel() for param in params.values()) < 10_000


@pytest.mark.slow
def test_resnet18_is_torchvisions():
    """Its random weights load; output, gradients, running statistics and the output in evaluation are the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torchvision.models.resnet18(num_classes=7).double()
    net = find_model("resnet18_imagenet").build(layers, num_classes=7, in_channels=3)
    own, own_state = net.init(torch.Generator())
    theirs = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    assert {key: tensor.shape for key, tensor in (own | own_state).items()} == {k: v.shape for k, v in theirs.items()}
    params, state = {key: theirs[key] for key in own}, {key: theirs[key] for key in own_state}

    x = torch.randn(3, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    dout = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x.requires_grad_()
    expected = module(x)
    expected.backward(dout)
    out, state, cache = net.forward(params, state, x.detach(), training=True)
    dx, grads = net.backward(dout, cache)

    close = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(out, expected.detach(), **close)
    scale = max(parameter.grad.abs().max().item() for parameter in module.parameters())
    torch.testing.assert_close(dx, x.grad, **close)
    for key, parameter in module.named_parameters():
        torch.testing.assert_close(grads[key], parameter.grad, rtol=1e-10, atol=1e-10 * max(1, scale), msg=key)
    for key, tensor in module.state_dict().items():
        if key in state:
            torch.testing.assert_close(state[key], tensor, **close)
    out, _, _ = net.forward(params, state, x.detach(), training=False)
    torch.testing.assert_close(out, module.eval()(x).detach(), **close)


def test_the_small_stem_changes_conv1_alone():
    small, large = (resnet18(layers, small_stem=stem).init(torch.Generator())[0] for stem in (True, False))
    assert list(small) == list(large)
    assert [key for key in small if small[key].shape != large[key].shape] == ["conv1.weight"]
    assert tuple(small["conv1.weight"].shape) == (64, 1, 3, 3)
