import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.activation import OPS
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch.ops import activation
from tinytorch_course.scratch.tuned import using


@parametrize_cases(OPS)
def test_equals_torch(case, form):
    with using(form):
        check_case(case).require()


@pytest.mark.parametrize("op", ["relu", "leaky_relu", "gelu", "sigmoid", "tanh"])
def test_nan_stays_nan(op):
    forward, backward = getattr(activation, f"{op}_forward"), getattr(activation, f"{op}_backward")
    out, cache = forward(torch.tensor([float("nan"), 1.0]))
    assert out.isnan().tolist() == [True, False]
    assert not backward(torch.ones(2), cache)[1].isnan()


EXTREMES = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e30, -1e30)


@pytest.mark.parametrize(
    ("op", "twin", "keywords"),
    [
        ("relu", F.relu, {}),
        ("leaky_relu", F.leaky_relu, {}),
        ("leaky_relu", F.leaky_relu, {"negative_slope": 0.0}),
        ("leaky_relu", F.leaky_relu, {"negative_slope": -0.5}),
        ("gelu", F.gelu, {}),
        ("gelu", F.gelu, {"approximate": "tanh"}),
        ("sigmoid", torch.sigmoid, {}),
        ("tanh", torch.tanh, {}),
    ],
)
def test_extreme_values_give_what_torch_gives(op, twin, keywords):
    """Every pair of an x and a dout. (In float32 torch's own exact gelu(inf) is NaN, so float64.)"""
    x, dout = torch.tensor(list(itertools.product(EXTREMES, EXTREMES)), dtype=torch.float64).unbind(1)
    out, cache = getattr(activation, f"{op}_forward")(x, **keywords)
    dx = getattr(activation, f"{op}_backward")(dout, cache)
    expected, vjp = torch.func.vjp(lambda x: twin(x, **keywords), x)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12, equal_nan=True)
    torch.testing.assert_close(dx, vjp(dout)[0], rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_a_shift_of_the_logits_changes_nothing(op):
    forward = getattr(activation, f"{op}_forward")
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(forward(x + 3.0, 1)[0], forward(x, 1)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("x_dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_converts_x_first_and_dx_back(op, x_dtype, dtype):
    x = (30 * torch.randn(4, 5)).to(x_dtype)
    out, cache = getattr(activation, f"{op}_forward")(x, 1, dtype)
    expected, vjp = torch.func.vjp(lambda x: getattr(F, op)(x, 1, dtype=dtype), x)
    dout = torch.randn(4, 5).to(out.dtype)
    dx, (right,) = getattr(activation, f"{op}_backward")(dout, cache), vjp(dout)
    assert (out.dtype, dx.dtype) == (expected.dtype, right.dtype) == (dtype, x_dtype)
    rounding = max(torch.finfo(dtype).eps, torch.finfo(x_dtype).eps)
    torch.testing.assert_close(out, expected, rtol=20 * torch.finfo(dtype).eps, atol=20 * torch.finfo(dtype).eps)
    torch.testing.assert_close(dx, right, rtol=20 * rounding, atol=20 * rounding)


@pytest.mark.parametrize(
    ("op", "args", "error", "message"),
    [
        ("relu", (torch.ones(2).int(),), TypeError, "x must be a floating-point tensor"),
        ("gelu", (torch.ones(2), "erf"), ValueError, "approximate must be 'none' or 'tanh', but it is 'erf'"),
        ("softmax", (torch.ones(2, 3), 2), IndexError, "dim must be from -2 to 1 for a tensor of 2 axes, but it is 2"),
        ("softmax", (torch.ones(2, 3), None), TypeError, "dim must be an integer"),
        ("softmax", (torch.ones(2, 3), 1, torch.int64), TypeError, "dtype must be a floating-point dtype, but it is"),
        ("log_softmax", (torch.ones(2, 3), -3), IndexError, "dim must be from -2 to 1"),
    ],
)
def test_bad_input_is_named(op, args, error, message):
    with pytest.raises(error, match=message):
        getattr(activation, f"{op}_forward")(*args)
