import pytest
import torch
import torch.nn.functional as F
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.losses import OPS
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch import losses
from tinytorch_course.scratch.ops.activation import log_softmax_forward
from tinytorch_course.scratch.tuned import using

# torch and scratch alike warn when they broadcast: one test asks for it, the others may be quiet.
pytestmark = pytest.mark.filterwarnings("ignore:Using a target size", "ignore:target has shape .* they are broadcast")


def loss_and_gradient(op, input, target, **keywords):
    """The loss and dinput for dloss = 1."""
    loss, cache = getattr(losses, f"{op}_forward")(input, target, **keywords)
    grads = getattr(losses, f"{op}_backward")(torch.ones_like(loss), cache)
    return loss, grads[0] if isinstance(grads, tuple) else grads


def torch_loss_and_gradient(op, input, target, **keywords):
    input = input.clone().requires_grad_()
    loss = getattr(F, op)(input, target, **keywords)
    loss.sum().backward()
    return loss.detach(), input.grad


@parametrize_cases(OPS)
def test_equals_torch(case, form):
    with using(form):
        check_case(case).require()


# The closed form and the long form


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_the_long_form_is_the_closed_form(scale):
    generator = torch.Generator().manual_seed(0)
    input = scale * torch.randn(7, 5, dtype=torch.float64, generator=generator)
    target = torch.randint(5, (7,), generator=generator)
    dloss = torch.tensor(-1.7, dtype=torch.float64)

    loss, cache = losses.cross_entropy_forward(input, target)
    long_loss, long_cache = losses.cross_entropy_long_forward(input, target)
    torch.testing.assert_close(long_loss, loss, rtol=1e-12, atol=1e-12)

    dinput = losses.cross_entropy_backward(dloss, cache)
    long_dinput = losses.cross_entropy_long_backward(dloss, long_cache)
    torch.testing.assert_close(long_dinput, dinput, rtol=1e-12, atol=1e-12)

    softmax_minus_one_hot = input.softmax(dim=1) - F.one_hot(target, 5)
    torch.testing.assert_close(dinput, dloss * softmax_minus_one_hot / 7, rtol=1e-12, atol=1e-12)


def test_only_the_closed_form_survives_logits_of_1e4():
    input, target = torch.tensor([[1e4, -1e4, 0.0]]), torch.tensor([1])
    long_loss, long_dinput = loss_and_gradient("cross_entropy_long", input, target)
    assert long_loss.item() == float("inf")
    assert long_dinput.isnan().any()

    loss, dinput = loss_and_gradient("cross_entropy", input, target)
    assert loss.item() == 20000
    assert dinput.tolist() == [[1, -1, 0]]


def test_cross_entropy_is_nll_of_log_softmax():
    input = torch.randn(4, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[0, 1], [2, -100], [1, 1], [0, 2]])
    keywords = {"weight": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), "reduction": "none"}
    loss, _ = losses.cross_entropy_forward(input, target, **keywords)
    log_probs, _ = log_softmax_forward(input, 1)
    torch.testing.assert_close(loss, losses.nll_loss_forward(log_probs, target, **keywords)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2.0, 0.0, 0.5], dtype=torch.float64)])
