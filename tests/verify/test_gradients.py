"""Tests of the checker itself: it must reject what is wrong, in every way in which something can be wrong."""

import pytest
import torch
import torch.nn.functional as F

from tinytorch_course.scratch.ops.activation import softmax_backward, softmax_forward
from tinytorch_course.scratch.ops.linear import linear_backward, linear_forward
from tinytorch_course.verify import check_gradient
from tinytorch_course.verify.cases import draw

X, W, B = draw(((5, 3), (4, 3), (4,)))


def check(backward, forward=linear_forward, twin=F.linear, inputs=(X, W, B), **keywords):
    return check_gradient(forward, backward, tuple(x.clone() for x in inputs), twin=twin, **keywords)


def changed(change):
    """linear_backward, with its gradients (dx, dweight, dbias) changed."""
    return lambda dout, cache: change(*linear_backward(dout, cache))


def in_place(dout, cache):
    cache.x.mul_(2)
    return linear_backward(dout, cache)


def dout_in_place(dout, cache):
    grads = linear_backward(dout, cache)
    dout.zero_()
    return grads


WRONG = {
    "wrong by 0.05 %": (changed(lambda dx, dw, db: (dx, dw * 1.0005, db)), "dweight is not autograd's"),
    "wrong by 1e-9": (changed(lambda dx, dw, db: (dx, dw + 1e-9 * (1 + dw.abs()), db)), "dweight is not autograd's"),
    "one entry": (
        changed(lambda dx, dw, db: (dx.index_put((torch.tensor(2), torch.tensor(1)), dx.new_tensor(9)), dw, db)),
        r"dx is not autograd's: at \[2, 1\] it is 9, not",
    ),
    "zeros": (changed(lambda dx, dw, db: (dx * 0, dw, db)), "dx is not autograd's"),
    "nan": (changed(lambda dx, dw, db: (dx * float("nan"), dw, db)), "it is nan, not"),
    "shape": (changed(lambda dx, dw, db: (dx, dw.mT, db)), r"dweight has shape \(3, 4\), its argument \(4, 3\)"),
    "dtype": (changed(lambda dx, dw, db: (dx, dw.float(), db)), "dweight is torch.float32"),
    "too few": (
        changed(lambda dx, dw, db: (dx, dw)),
        "returned 2 gradients, but there are 3 to return: dx, dweight, dbias",
    ),
    "too many": (changed(lambda dx, dw, db: (dx, dw, db, dx)), "returned 4 gradients, but there are 3 to return"),
    "None": (changed(lambda dx, dw, db: (dx, None, db)), "dweight is None, not a tensor"),
    "input changed": (in_place, "x was changed in place"),
    "dout changed": (dout_in_place, "backward changed dout in place"),
}


@pytest.mark.parametrize(("backward", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_backward_is_rejected(backward, message):
    result = check(backward)
    assert not result.ok
    with pytest.raises(AssertionError, match=message):
        result.require()


def test_a_right_one_is_not():
    result = check(linear_backward)
    result.require()
    assert result.ok
    assert max(result.gradient_errors.values()) < 1e-13
    assert max(result.difference_errors.values()) < 1e-7
    assert "linear: ok" in str(result)


def test_a_wrong_forward_is_rejected():
    def forward(x, weight, bias):
        out, cache = linear_forward(x, weight, bias)
        return out + 1e-9 * (1 + out.abs()), cache

    with pytest.raises(AssertionError, match="out is not torch's"):
        check(linear_backward, forward=forward).require()


def test_differences_alone_find_a_mistake_without_a_twin():
    assert check(linear_backward, twin=None).ok
    result = check(changed(lambda dx, dw, db: (dx, dw * 1.001, db)), twin=None)
    assert result.problems
    assert all("central difference" in str(problem) for problem in result.problems)


def test_a_cotangent_of_ones_would_not_see_what_a_random_one_sees():
    """Softmax's outputs sum to one, so that under ones its gradient is zero, and a backward of zeros passes."""
    x = torch.randn(3, 4, dtype=torch.float64)
    out, cache = softmax_forward(x, 1)
    assert softmax_backward(torch.ones_like(out), cache).abs().max() < 1e-15
    result = check_gradient(softmax_forward, lambda dout, cache: dout * 0, (x,), kwargs={"dim": 1}, twin=F.softmax)
    assert not result.ok


def test_extra_results_are_compared_with_the_twins():
    def forward(x):
        return x * 2, x.argmax() + 1, None

    def twin(x):
        return x * 2, x.argmax()

    result = check_gradient(forward, lambda dout, cache: 2 * dout, (torch.randn(4).double(),), twin=twin)
    assert any("result 1 is not torch's" in str(problem) for problem in result.problems)


def test_equal_infinities_agree():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    infinite = lambda x: x * float("inf")  # noqa: E731
    result = check_gradient(
        lambda x: (infinite(x), None), lambda dout, cache: infinite(dout), (x,), twin=infinite, differences=False
    )
    assert result.ok
