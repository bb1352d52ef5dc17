"""The same bits for any number of threads, one product at a time. Whole networks: tests/doctor/test_determinism.py."""

import itertools
import math

import pytest
import torch

from tinytorch_course.scratch.tuned.products import PIECES, bmm, matmul

THREADS = (1, 2, 3, 4, 8)
TRANSPOSED = list(itertools.product([False, True], repeat=2))  # in memory, each factor
SHAPES = [  # (rows, terms, columns)
    (1, 784, 128),  # a picture alone
    (1, 1, 1),
    (2, 3, 2),
    (10, 128, 84),  # fewer rows than pieces of two
    (9, 20_000, 32),  # a convolution's weight gradient
    (288, 3528, 64),
    (3528, 288, 64),
    (37 * 49, 150, 16),
    (37, 784, 128),  # rows that nothing divides
    (128, 3136, 128),
    (10, 37, 784),
    (784, 5, 1),
    (1, 1, 3000),
    (12, 0, 5),
    (0, 4, 5),
    (4, 6000, 0),
]


@pytest.fixture(autouse=True)
def threads_are_left_as_they_were():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def by_threads(compute):
    for count in THREADS:
        torch.set_num_threads(count)
        yield compute()


def factors(rows, terms, columns, transposed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(rows + terms + columns)
    shapes = ((rows, terms), (terms, columns))
    made = []
    for shape, turned in zip(shapes, transposed, strict=True):
        shape = shape[::-1] if turned else shape
        x = torch.randn(shape, generator=generator, dtype=dtype)
        made.append(x.mT if turned else x)
    return made


@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_is_right(shape, transposed):
    a, b = factors(*shape, transposed, torch.float64)
    expected = a @ b
    torch.testing.assert_close(matmul(a, b), expected, rtol=1e-10, atol=1e-10)
    out = torch.full_like(expected, math.nan)
    assert matmul(a, b, out=out) is out
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_is_the_same_bits(shape, transposed):
    a, b = factors(*shape, transposed)
    first, *others = by_threads(lambda: matmul(a, b))
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("groups", [1, 2, PIECES + 1])
@pytest.mark.parametrize("gaps", [False, True])
def test_groups(groups, gaps):
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(groups, 45, 300, generator=generator)
    b = torch.randn(groups, 70, 300, generator=generator).mT
    memory = torch.empty(groups, 60, 70)
    outs = [out.clone() for out in by_threads(lambda: bmm(a, b, out=memory[:, 5:50] if gaps else None))]
    torch.testing.assert_close(outs[0], a @ b, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(outs[0], out) for out in outs)