@pytest.mark.parametrize("target", [torch.tensor([0, 3, -100]), torch.eye(3, 4, dtype=torch.float64) + 0.2])
def test_a_shift_of_the_logits_changes_nothing(target, weight, label_smoothing):
    keywords = {"weight": weight, "label_smoothing": label_smoothing}
    input = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([[5.0], [-300.0], [1e3]], dtype=torch.float64)
    loss, dinput = loss_and_gradient("cross_entropy", input, target, **keywords)
    shifted_loss, shifted_dinput = loss_and_gradient("cross_entropy", input + shift, target, **keywords)
    torch.testing.assert_close(shifted_loss, loss, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(shifted_dinput, dinput, rtol=1e-11, atol=1e-11)

    # Hence the gradient has no part along a shift: the classes of each sample sum to 0, while none is 0 itself.
    assert dinput.sum(dim=1).abs().max() < 1e-14
    assert (dinput[:2] != 0).all()


# Extremes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("op", "input", "target", "keywords"),
    [
        ("cross_entropy", [[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], [1, 2], {}),
        ("cross_entropy", [[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], [1, 2], {"label_smoothing": 0.1}),
        ("cross_entropy", [[1e4, -1e4, 0.0]], [[0.2, 0.3, 0.5]], {}),
        ("nll_loss", [[-1e4, -1e4, 0.0], [-1e-30, -1e4, -1e4]], [1, 0], {}),
        ("binary_cross_entropy", [0.0, 1.0, 0.0, 1.0, 1e-20, 1e-45], [1.0, 0.0, 0.0, 1.0, 1.0, 0.5], {}),
        ("binary_cross_entropy_with_logits", [1e4, -1e4, 1e4, -1e4, 0.0, 89.0], [1.0, 0.0, 0.0, 1.0, 0.5, 0.0], {}),
        ("mse_loss", [1e4, -1e4], [-1e4, -1e4], {}),
        ("l1_loss", [1e4, -1e4], [-1e4, -1e4], {}),
    ],
)
def test_extremes_are_finite_and_torchs(op, input, target, keywords, dtype):
    input, target = torch.tensor(input, dtype=dtype), torch.tensor(target)
    target = target.to(dtype) if target.is_floating_point() else target
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-10}[dtype]
    for reduction in ("none", "mean", "sum"):
        got = loss_and_gradient(op, input, target, reduction=reduction, **keywords)
        assert all(tensor.isfinite().all() for tensor in got)
        expected = torch_loss_and_gradient(op, input, target, reduction=reduction, **keywords)
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def test_tiny_losses_keep_their_digits():
    # 1 − p would round to 1 here; log1p knows better.
    loss, _ = losses.binary_cross_entropy_forward(torch.tensor([1e-20]), torch.tensor([0.0]))
    assert loss.item() == pytest.approx(1e-20)
    loss, _ = losses.binary_cross_entropy_with_logits_forward(torch.tensor([-60.0]), torch.tensor([0.0]))
    assert loss.item() == pytest.approx(8.7565e-27, rel=1e-4)


@pytest.mark.parametrize("op", ["mse_loss", "l1_loss"])
def test_broadcasting_is_warned_of(op):
    input, target = torch.zeros(3, 1), torch.ones(3)
    with pytest.warns(UserWarning, match=r"target has shape \(3,\), but input has \(3, 1\): they are broadcast"):
        loss, _ = getattr(losses, f"{op}_forward")(input, target, reduction="none")
    assert loss.shape == (3, 3)


# Bad input

X, Y, W = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 0, 3]), torch.ones(4)
P = X.sigmoid()

