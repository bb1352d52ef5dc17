import pytest
import torch
import torch.nn.functional as F
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.pooling import ADAPTIVE_SIZES, AVG_KEYWORDS, MAX_KEYWORDS, OPS
from tinytorch_course.checking.cases import draw, on_grid
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch.ops import pooling
from tinytorch_course.scratch.tuned import using


@parametrize_cases(OPS)
def test_equals_torch(case, form):
    with using(form):
        check_case(case).require()


@pytest.mark.parametrize(
    ("op", "keywords"),
    [
        *(("max_pool2d", keywords) for keywords in MAX_KEYWORDS),
        *(("avg_pool2d", keywords) for keywords in AVG_KEYWORDS),
        *(("adaptive_avg_pool2d", {"output_size": size}) for size in ADAPTIVE_SIZES),
    ],
    ids=str,
)
def test_fast_equals_naive(op, keywords):
    (x,) = draw((on_grid(2, 3, 7, 8),))
    forward, backward = getattr(pooling, f"{op}_forward"), getattr(pooling, f"{op}_backward")
    naive_forward, naive_backward = (getattr(pooling, f"{op}_naive_{way}") for way in ("forward", "backward"))
    out, cache = forward(x, **keywords)
    naive, naive_cache = naive_forward(x, **keywords)
    torch.testing.assert_close(out, naive, rtol=1e-12, atol=1e-12)
    dout = torch.randn_like(out)
    torch.testing.assert_close(backward(dout, cache), naive_backward(dout, naive_cache), rtol=1e-12, atol=1e-12)


def test_a_tie_goes_to_the_first_in_row_order():
    x = torch.tensor([[[0.0, 5.0, 5.0, 0.0], [5.0, 5.0, 5.0, 5.0]]])
    out, indices, cache = pooling.max_pool2d_forward(x, 2, return_indices=True)
    assert indices.tolist() == [[[1, 2]]]
    assert pooling.max_pool2d_backward(torch.ones_like(out), cache).tolist() == [[[0, 1, 1, 0], [0, 0, 0, 0]]]


def test_the_gradient_is_only_dealt_out():
    x, keywords = torch.randn(2, 3, 9, 8, dtype=torch.float64), {"kernel_size": 3, "stride": 2, "padding": 1}
    for op in ("max_pool2d", "avg_pool2d"):
        out, cache = getattr(pooling, f"{op}_forward")(x, **keywords)
        dout = torch.randn_like(out)
        dx = getattr(pooling, f"{op}_backward")(dout, cache)
        share = dout if op == "max_pool2d" else dout * _part_inside(out.shape[-2:], x.shape[-2:])
        torch.testing.assert_close(dx.sum(), share.sum(), rtol=1e-12, atol=1e-12)


def _part_inside(output, image):
    """How much of each 3x3 window, at stride 2 and padding 1, lies inside the image."""
    rows, columns = (
        torch.tensor([sum(0 <= 2 * p - 1 + a < size for a in range(3)) for p in range(count)])
        for count, size in zip(output, image, strict=True)
    )
    return (rows[:, None] * columns).double() / 9


def test_nan_stays_nan():
    x = torch.zeros(1, 4, 4)
    x[0, 1, 1] = float("nan")
    out, _ = pooling.max_pool2d_forward(x, 2)
    assert out.isnan().tolist() == [[[True, False], [False, False]]]


X = torch.ones(2, 3, 5, 5)


@pytest.mark.parametrize(
    ("op", "x", "keywords", "error", "message"),
    [
        ("max_pool2d", X[0, 0], {"kernel_size": 2}, ValueError, r"x must be \(N, C, H, W\) or \(C, H, W\)"),
        ("max_pool2d", X[:, :, :0], {"kernel_size": 2}, ValueError, "x must have pixels"),
        ("max_pool2d", X, {"kernel_size": 0}, ValueError, "kernel_size must be at least 1, but it is 0"),
        ("max_pool2d", X, {"kernel_size": 2, "stride": 0}, ValueError, "stride must be at least 1"),
        ("max_pool2d", X, {"kernel_size": 2, "padding": -1}, ValueError, "padding must be at least 0"),
        ("max_pool2d", X, {"kernel_size": 2, "padding": 2}, ValueError, "padding must be at most half of"),
        ("max_pool2d", X, {"kernel_size": 3, "padding": 2, "dilation": 2}, ValueError, "must be at most half of"),
        ("max_pool2d", X, {"kernel_size": 2, "dilation": 0}, ValueError, "dilation must be at least 1"),
        ("max_pool2d", X, {"kernel_size": 6}, ValueError, "reaches over 6 pixels, but the padded image has only 5"),
        ("max_pool2d", X, {"kernel_size": (2, 2, 2)}, ValueError, "kernel_size must be an integer or a pair"),
        ("avg_pool2d", X, {"kernel_size": 2, "padding": 2}, ValueError, "padding must be at most half of"),
        ("avg_pool2d", X, {"kernel_size": 6}, ValueError, "reaches over 6 pixels"),
        ("avg_pool2d", X, {"kernel_size": 2, "divisor_override": 0}, ValueError, "divisor_override must not be 0"),
        ("avg_pool2d", X, {"kernel_size": 2, "divisor_override": 2.5}, TypeError, "must be an integer"),
        ("adaptive_avg_pool2d", X[:, :, :0], {"output_size": 2}, ValueError, "x must have pixels"),
        ("adaptive_avg_pool2d", X, {"output_size": (2,)}, ValueError, "output_size must be an integer or a pair"),
        ("adaptive_avg_pool2d", X, {"output_size": -1}, ValueError, "output_size must be at least 1, but it is -1"),
        ("adaptive_avg_pool2d", X, {"output_size": (1, 2, 3)}, ValueError, "output_size must be an integer or a pair"),
    ],
)
def test_bad_input_is_named_and_torch_rejects_it_too(op, x, keywords, error, message):
    with pytest.raises(error, match=message):
        getattr(pooling, f"{op}_forward")(x, **keywords)
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        getattr(F, op)(x, **keywords)


def test_an_image_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"x must be \(N, C, H, W\) or \(C, H, W\), but its shape is \(5, 5\)"):
        pooling.adaptive_avg_pool2d_forward(X[0, 0], 1)
