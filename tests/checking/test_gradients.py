"""Tests of the checker itself: it must reject what is wrong, in every way in which something can be wrong."""

import pytest
import torch
import torch.nn.functional as F

from tinytorch_course.checking import gradients
from tinytorch_course.checking.cases import draw, scaled
from tinytorch_course.grading.check import check_gradient
from tinytorch_course.scratch.ops.activation import softmax_backward, softmax_forward
from tinytorch_course.scratch.ops.linear import linear_backward, linear_forward

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


def test_like_names_the_twin():
    result = check_gradient(linear_forward, changed(lambda dx, dw, db: (dx, -dw, db)), (X, W, B), like="linear")
    assert result.gradient_errors["dweight"] > 0.1
    assert [finding.key for finding in result.findings] == ["sign"]
    with pytest.raises(ValueError, match="there is no op 'lineal'"):
        check_gradient(linear_forward, linear_backward, (X, W, B), like="lineal")


def test_the_result_prints_as_a_table_with_a_diagnosis():
    text = str(check_gradient(linear_forward, changed(lambda dx, dw, db: (dx, -dw, db)), (X, W, B), like="linear"))
    assert "linear: WRONG" in text
    assert [line.split()[0] for line in text.splitlines()[2:6]] == ["out", "dx", "dweight", "dbias"]
    assert "Diagnosis: dweight: the sign is flipped" in text


def test_the_cotangent_is_not_drawn_as_the_inputs_are():
    """Were dout equal to x, a mask taken from the wrong one of the two would pass."""
    (x,) = draw(((3, 4),), seed=5)
    result = check_gradient(lambda x: (x * 1, None), lambda dout, cache: dout, (x,), seed=5)
    assert not torch.equal(result.evidence.dout, x)


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        (lambda x: x * 2, lambda dout, cache: dout, r"must return \(out, cache\), but it returned a tensor"),
        (lambda x: None, lambda dout, cache: dout, r"must return \(out, cache\), but it returned None"),
        (lambda x: (3, x), lambda dout, cache: dout, r"but it returned \(a int, \.\.\.\)"),
        (lambda x: (x * 2, None), lambda dout, cache: {"slope": dout}, "a tuple of tensors, but it returned a dict"),
    ],
)
def test_halves_that_return_something_else_are_refused(forward, backward, message):
    with pytest.raises(TypeError, match=message):
        check_gradient(forward, backward, (X,))


def naive_variance(x):
    """E[x²] − E[x]², which loses its digits where the mean is large."""
    return (x * x).mean() - x.mean() ** 2, x


def naive_variance_backward(dout, x):
    return dout * 2 * (x - x.mean()) / x.numel()


def test_in_float32_rounding_is_called_rounding():
    (x,) = draw((scaled(1.0, 50, shift=300),), dtype=torch.float32)
    result = check_gradient(
        naive_variance, naive_variance_backward, (x,), twin=lambda x: x.var(correction=0), differences=False
    )
    assert not result.ok
    assert result.in_double.ok
    (finding,) = result.findings
    assert finding.key == "rounding"
    assert "use float64" in str(finding)


def test_a_mistake_is_found_in_float32_too():
    x, weight, bias = draw(((5, 3), (4, 3), (4,)), dtype=torch.float32)
    result = check_gradient(
        linear_forward, changed(lambda dx, dw, db: (dx, dw * 1.001, db)), (x, weight, bias), like="linear"
    )
    assert [finding.what for finding in result.findings] == ["dweight"]


def test_what_no_float32_code_can_know_is_not_asked_of_it():
    """At a mean of 1e4 one rounding of the inputs moves batch norm's output by 1e-3."""
    (x,) = draw((scaled(1.0, 40, 3, shift=1e4),), dtype=torch.float32)
    ones = torch.ones(3)

    def forward(x, weight, bias):
        return F.batch_norm(x, None, None, weight, bias, training=True), (x, weight, bias)

    def backward(dout, cache):
        return torch.func.vjp(lambda *args: forward(*args)[0], *cache)[1](dout)

    result = check_gradient(forward, backward, (x, ones, ones), like="batch_norm_long", differences=False)
    assert result.forward_error > 1e-4
    assert result.ok


def test_gradients_in_a_dict_and_a_loss_as_a_float_are_taken():
    assert check_gradient(lambda x: (x * 2, None), lambda dout, cache: {"dx": 2 * dout}, (X,))
    assert not check_gradient(lambda x: (x * 2, None), lambda dout, cache: {"dx": dout}, (X,))
    assert check_gradient(lambda x: (x.sum().item(), x), lambda dout, x: torch.ones_like(x) * dout, (X,))


class Halves(torch.autograd.Function):
    """Half of x along an axis, and a backward that may forget that the axis is an argument too."""

    nones = (None,)

    @staticmethod
    def forward(ctx, x, dim):
        return x / 2

    @staticmethod
    def backward(ctx, dout):
        return dout / 2, *Halves.nones


