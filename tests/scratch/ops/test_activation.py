import pytest
import torch
from prove import parametrize_cases

from tinytorch_course.scratch.ops import activation
from tinytorch_course.verify.case_tables.activation import TABLE
from tinytorch_course.verify.cases import check_case


@parametrize_cases(TABLE)
def test_equals_torch(case):
    check_case(TABLE, case).require()


@pytest.mark.parametrize("op", ["relu", "leaky_relu", "gelu", "sigmoid", "tanh"])
def test_nan_stays_nan(op):
    forward, backward = getattr(activation, f"{op}_forward"), getattr(activation, f"{op}_backward")
    out, cache = forward(torch.tensor([float("nan"), 1.0]))
    assert out.isnan().tolist() == [True, False]
    assert not backward(torch.ones(2), cache)[1].isnan()


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_a_shift_of_the_logits_changes_nothing(op):
    forward = getattr(activation, f"{op}_forward")
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(forward(x + 3.0, 1)[0], forward(x, 1)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("op", "args", "error", "message"),
    [
        ("relu", (torch.ones(2).int(),), TypeError, "x must be a floating-point tensor"),
        ("gelu", (torch.ones(2), "erf"), ValueError, "approximate must be 'none' or 'tanh', but it is 'erf'"),
        ("softmax", (torch.ones(2, 3), 2), IndexError, "dim must be from -2 to 1 for a tensor of 2 axes, but it is 2"),
        ("softmax", (torch.ones(2, 3), None), TypeError, "dim must be an integer"),
        ("log_softmax", (torch.ones(2, 3), -3), IndexError, "dim must be from -2 to 1"),
    ],
)
def test_bad_input_is_named(op, args, error, message):
    with pytest.raises(error, match=message):
        getattr(activation, f"{op}_forward")(*args)
