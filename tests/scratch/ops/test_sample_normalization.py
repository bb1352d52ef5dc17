import pytest
import torch
import torch.nn.functional as F
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.sample_normalization import OPS
from tinytorch_course.checking.cases import draw
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch.ops.sample_normalization import (
    group_norm_backward,
    group_norm_forward,
    layer_norm_backward,
    layer_norm_forward,
)
from tinytorch_course.scratch.tuned import using


@parametrize_cases(OPS)
def test_equals_torch(case, form):
    with using(form):
        check_case(case).require()


def test_a_sample_does_not_see_the_others():
    x, dout = draw(((5, 3), (5, 3)))
    _, cache = layer_norm_forward(x, (3,))
    _, cache_alone = layer_norm_forward(x[2], (3,))
    assert torch.equal(layer_norm_backward(dout, cache)[0][2], layer_norm_backward(dout[2], cache_alone)[0])


def test_what_does_not_move_the_output_gets_no_gradient():
    """Shifting or stretching a sample leaves x̂ alone, so dx is orthogonal to 1 and (for eps → 0) to x̂."""
    x, dout = draw(((5, 4), (5, 4)))
    out, cache = layer_norm_forward(x, (4,), eps=1e-300)
    dx, _, _ = layer_norm_backward(dout, cache)
    assert dx.sum(dim=1).abs().max() < 1e-13
    assert (dx * out).sum(dim=1).abs().max() < 1e-13


X, ONE = torch.ones(4, 3), torch.ones(3)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((X, (4,)), ValueError, r"x must end in normalized_shape \(4,\), but its shape is \(4, 3\)"),
        ((X, (2, 4, 3)), ValueError, r"x must end in normalized_shape \(2, 4, 3\)"),
        ((X, ()), ValueError, r"x must end in normalized_shape \(\)"),
        ((X, (3,), torch.ones(4)), ValueError, r"weight must have shape \(3,\), but its shape is \(4,\)"),
        ((X, (3,), ONE, torch.ones(1)), ValueError, r"bias must have shape \(3,\), but its shape is \(1,\)"),
        ((X, (3,), ONE.double()), TypeError, "weight has dtype torch.float64, but x has torch.float32"),
        ((X.int(), (3,)), TypeError, "x must be a floating-point tensor"),
    ],
)
def test_bad_input_is_named_and_torch_rejects_it_too(args, error, message):
    with pytest.raises(error, match=message):
        layer_norm_forward(*args)
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        F.layer_norm(*args)


def test_one_group_is_layer_norm_of_the_whole_sample():
    x, dout = draw(((3, 4, 5), (3, 4, 5)))
    out, cache = group_norm_forward(x, 1)
    expected, layer_cache = layer_norm_forward(x, (4, 5))
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    dx, expected_dx = group_norm_backward(dout, cache)[0], layer_norm_backward(dout, layer_cache)[0]
    torch.testing.assert_close(dx, expected_dx, rtol=1e-12, atol=1e-12)


C6 = torch.ones(2, 6, 4)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((C6, 4), ValueError, "num_groups must divide the channels of x, but they are 4 and 6"),
        ((C6, 0), ValueError, "num_groups must divide the channels of x, but they are 0 and 6"),
        ((ONE, 1), ValueError, r"x must be \(N, C, ...\) with values, but its shape is \(3,\)"),
        ((C6[:, :, :0], 2), ValueError, r"x must be \(N, C, ...\) with values, but its shape is \(2, 6, 0\)"),
        (
            (C6, 2, ONE),
            ValueError,
            r"weight must have shape \(6,\), one value per channel of x, but its shape is \(3,\)",
        ),
        (
            (C6, 2, None, ONE),
            ValueError,
            r"bias must have shape \(6,\), one value per channel of x, but its shape is \(3,\)",
        ),
        ((C6.int(), 2), TypeError, "x must be a floating-point tensor"),
    ],
)
def test_what_no_group_norm_takes_is_named_and_torch_rejects_it_too(args, error, message):
    with pytest.raises(error, match=message):
        group_norm_forward(*args)
    with pytest.raises((RuntimeError, ValueError, TypeError, ZeroDivisionError)):
        F.group_norm(*args)
