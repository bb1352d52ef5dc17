import pytest
import torch
import torch.nn.functional as F
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.normalization import OPS
from tinytorch_course.checking.cases import draw
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch.ops.normalization import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_long_backward,
    batch_norm_long_forward,
)
from tinytorch_course.scratch.tuned import using


@parametrize_cases(OPS)
def test_equals_torch(case, form):
    with using(form):
        check_case(case).require()


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5)])
def test_closed_form_equals_long_form(shape):
    x, weight, bias = draw((shape, (3,), (3,)))
    out, _, cache = batch_norm_forward(x, None, None, weight, bias, training=True)
    long, long_cache = batch_norm_long_forward(x, weight, bias)
    torch.testing.assert_close(out, long, rtol=1e-12, atol=1e-12)
    dout = torch.randn_like(out)
    closed = batch_norm_backward(dout, cache)
    for got, expected in zip(closed, batch_norm_long_backward(dout, long_cache), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_what_does_not_move_the_output_gets_no_gradient():
    """Shifting or stretching a channel leaves x̂ alone, so dx is orthogonal to 1 and (for eps → 0) to x̂."""
    (x,) = draw(((8, 3, 4),))
    out, _, cache = batch_norm_forward(x, None, None, training=True, eps=1e-300)
    dx, _, _ = batch_norm_backward(torch.randn_like(out), cache)
    assert dx.sum(dim=(0, 2)).abs().max() < 1e-13
    assert (dx * out).sum(dim=(0, 2)).abs().max() < 1e-13


def test_running_variance_is_unbiased_but_normalisation_is_not():
    x = torch.tensor([[1.0], [3.0]])
    out, (mean, var), _ = batch_norm_forward(x, torch.zeros(1), torch.zeros(1), training=True, momentum=1.0, eps=1e-12)
    assert (mean.item(), var.item()) == (2.0, 2.0)  # divided by M − 1 = 1
    assert out.flatten().tolist() == [-1.0, 1.0]  # divided by M = 2


def test_running_statistics_are_not_touched_in_evaluation():
    mean, var = torch.randn(3), torch.rand(3)
    _, (new_mean, new_var), _ = batch_norm_forward(torch.randn(4, 3), mean, var)
    assert new_mean is mean
    assert new_var is var


X, ONE = torch.ones(4, 3, 2), torch.ones(3)


@pytest.mark.parametrize(
    ("args", "keywords", "error", "message"),
    [
        ((torch.ones(3), ONE, ONE), {}, ValueError, r"x must be \(N, C, ...\), but its shape is \(3,\)"),
        ((X, torch.ones(2), ONE), {}, ValueError, r"running_mean must have shape \(3,\)"),
        ((X, ONE, ONE, torch.ones(2)), {}, ValueError, r"weight must have shape \(3,\)"),
        ((X, ONE, ONE, ONE, torch.ones(4)), {}, ValueError, r"bias must have shape \(3,\)"),
        ((X, None, None), {}, ValueError, "running_mean and running_var must be given when training is False"),
        ((torch.ones(1, 3), ONE, ONE), {"training": True}, ValueError, "one value per channel only"),
        ((torch.ones(1, 3, 1), None, None), {"training": True}, ValueError, "one value per channel only"),
        ((X, ONE, ONE, ONE, ONE.double()), {}, TypeError, "bias has dtype torch.float64, but x has torch.float32"),
        ((X, ONE, ONE, ONE.double()), {}, TypeError, "weight has dtype torch.float64, but x has torch.float32"),
        ((X, ONE, ONE.double()), {}, TypeError, "running_var has dtype torch.float64, but x has torch.float32"),
        ((X.int(), None, None), {"training": True}, TypeError, "x must be a floating-point tensor"),
    ],
)
def test_bad_input_is_named_and_torch_rejects_it_too(args, keywords, error, message):
    with pytest.raises(error, match=message):
        batch_norm_forward(*args, **keywords)
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        F.batch_norm(*args, **keywords)


@pytest.mark.parametrize(
    ("args", "keywords", "message"),
    [
        ((X, None, ONE), {"training": True}, "must both be given or both be None"),
        ((X, ONE, ONE), {"training": True, "eps": 0.0}, "eps must be positive in training, but it is 0.0"),
        ((X, ONE, ONE), {"eps": -0.1}, "eps must not be negative, but it is -0.1"),
    ],
)
def test_what_only_newer_torch_rejects_is_rejected(args, keywords, message):
    with pytest.raises(ValueError, match=message):
        batch_norm_forward(*args, **keywords)
