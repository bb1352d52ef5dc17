import pytest
import torch

from tinytorch_course.bench.prices import measure_prices
from tinytorch_course.models import find_model


def prices(build, *shape):
    return measure_prices(build, torch.randn(shape, generator=torch.Generator().manual_seed(0)))


def test_a_linear_layer_by_hand():
    """64 rows of 30 numbers to 20: three products, of which each multiplies and adds 64 · 30 · 20 times."""
    ours, theirs = prices(lambda L: L.linear(30, 20), 64, 30)
    assert ours.flops == theirs.flops == 3 * 2 * 64 * 30 * 20
    assert ours.kept == theirs.kept == 4 * 64 * 30  # its input


def test_relu_by_hand():
    """Forward reads and writes 8,000 bytes; the cache, and what autograd saves, is the output."""
    ours, theirs = prices(lambda L: L.relu(), 20, 100)
    assert ours.kept == theirs.kept == 8000
    assert ours.flops == theirs.flops == 0
    assert theirs.moved == 8000 * (2 + 3)  # x and out; out, dout and dx
    assert ours.moved == 8000 * (2 + 1 + 2) + 2 * 2000 + 8  # x and out; out; dout and dx; the mask twice; the number 0


@pytest.mark.parametrize("name", ["mlp", "mnist_cnn"])
def test_both_multiply_as_often(name):
    ours, theirs = prices(find_model(name).build, 4, 1, 28, 28)
    assert ours.flops == theirs.flops > 0


def test_without_padding_the_input_gradient_multiplies_a_little_more():
    """It slides over dout with a border of zeros, which the library knows to leave out."""
    ours, theirs = prices(find_model("mini_cnn").build, 4, 1, 28, 28)
    assert theirs.flops < ours.flops < 1.15 * theirs.flops


def test_parameters_are_not_counted_as_kept():
    ours, theirs = prices(lambda L: L.linear(1000, 1000), 1, 1000)
    assert ours.kept == theirs.kept == 4000


def test_float64_moves_and_keeps_twice_as_much():
    build = find_model("mini_cnn").build
    single, double = (
        measure_prices(build, torch.ones(2, 1, 28, 28, dtype=dtype)) for dtype in (torch.float, torch.double)
    )
    assert double.torch.moved > 1.9 * single.torch.moved
    assert double.scratch.kept > 1.9 * single.scratch.kept
