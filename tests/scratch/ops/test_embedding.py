import pytest
import torch
import torch.nn.functional as F
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.embedding import OPS
from tinytorch_course.checking.cases import draw
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch.ops.embedding import embedding_backward, embedding_forward
from tinytorch_course.scratch.ops.linear import linear_backward, linear_forward
from tinytorch_course.scratch.tuned import using


@parametrize_cases(OPS)
def test_equals_torch(case, form):
    with using(form):
        check_case(case).require()


def test_it_is_a_linear_layer_of_one_hot_rows():
    weight, dout = draw(((5, 3), (6, 3)))
    input = torch.tensor([0, 2, 2, 4, 0, 2])
    out, cache = embedding_forward(input, weight)
    expected, linear_cache = linear_forward(F.one_hot(input, 5).double(), weight.T)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    dweight = linear_backward(dout, linear_cache)[1].T
    torch.testing.assert_close(embedding_backward(dout, cache), dweight, rtol=1e-12, atol=1e-12)


WORDS, TABLE = torch.tensor([0, 2]), torch.ones(3, 4)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((torch.tensor([0, 3]), TABLE), IndexError, "input must hold row numbers from 0 to 2, but it has 3"),
        ((torch.tensor([0, -1]), TABLE), IndexError, "input must hold row numbers from 0 to 2, but it has -1"),
        ((WORDS.float(), TABLE), TypeError, "input must hold row numbers, torch.int64 or torch.int32"),
        ((WORDS, TABLE.long()), TypeError, "weight must be a floating-point tensor"),
        ((WORDS, TABLE[0]), ValueError, r"weight must be \(V, D\), but its shape is \(4,\)"),
        ((WORDS, TABLE, 3), IndexError, "padding_idx must be a row number from -3 to 2, but it is 3"),
        ((WORDS, TABLE, -4), IndexError, "padding_idx must be a row number from -3 to 2, but it is -4"),
    ],
)
def test_bad_input_is_named(args, error, message):
    with pytest.raises(error, match=message):
        embedding_forward(*args)
