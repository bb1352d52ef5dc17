import pytest
import torch
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.dropout import OPS
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch.ops.dropout import draw_mask, dropout_backward, dropout_forward
from tinytorch_course.scratch.tuned import using


@parametrize_cases(OPS)
def test_equals_the_definition(case, form):
    with using(form):
        check_case(case).require()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_keeps_the_right_part_and_the_mean(p):
    count = 100_000
    out, cache = dropout_forward(torch.ones(count), p, generator=torch.Generator().manual_seed(0))
    deviation = (p * (1 - p) / count) ** 0.5
    assert abs(cache.mask.double().mean().item() - (1 - p)) < 5 * deviation
    assert abs(out.double().mean().item() - 1) < 5 * deviation / (1 - p)


def test_backward_uses_the_mask_of_forward():
    x, dout = torch.randn(50) + 3, torch.randn(50)
    out, cache = dropout_forward(x, 0.4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(dropout_backward(dout, cache), dout * out / x)


def test_one_seed_gives_one_mask_in_every_dtype():
    masks = [
        dropout_forward(torch.ones(3, 4, dtype=dtype), generator=torch.Generator().manual_seed(5))[1].mask
        for dtype in (torch.float32, torch.float64, torch.bfloat16)
    ]
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[0], masks[2])
    assert torch.equal(masks[0], draw_mask((3, 4), 0.5, torch.Generator().manual_seed(5)))


def test_evaluation_and_p_zero_change_nothing_and_draw_nothing():
    x, generator = torch.randn(3, 4), torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert dropout_forward(x, 0.5, training=False, generator=generator)[0] is x
    assert dropout_forward(x, 0.0, generator=generator)[0] is x
    assert torch.equal(generator.get_state(), before)


def test_p_one_keeps_nothing():
    out, cache = dropout_forward(torch.tensor([1.0, float("inf")]), 1.0)
    assert out.tolist() == [0, 0]
    assert dropout_backward(torch.ones(2), cache).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("args", "keywords", "error", "message"),
    [
        ((torch.ones(2), -0.1), {}, ValueError, "p must be a probability from 0 to 1, but it is -0.1"),
        ((torch.ones(2), 1.5), {}, ValueError, "p must be a probability from 0 to 1, but it is 1.5"),
        ((torch.ones(2), 0.5), {"mask": torch.ones(3).bool()}, ValueError, r"mask has shape \(3,\), but x has \(2,\)"),
        ((torch.ones(2).int(),), {}, TypeError, "x must be a floating-point tensor"),
    ],
)
def test_bad_input_is_named(args, keywords, error, message):
    with pytest.raises(error, match=message):
        dropout_forward(*args, **keywords)
