import inspect

import pytest
import torch

from tinytorch_course.reference import losses as reference
from tinytorch_course.scratch import losses as scratch

FACTORIES = ("mse", "l1", "binary_cross_entropy", "binary_cross_entropy_with_logits", "nll", "cross_entropy")
W = torch.tensor([0.5, 2.0, 1.0, 1.5], dtype=torch.float64)
X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
P = torch.rand(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
Y = torch.tensor([0, 3, -100, 1, 2, 3])


def agree(name, keywords, input, target):
    """Loss and dinput of both, for a random cotangent."""
    module, loss = getattr(reference, name)(**keywords), getattr(scratch, name)(**keywords)
    out, cache = loss.forward(input, target)
    dout = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(2))
    dinput = loss.backward(dout, cache)

    leaf = input.clone().requires_grad_()
    expected = module(leaf, target)
    expected.backward(dout)
    torch.testing.assert_close(out, expected.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(dinput, leaf.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(
    ("name", "keywords", "input", "target"),
    [
        ("mse", {}, X, P),
        ("l1", {}, X, P),
        ("binary_cross_entropy", {}, P, 1 - P),
        ("binary_cross_entropy", {"weight": W}, P, 1 - P),
        ("binary_cross_entropy_with_logits", {}, X, P),
        ("binary_cross_entropy_with_logits", {"weight": W}, X, P),
        ("binary_cross_entropy_with_logits", {"pos_weight": W}, X, P),
        ("nll", {}, X, Y),
        ("nll", {"weight": W}, X, Y),
        ("nll", {"ignore_index": 3}, X, Y.clamp_min(0)),
        ("cross_entropy", {}, X, Y),
        ("cross_entropy", {}, X, P),
        ("cross_entropy", {"weight": W}, X, Y),
        ("cross_entropy", {"weight": W}, X, P),
        ("cross_entropy", {"ignore_index": 3}, X, Y.clamp_min(0)),
        ("cross_entropy", {"label_smoothing": 0.1}, X, Y),
        ("cross_entropy", {"label_smoothing": 0.1, "weight": W}, X, P),
    ],
)
def test_both_factories_agree(name, keywords, input, target, reduction):
    agree(name, keywords | {"reduction": reduction}, input, target)


@pytest.mark.parametrize(
    ("name", "input", "target"),
    [
        ("mse", X, P),
        ("l1", X, P),
        ("binary_cross_entropy", P, 1 - P),
        ("binary_cross_entropy_with_logits", X, P),
        ("nll", X, Y),
        ("cross_entropy", X, Y),
    ],
)
def test_both_factories_have_the_same_defaults(name, input, target):
    agree(name, {}, input, target)


@pytest.mark.parametrize("name", FACTORIES)
def test_both_factories_have_the_same_keywords(name):
    """All that torch's module takes, but for what it calls deprecated itself."""
    ours, theirs = (inspect.signature(getattr(losses, name)).parameters for losses in (scratch, reference))
    wanted = {key: one.default for key, one in theirs.items() if key not in ("size_average", "reduce")}
    assert {key: one.default for key, one in ours.items()} == wanted
