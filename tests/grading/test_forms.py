"""What a check makes of code that is written otherwise, and which of its cases tell right from wrong."""

import pytest

from tinytorch_course.errors import InputError

POOL = """
import torch
import torch.nn.functional as F

def pool(x, kernel_size, stride=None, padding=0):
    stride = stride or kernel_size
    big = F.pad(x, (padding,) * 4, value=FILL)
    windows = big.unfold(2, kernel_size, stride).unfold(3, kernel_size, stride)
    flat = windows.reshape(*windows.shape[:4], -1)
    return flat.amax(-1), (x.shape, big.shape, flat.argmax(-1), kernel_size, stride, padding)

def pool_backward(dout, cache):
    shape, big, places, k, s, p = cache
    dx = torch.zeros(big, dtype=dout.dtype)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            window = torch.zeros(*shape[:2], k * k, dtype=dout.dtype)
            window.scatter_(2, places[:, :, i, j, None], dout[:, :, i, j, None])
            dx[:, :, i * s : i * s + k, j * s : j * s + k] += window.view(*shape[:2], k, k)
    return dx[:, :, p : CROP, p : p + shape[3]]
"""


@pytest.mark.parametrize(
    ("fill", "crop", "ok"),
    [("-torch.inf", "p + shape[2]", True), ("0.0", "p + shape[2]", False), ("-torch.inf", "p + shape[2] - p", False)],
)
def test_a_pool_with_an_argument_padding_is_checked_on_padded_cases(checked, fill, crop, ok):
    row = checked(POOL.replace("FILL", fill).replace("CROP", crop), "pool", "max_pool2d")
    assert row.ok == ok, row.diagnosis


MEANS = """
import torch
import torch.nn.functional as F

def means(x, kernel_size, stride=None):
    stride = stride or kernel_size
    return F.avg_pool2d(x, kernel_size, stride), (x.shape, kernel_size, stride)

def means_backward(dout, cache):
    shape, (kh, kw), (sh, sw) = cache[0], *(k if isinstance(k, tuple) else (k, k) for k in cache[1:])
    dx = torch.zeros(*shape[:2], 99, 99, dtype=dout.dtype)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            dx[:, :, i * ROWS : i * ROWS + kh, j * COLUMNS : j * COLUMNS + kw] += dout[:, :, i, j, None, None] / kh / kw
    return dx[:, :, : shape[2], : shape[3]]
"""


@pytest.mark.parametrize(("rows", "columns", "ok"), [("sh", "sw", True), ("sw", "sh", False)])
def test_a_forward_that_is_right_for_pairs_has_to_be_right_backward(checked, rows, columns, ok):
    row = checked(MEANS.replace("ROWS", rows).replace("COLUMNS", columns), "means", "avg_pool2d")
    assert row.ok == ok


def test_a_pair_that_backward_cannot_take_is_no_mistake(checked):
    only_numbers = (
        MEANS.replace("isinstance(k, tuple)", "k * 1.0 and False").replace("ROWS", "sh").replace("COLUMNS", "sw")
    )
    assert checked(only_numbers, "means", "avg_pool2d").ok


WEIGHTED = """
def nll(input, target, weight=None):
    w = input.new_ones(input.shape[1]) if weight is None else weight
    rows = range(len(target))
    return -(input[rows, target] * w[target]).sum() / w[target].sum(), (input, target, w)

def nll_backward(dloss, cache):
    input, target, w = cache
    dinput = input * 0
    dinput[range(len(target)), target] = -w[target] / DIVISOR
    return dinput * dloss
"""


@pytest.mark.parametrize(("divisor", "ok"), [("w[target].sum()", True), ("len(target)", False)])
def test_class_weights_count_without_an_argument_reduction(checked, divisor, ok):
    row = checked(WEIGHTED.replace("DIVISOR", divisor), "nll", "nll_loss")
    assert row.ok == ok
    assert "no argument reduction" in " ".join(row.notes)


def test_a_cache_changed_in_place(checked):
    source = """
import torch
def ce(x, y):
    p = x.softmax(1)
    return -x.log_softmax(1)[range(len(y)), y].mean(), (p, y)
def ce_backward(dloss, cache):
    p, y = cache
    p[range(len(y)), y] -= 1
    return p / len(y) * dloss
"""
    assert [one["key"] for one in checked(source, "ce", "cross_entropy").diagnosis] == ["again"]
    assert checked(source.replace("p, y = cache", "p, y = cache[0].clone(), cache[1]"), "ce", "cross_entropy").ok


