import pytest
import torch
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.linear import OPS
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch.ops.linear import linear_backward, linear_forward
from tinytorch_course.scratch.tuned import using


@parametrize_cases(OPS)
def test_equals_torch(case, form):
    with using(form):
        check_case(case).require()


def test_input_gradient_can_be_left_out():
    x, weight, dout = torch.randn(5, 3), torch.randn(4, 3), torch.randn(5, 4)
    _, cache = linear_forward(x, weight)
    dx, dweight, _ = linear_backward(dout, cache, need_dx=False)
    assert dx is None
    assert torch.equal(dweight, linear_backward(dout, cache)[1])


def test_without_features_only_the_bias_remains():
    out, cache = linear_forward(torch.ones(4, 0), torch.ones(2, 0), torch.tensor([1.0, 2.0]))
    assert out.tolist() == [[1.0, 2.0]] * 4
    dx, dweight, dbias = linear_backward(torch.ones(4, 2), cache)
    assert (dx.shape, dweight.shape, dbias.tolist()) == ((4, 0), (2, 0), [4.0, 4.0])


@pytest.mark.parametrize(
    ("x", "weight", "bias", "error", "message"),
    [
        (torch.ones(5, 3), torch.ones(4, 2), None, ValueError, r"x has 3 features .* expects 2"),
        (torch.ones(5, 3), torch.ones(4, 3), torch.ones(3), ValueError, r"bias must have shape \(4,\)"),
        (torch.ones(5, 3), torch.ones(3), torch.ones(()), ValueError, "bias must be None beside a weight of one axis"),
        (torch.ones(5, 3), torch.ones(4, 3, 1), None, ValueError, "weight must be"),
        (torch.tensor(1.0), torch.ones(4, 1), None, ValueError, "at least one axis"),
        (torch.ones(5, 3), torch.ones(4, 3).double(), None, TypeError, "weight has dtype torch.float64, but x has"),
        (torch.ones(5, 3).long(), torch.ones(4, 3), None, TypeError, "x must be a floating-point tensor"),
        ([1.0], torch.ones(4, 1), None, TypeError, "x must be a tensor, but it is a list"),
        (None, torch.ones(4, 1), None, TypeError, "x must be a tensor, but it is None"),
    ],
)
def test_bad_input_is_named(x, weight, bias, error, message):
    with pytest.raises(error, match=message):
        linear_forward(x, weight, bias)