REJECTED = [
    *(
        row
        for op, target in (
            ("mse_loss", X),
            ("l1_loss", X),
            ("binary_cross_entropy", P),
            ("binary_cross_entropy_with_logits", P),
            ("nll_loss", Y),
            ("cross_entropy", Y),
            ("cross_entropy", P),
        )
        for row in (
            (
                op,
                P,
                target,
                {"reduction": "avg"},
                ValueError,
                "reduction must be 'none', 'mean' or 'sum', but it is 'avg'",
            ),
            (op, P, target, {"reduction": None}, ValueError, "reduction must be .* but it is None"),
            (op, P.tolist(), target, {}, TypeError, "input must be a tensor, but it is a list"),
            (op, P, target.tolist(), {}, TypeError, "target must be a tensor, but it is a list"),
            (op, P, target, {"weight": [1.0] * 4}, TypeError, "weight must be a tensor, but it is a list"),
        )
    ),
    *(
        row
        for op in ("mse_loss", "l1_loss")
        for row in (
            (
                op,
                X,
                X[:, 0],
                {},
                ValueError,
                r"target has shape \(3,\), but input has \(3, 4\): they must be equal, or",
            ),
            (
                op,
                X,
                X,
                {"weight": W},
                ValueError,
                r"weight has shape \(4,\), but input has \(3, 4\): they must be equal",
            ),
            (op, X[0], X, {"weight": X}, ValueError, r"weight has shape \(3, 4\), but input has \(4,\)"),
            (
                op,
                X.long(),
                X.long(),
                {},
                TypeError,
                "input must be a floating-point tensor, but its dtype is torch.int64",
            ),
            (op, X, X > 0, {"weight": X}, TypeError, "target must hold real numbers, but its dtype is torch.bool"),
        )
    ),
    *(
        row
        for op in ("binary_cross_entropy", "binary_cross_entropy_with_logits")
        for row in (
            (op, P, P[0], {}, ValueError, r"target has shape \(4,\), but input has \(3, 4\): they must be equal"),
            (op, P, P.long(), {}, TypeError, "target must be a floating-point tensor, but its dtype is torch.int64"),
            (op, P, P > 0, {}, TypeError, "target must be a floating-point tensor, but its dtype is torch.bool"),
            (op, P.long(), P, {}, TypeError, "input must be a floating-point tensor, but its dtype is torch.int64"),
            (
                op,
                P,
                P,
                {"weight": W[:3]},
                ValueError,
                r"weight has shape \(3,\), which does not broadcast to .*\(3, 4\)",
            ),
            (
                op,
                P[0],
                P[0],
                {"weight": P},
                ValueError,
                r"weight has shape \(3, 4\), which does not broadcast to .*\(4,\)",
            ),
        )
    ),
    ("binary_cross_entropy", P + 1, P, {}, ValueError, r"input must be from 0 to 1, but it has 1\."),
    ("binary_cross_entropy", P - 1, P, {}, ValueError, r"input must be from 0 to 1, but it has -0\."),
    ("binary_cross_entropy", P * torch.nan, P, {}, ValueError, "input must be from 0 to 1, but it has nan"),
    ("binary_cross_entropy", P, P + 1, {}, ValueError, r"target must be from 0 to 1, but it has 1\."),
    (
        "binary_cross_entropy",
        P,
        P.double(),
        {},
        TypeError,
        "target has dtype torch.float64, but input has torch.float32",
    ),
    (
        *("binary_cross_entropy_with_logits", P, P, {"pos_weight": W[:3]}),
        *(ValueError, r"pos_weight has shape \(3,\), which does not broadcast to input's \(3, 4\)"),
    ),
    *(
        row
        for op in ("nll_loss", "cross_entropy")
        for row in (
            (op, X, torch.tensor([1, 4, 0]), {}, IndexError, "target must be a class from 0 to 3, or -100 .* it has 4"),
            (op, X, torch.tensor([1, -1, 0]), {}, IndexError, "target must be a class from 0 to 3, .* it has -1"),
            (
                op,
                X,
                torch.tensor([1, -100, 0]),
                {"ignore_index": -1},
                IndexError,
                "or -1 to be ignored, but it has -100",
            ),
            (op, X[0], torch.tensor(7), {}, IndexError, "target must be a class from 0 to 3, .* it has 7"),
            (op, X, Y[:2], {}, ValueError, r"target must have shape \(3,\), .* but its shape is \(2,\)"),
            (op, X, Y[:, None], {}, ValueError, r"target must have shape \(3,\), .* but its shape is \(3, 1\)"),
            (op, torch.ones(2, 4, 3), torch.ones(2, 2).long(), {}, ValueError, r"target must have shape \(2, 3\)"),
            (op, torch.ones(2, 4, 3, 2), torch.ones(2, 2, 3).long(), {}, ValueError, r"must have shape \(2, 3, 2\)"),
            (op, X, Y.int(), {}, TypeError, "class indices, torch.int64 or torch.uint8, but its dtype is torch.int32"),
            (op, X, Y.double(), {}, TypeError, r"class indices, .* torch.float64 and its shape \(3,\) .* \(3, 4\)"),
            (op, X.long(), Y, {}, TypeError, "input must be a floating-point tensor, but its dtype is torch.int64"),
            (op, X, Y, {"weight": W[:3]}, ValueError, r"weight must have shape \(4,\), .* but its shape is \(3,\)"),
            (op, X, Y, {"weight": W[None]}, ValueError, r"weight must have shape \(4,\), .* but its shape is \(1, 4\)"),
            (
                op,
                X,
                Y,
                {"weight": W.double()},
                TypeError,
                "weight has dtype torch.float64, but input has torch.float32",
            ),
            (op, X, Y, {"weight": W.long()}, TypeError, "weight must be a floating-point tensor"),
            (op, X, Y, {"ignore_index": 1.5}, TypeError, "ignore_index must be an integer, but it is 1.5"),
            (op, X, Y, {"ignore_index": True}, TypeError, "ignore_index must be an integer, but it is True"),
            (op, torch.tensor(1.0), torch.tensor(0), {}, ValueError, "input must be .* but it is a scalar"),
            (op, torch.ones(2, 0), Y[:2], {}, ValueError, r"at least one class, but its shape is \(2, 0\)"),
        )
    ),
    ("cross_entropy", X, F.one_hot(Y), {}, TypeError, "target must be a floating-point tensor, .* torch.int64"),
    ("cross_entropy", X, P[0], {}, TypeError, r"class indices, .* torch.float32 and its shape \(4,\)"),
    ("cross_entropy", X, P, {"weight": W[:3]}, ValueError, r"weight must have shape \(4,\)"),
    ("cross_entropy", X, P, {"ignore_index": 2}, ValueError, "ignore_index must be negative .* but it is 2"),
    ("cross_entropy", X, Y, {"label_smoothing": 1.1}, ValueError, "label_smoothing must be from 0 to 1, but it is 1.1"),
    ("cross_entropy", X, P, {"label_smoothing": 1.1}, ValueError, "label_smoothing must be from 0 to 1, but it is 1.1"),
    ("cross_entropy", X, Y, {"label_smoothing": "a"}, TypeError, "label_smoothing must be a number, but it is 'a'"),
]


