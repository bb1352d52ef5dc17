import math

import pytest
import torch
from torch import nn

from tinytorch_course.reference import clipping as reference
from tinytorch_course.scratch.clipping import clip_grad_norm, clip_grad_value


def draw(scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = {"w": (3, 4), "b": (4,), "scale": (), "none": None, "empty": (0, 2)}
    return {
        name: None if shape is None else scale * torch.randn(shape, dtype=dtype, generator=generator)
        for name, shape in shapes.items()
    }


def module_with(grads):
    module = nn.Module()
    for name, grad in grads.items():
        param = nn.Parameter(torch.zeros(2) if grad is None else torch.zeros_like(grad))
        param.grad = None if grad is None else grad.clone()
        module.register_parameter(name, param)
    return module


def assert_same(got, module):
    for name, param in module.named_parameters():
        if param.grad is None:
            assert got[name] is None
        else:
            torch.testing.assert_close(got[name], param.grad, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("norm_type", [2.0, 1, 3, 0.5, 0, -1, math.inf, "inf", -math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.01, 1.0, 100.0, math.inf])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 0.0])
def test_norm_equals_torch(norm_type, max_norm, scale):
    grads = draw(scale)
    if norm_type in (math.inf, "inf", -math.inf, -1):
        del grads["empty"]  # torch refuses it there
    module = module_with(grads)
    expected = reference.clip_grad_norm(module, max_norm, norm_type)
    got, norm = clip_grad_norm(grads, max_norm, norm_type)
    torch.testing.assert_close(norm, expected, rtol=1e-12, atol=1e-12)
    assert_same(got, module)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("norm_type", [2.0, math.inf])
def test_a_norm_that_is_not_finite(bad, norm_type):
    grads = {"w": torch.tensor([1.0, bad]), "b": torch.ones(2)}
    module = module_with(grads)
    reference.clip_grad_norm(module, 1.0, norm_type)
    assert_same(clip_grad_norm(grads, 1.0, norm_type)[0], module)
    with pytest.raises(RuntimeError, match=rf"the gradients' norm is {bad}, because of \['w'\]"):
        clip_grad_norm(grads, 1.0, norm_type, error_if_nonfinite=True)


def test_a_norm_can_overflow_without_any_gradient_that_is_not_finite():
    with pytest.raises(RuntimeError, match="norm is inf, because of their number"):
        clip_grad_norm({"a": torch.full((1,), 3e38), "b": torch.full((1,), 3e38)}, 1.0, 1.0, error_if_nonfinite=True)


def test_the_norm_ends_at_the_limit_and_no_gradient_grows():
    grads = draw()
    got, norm = clip_grad_norm(grads, 0.5)
    assert norm.item() > 0.5
    assert clip_grad_norm(got, 0.5)[1].item() == pytest.approx(0.5, rel=1e-5)
    same, _ = clip_grad_norm(grads, 2 * norm.item())
    assert torch.equal(same["w"], grads["w"])


@pytest.mark.parametrize("clip_value", [0.0, 0.3, 100.0])
def test_value_equals_torch(clip_value):
    grads = draw()
    module = module_with(grads)
    reference.clip_grad_value(module, clip_value)
    assert_same(clip_grad_value(grads, clip_value), module)


def test_nothing_to_clip():
    assert clip_grad_norm({"w": None}, 1.0) == ({"w": None}, torch.tensor(0.0))
    assert clip_grad_value({}, 1.0) == {}


def test_each_keeps_its_dtype_and_none_is_changed_in_place():
    grads = {"a": torch.full((2,), 3.0), "b": torch.full((2,), 4.0).double()}
    clipped, norm = clip_grad_norm(grads, 1.0)
    assert norm.item() == pytest.approx(math.sqrt(50))
    cut = clip_grad_value(grads, 1.0)
    for result in (clipped, cut):
        assert [one.dtype for one in result.values()] == [torch.float32, torch.float64]
    assert (grads["a"] == 3).all()
    assert (grads["b"] == 4).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: clip_grad_norm(draw(), -1.0), ValueError, "max_norm must be at least 0, but it is -1"),
        (lambda: clip_grad_norm(draw(), math.nan), ValueError, "max_norm must be at least 0, but it is nan"),
        (
            lambda: clip_grad_norm(draw(), 1.0, "two"),
            ValueError,
            "norm_type must be a number or 'inf', but it is 'two'",
        ),
        (lambda: clip_grad_norm({"w": torch.ones(2).int()}, 1.0), TypeError, r"grads\['w'\] must be a floating-point"),
        (lambda: clip_grad_value(draw(), -1.0), ValueError, "clip_value must be at least 0, but it is -1"),
        (lambda: clip_grad_value({"w": [1.0]}, 1.0), TypeError, r"grads\['w'\] must be a tensor, but it is a list"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("norm_type", [1, 2, 3])
def test_the_norm_is_the_same_bits_for_any_number_of_threads(norm_type):
    grads = {"weight": torch.randn(401, 300, generator=torch.Generator().manual_seed(0))}
    before, norms = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 4, 8):
            torch.set_num_threads(threads)
            norms.append(clip_grad_norm(grads, 1.0, norm_type=norm_type)[1])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(norms[0], norm) for norm in norms)
