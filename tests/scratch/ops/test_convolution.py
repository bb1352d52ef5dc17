import pytest
import torch
import torch.nn.functional as F
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.convolution import ARGUMENTS, OPS
from tinytorch_course.checking.cases import draw
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch.ops.convolution import (
    conv2d_backward,
    conv2d_forward,
    conv2d_naive_backward,
    conv2d_naive_forward,
)
from tinytorch_course.scratch.tuned import using


@parametrize_cases(OPS)
def test_equals_torch(case, form):
    with using(form):
        check_case(case).require()


@pytest.mark.parametrize(("inputs", "keywords"), ARGUMENTS, ids=[str(keywords) for _, keywords in ARGUMENTS])
def test_fast_equals_naive(inputs, keywords):
    args = draw(inputs)
    fast, fast_cache = conv2d_forward(*args, **keywords)
    naive, naive_cache = conv2d_naive_forward(*args, **keywords)
    torch.testing.assert_close(fast, naive, rtol=1e-12, atol=1e-12)
    dout = torch.randn_like(fast)
    for ours, definition in zip(
        conv2d_backward(dout, fast_cache), conv2d_naive_backward(dout, naive_cache), strict=True
    ):
        torch.testing.assert_close(ours, definition, rtol=1e-12, atol=1e-12)


def test_is_the_adjoint_of_the_transposed_convolution():
    x, weight = draw(((2, 3, 6, 7), (4, 3, 3, 3)))
    out, cache = conv2d_forward(x, weight, stride=2, padding=1)
    dout = torch.randn_like(out)
    dx = F.conv_transpose2d(dout, weight, stride=2, padding=1, output_padding=(1, 0))
    torch.testing.assert_close(conv2d_backward(dout, cache)[0], dx, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((out * dout).sum(), (x * dx).sum(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_memory_format_changes_nothing(memory_format):
    x, weight = draw(((2, 3, 6, 7), (4, 3, 3, 3)))
    out, _ = conv2d_forward(x.contiguous(memory_format=memory_format), weight, padding=1)
    torch.testing.assert_close(out, F.conv2d(x, weight, padding=1), rtol=1e-12, atol=1e-12)


def test_input_gradient_can_be_left_out():
    x, weight, bias = draw(((2, 3, 6, 7), (4, 3, 3, 3), (4,)))
    out, cache = conv2d_forward(x, weight, bias)
    dout = torch.randn_like(out)
    dx, *others = conv2d_backward(dout, cache, need_dx=False)
    assert dx is None
    assert all(torch.equal(a, b) for a, b in zip(others, conv2d_backward(dout, cache)[1:], strict=True))


def test_float32_gradients_are_autograds():
    x, weight, bias = draw(((8, 16, 14, 14), (32, 16, 3, 3), (32,)), dtype=torch.float32)
    out, cache = conv2d_forward(x, weight, bias, padding=1)
    dout = torch.randn_like(out)
    _, vjp = torch.func.vjp(lambda *args: F.conv2d(*args, padding=1), x, weight, bias)
    for got, expected in zip(conv2d_backward(dout, cache), vjp(dout), strict=True):
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


X, W = torch.ones(2, 3, 5, 5), torch.ones(4, 3, 3, 3)


@pytest.mark.parametrize(
    ("args", "keywords", "error", "message"),
    [
        ((X[0, 0], W), {}, ValueError, r"x must be \(N, C, H, W\) or \(C, H, W\), but its shape is \(5, 5\)"),
        ((X[:, :, :0], W), {"padding": 2}, ValueError, "x must have pixels"),
        ((X, W[0]), {}, ValueError, "weight must be"),
        ((X, W[:, :2]), {}, ValueError, "x has 3 channels, but weight .* expects 2"),
        ((X, W, torch.ones(3)), {}, ValueError, r"bias must have shape \(4,\)"),
        ((X, W[..., :0]), {}, ValueError, "weight must not be empty"),
        ((X.double(), W), {}, TypeError, "weight has dtype torch.float32, but x has torch.float64"),
        ((X.int(), W), {}, TypeError, "x must be a floating-point tensor"),
        ((X, W), {"stride": 0}, ValueError, "stride must be at least 1, but it is 0"),
        ((X, W), {"stride": (1, 2, 3)}, ValueError, "stride must be an integer or a pair"),
        ((X, W), {"stride": 1.5}, TypeError, "stride must be an integer or a pair"),
        ((X, W), {"padding": -1}, ValueError, "padding must be at least 0, but it is -1"),
        ((X, W), {"padding": "full"}, ValueError, "padding must be a number, 'same' or 'valid', but it is 'full'"),
        ((X, W), {"padding": "same", "stride": 2}, ValueError, "padding='same' needs a stride of 1"),
        ((X, W), {"dilation": 0}, ValueError, "dilation must be at least 1"),
        ((X, W), {"dilation": 3}, ValueError, "reaches over 7x7 pixels .* only 5x5"),
        ((X, W), {"groups": 3}, ValueError, "groups must divide the 4 output channels, but it is 3"),
        ((X, W), {"groups": 2}, ValueError, "x has 3 channels, but weight .* groups=2 expects 6"),
        ((X, W), {"groups": 0}, ValueError, "groups must be at least 1"),
    ],
)
def test_bad_input_is_named_and_torch_rejects_it_too(args, keywords, error, message):
    with pytest.raises(error, match=message):
        conv2d_forward(*args, **keywords)
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        F.conv2d(*args, **keywords)