@pytest.mark.parametrize(("op", "input", "target", "keywords", "error", "message"), REJECTED)
def test_what_torch_rejects_is_rejected_and_named(op, input, target, keywords, error, message):
    with pytest.raises((RuntimeError, ValueError, TypeError, IndexError, AttributeError)):
        getattr(F, op)(input, target, **keywords)
    with pytest.raises(error, match=message):
        getattr(losses, f"{op}_forward")(input, target, **keywords)


@pytest.mark.parametrize(
    ("op", "input", "target", "keywords", "error", "message"),
    [
        ("mse_loss", X, X.double(), {}, TypeError, "target has dtype torch.float64, but input has torch.float32"),
        ("mse_loss", X, X > 0, {}, TypeError, "target must hold real numbers, but its dtype is torch.bool"),
        ("mse_loss", X.long(), X, {}, TypeError, "input must be a floating-point tensor"),
        ("binary_cross_entropy", P, P, {"weight": W.double()}, TypeError, "weight has dtype torch.float64"),
        ("cross_entropy", X, P.double(), {}, TypeError, "target has dtype torch.float64, but input has torch.float32"),
        ("cross_entropy", X, Y, {"label_smoothing": -0.1}, ValueError, "label_smoothing must be from 0 to 1"),
        ("cross_entropy", X, Y, {"label_smoothing": float("nan")}, ValueError, "label_smoothing must be from 0 to 1"),
        ("nll_loss", X[..., None], Y[:, None], {"weight": W[:, None]}, ValueError, r"weight must have shape \(4,\)"),
        ("nll_loss", X[0], Y[:1], {}, ValueError, r"target must have shape \(\), .* but its shape is \(1,\)"),
        ("cross_entropy", X[0], Y[:1], {}, ValueError, r"target must have shape \(\), .* but its shape is \(1,\)"),
    ],
)
def test_what_torch_lets_pass_though_it_is_a_mistake(op, input, target, keywords, error, message):
    getattr(F, op)(input, target, **keywords)
    with pytest.raises(error, match=message):
        getattr(losses, f"{op}_forward")(input, target, **keywords)


@pytest.mark.parametrize(
    ("input", "target", "error", "message"),
    [
        (X[0], Y[0], ValueError, r"input must be \(N, C\), but its shape is \(4,\)"),
        (X, torch.tensor([0, -100, 1]), IndexError, "target must be a class from 0 to 3, but it has -100"),
        (X, P, TypeError, "target must hold class indices"),
        (X, Y.to("meta"), ValueError, "target is on meta, but input is on cpu"),
    ],
)
def test_the_long_form_names_bad_input(input, target, error, message):
    with pytest.raises(error, match=message):
        losses.cross_entropy_long_forward(input, target)