def test_a_function_must_give_none_for_what_is_no_tensor(monkeypatch):
    assert check_gradient(Halves, (X, 0))
    assert check_gradient(Halves.apply, (X, 0))
    for nones, words in (
        ((), "returned 1 gradients, but autograd asks for 2"),
        ((1,), "a gradient for dim, for which"),
    ):
        monkeypatch.setattr(Halves, "nones", nones)
        check = check_gradient(Halves, (X, 0))
        assert not check
        assert words in str(check.findings[0])


class Module(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4, dtype=torch.float64))
        self.function = function

    def forward(self, x):
        return self.function.apply(x, 0) * self.weight


def test_a_module_with_its_parameters(monkeypatch):
    x = torch.randn(3, 4, dtype=torch.float64)
    check = check_gradient(Module(Halves), (x,))
    assert check
    assert set(check.difference_errors) == {"dx", "dweight"}
    monkeypatch.setattr(Halves, "backward", staticmethod(lambda ctx, dout: (dout, None)))
    check = check_gradient(Module(Halves), (x,))
    assert [problem.what for problem in check.problems] == ["dx"]


def test_one_line_says_what_is_wrong_where_pytest_shows_it(tmp_path):
    check = check_gradient(lambda x: (x * x, x), lambda dout, x: -2 * dout * x, (X,))
    assert "WRONG; dx: its sign" in repr(check) or "WRONG; dx: the sign" in repr(check), repr(check)
    assert len(repr(check)) <= 240
    assert "\n" not in repr(check)
    assert repr(check_gradient(lambda x: (x * 2, x), lambda dout, x: 2 * dout, (X,), name="twice")) == "<twice: ok>"


def test_a_wrong_result_is_false():
    assert check_gradient(linear_forward, linear_backward, (X, W, B), like="linear")
    assert not check_gradient(linear_forward, changed(lambda dx, dw, db: (dx, -dw, db)), (X, W, B), like="linear")


def test_a_kink_is_a_note_and_no_mistake():
    def forward(x):
        return x.clamp_min(0), x

    result = check_gradient(forward, lambda dout, x: dout * (x > 0), (torch.zeros(4, dtype=torch.float64),))
    assert result.ok
    assert ["kink" in note for note in result.notes] == [True]
    assert list(result.difference_errors) == ["dx"]  # measured beside it


@pytest.mark.parametrize("slope", [0.0, 5.0, -1.0])
def test_a_wrong_backward_does_not_hide_in_a_kink(slope):
    x = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    result = check_gradient(lambda x: (x.abs(), x), lambda dout, x: dout * slope, (x,))
    assert [problem.what for problem in result.problems] == ["dx"]


def test_beside_a_kink_what_is_constant_stays_so():
    """And so do the names of the arguments and the tolerances."""
    x, scale = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64), torch.ones(3, dtype=torch.float64)

    def beside(slope, **keywords):
        return gradients.check_gradient(
            lambda a, b: (b * a.abs(), (a, b)),
            lambda dout, cache: slope * dout * cache[1] * cache[0].sign(),
            (x, scale),
            constant=(1,),
            names=("x", "scale"),
            **keywords,
        )

    assert list(beside(1).difference_errors) == ["dx"]
    assert beside(1).ok
    assert [problem.what for problem in beside(1.001).problems] == ["dx"]
    assert beside(1.001, difference_tolerance=0.1).ok


def test_what_cannot_be_checked_is_not_right():
    x = torch.ones(3, dtype=torch.float64)
    random = check_gradient(lambda x: (x * torch.rand_like(x), x), lambda dout, x: dout, (x,))
    assert "forward gives another output each time" in str(random.problems[0])
    nothing = check_gradient(lambda x: (2 * x, x), lambda dout, x: 2 * dout, (x,), differences=False)
    assert [problem.key for problem in nothing.problems] == ["unchecked"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, linear_backward, (X, W, B)), "forward must be a function, but it is None"),
        ((linear_forward, X, (X, W, B)), "backward must be a function, but it is tensor"),
        ((linear_forward, linear_backward, X), r"must be a tuple of forward's arguments, such as \(x,\), not a Tensor"),
        ((linear_forward, linear_backward, ([1.0], 3.0)), "must hold a floating-point tensor.* not list, float"),
        ((linear_forward, linear_backward, (X.long(),)), "not torch.int64"),
        ((linear_forward, linear_backward, ()), "not nothing"),
    ],
)
def test_what_has_no_gradient_is_refused(arguments, message):
    """And not called right, because nothing was wrong with nothing."""
    with pytest.raises(TypeError, match=message):
        check_gradient(*arguments)


def test_differences_of_some_arguments_only():
    result = check_gradient(linear_forward, linear_backward, (X, W, B), like="linear", differences=[1])
    assert list(result.difference_errors) == ["dweight"]
    assert len(result.gradient_errors) == 3


def test_a_right_backward_of_a_wrong_forward_is_not_accused():
    def forward(x, weight, bias):
        out, cache = linear_forward(x, weight, bias)
        return 2 * out, cache

    def backward(dout, cache):
        return linear_backward(2 * dout, cache)

    result = check_gradient(forward, backward, (X, W, B), like="linear")
    assert [problem.what for problem in result.problems] == ["out"]
    assert len(result.notes) == 3
    assert [finding.what for finding in result.findings] == ["out"]