def test_nan_in_one_case_does_not_silence_the_others(checked):
    source = """
def soft(x, dim):
    e = x.exp()
    p = e / e.sum(dim, keepdim=True)
    return p, (p, dim)
def soft_backward(dout, cache):
    p, dim = cache
    return p * (dout + (dout * p).sum(dim, keepdim=True))
"""
    whats = [one["what"] for one in checked(source, "soft", "softmax").diagnosis]
    assert "dx" in whats  # the plus for a minus
    assert "out" in whats  # the overflow


NORM = """
def bn(x, running_mean, running_var, gamma, beta, training=True, momentum=0.1, eps=1e-5):
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
    gamma = x.new_ones(x.shape[1]) if gamma is None else gamma
    beta = x.new_zeros(x.shape[1]) if beta is None else beta
    mean, var = running_mean, running_var
    if training or mean is None:
        mean, var = x.mean(axes), x.var(axes, unbiased=False)
        count = x.numel() // x.shape[1]
        if running_mean is not None:
            running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
            running_var.mul_(1 - momentum).add_(UNBIASED, alpha=momentum)
    std = (var + eps).sqrt().view(shape)
    xhat = (x - mean.view(shape)) / std
    return xhat * gamma.view(shape) + beta.view(shape), (xhat, std, gamma.view(shape), axes, training)

def bn_backward(dout, cache):
    xhat, std, gamma, axes, training = cache
    dx = dout * gamma / std
    if training:
        dx = dx - dx.mean(axes, keepdim=True) - xhat * (dx * xhat).mean(axes, keepdim=True)
    return dx, (dout * xhat).sum(axes), dout.sum(axes)
"""


@pytest.mark.parametrize(("unbiased", "ok"), [("var * count / (count - 1)", True), ("var", False)])
def test_running_statistics_may_be_updated_in_place(checked, unbiased, ok):
    row = checked(NORM.replace("UNBIASED", unbiased), "bn", "batch_norm")
    assert row.ok == ok, row.diagnosis


def test_arguments_and_layout_are_told(checked):
    source = """
def mine(one, two, three):
    return two @ three + one, (two, three)
def mine_backward(dout, cache):
    two, three = cache
    return dout.sum(0), dout @ three.T, two.T @ dout
"""
    assert checked(source, "mine", "linear").ok  # by shape
    row = checked(source, "mine", "linear", args=["two", "three", "one"], layout="in-out")
    assert row.ok
    assert list(row.quantities) == ["dtwo", "dthree", "done"]
    with pytest.raises(InputError, match="mine has no argument four; it has one, two, three"):
        checked(source, "mine", "linear", args=["two", "three", "four"])
    with pytest.raises(InputError, match=r"needs an argument four, which linear does not have.*--args"):
        checked(source.replace("three):", "three, four):"), "mine", "linear")


CLAMPED = """
def f(x):
    return x.clamp(max=3.0).exp(), x
def f_backward(dout, x):
    return dout * x.clamp(max=3.0).exp()
"""
SQUEEZED = """
def f(x):
    return x.sum(1), x
def f_backward(dout, x):
    return (dout.unsqueeze(1) * (x * 0 + 1)).squeeze()
"""
ROOT = """
def f(x):
    return x.sqrt(), x
def f_backward(dout, x):
    return dout / (2 * x.sqrt())
"""


@pytest.mark.parametrize("source", [CLAMPED, SQUEEZED], ids=["a clamp at 3", "a batch of one"])
def test_shapes_are_drawn_in_several_scales_and_sizes(checked, source):
    assert not checked(source, "f", shapes="4x5").ok


def test_what_could_not_be_told_is_said(checked):
    source = ROOT.replace("x.sqrt(), x", "(x + 5).sqrt(), x").replace("(2 * x.sqrt())", "(2 * (x + 5).sqrt())")
    row = checked(source, "f", shapes="4x3")
    assert row.ok, row.diagnosis
    assert "could not be told: inputs of scale 5: forward is not finite there" in " ".join(row.notes)


def test_random_numbers_of_its_own_are_the_same_each_time(checked):
    source = """
import torch
def drop(x, p=0.5, training=True):
    mask = (torch.rand(x.shape) >= p).double() / (1 - p) if training else torch.ones_like(x)
    return x * mask, mask
def drop_backward(dout, mask):
    return dout * mask
"""
    assert checked(source, "drop", "dropout").ok
    assert not checked(source.replace("return dout * mask", "return dout * (mask > 0)"), "drop", "dropout").ok
