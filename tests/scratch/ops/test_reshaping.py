import pytest
import torch
import torch.nn.functional as F
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.reshaping import OPS
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch.ops.reshaping import flatten_forward, pad2d_forward
from tinytorch_course.scratch.tuned import using


@parametrize_cases(OPS)
def test_equals_torch(case, form):
    with using(form):
        check_case(case).require()


@pytest.mark.parametrize(
    ("function", "twin", "args", "error", "message"),
    [
        (flatten_forward, torch.flatten, (torch.ones(2, 3), 2), IndexError, "start_dim must be from -2 to 1"),
        (flatten_forward, torch.flatten, (torch.ones(2, 3), 0, -3), IndexError, "end_dim must be from -2 to 1"),
        (flatten_forward, torch.flatten, (torch.ones(2, 3), 1, 0), ValueError, "end_dim must not lie before start_dim"),
        (pad2d_forward, F.pad, (torch.ones(1, 3, 3), (1,) * 4, "mirror"), ValueError, "mode must be 'reflect', 'repl"),
        (pad2d_forward, F.pad, (torch.ones(1, 3, 3), (3,) * 4, "reflect"), ValueError, "pad must be from 0 to 2"),
        (pad2d_forward, F.pad, (torch.ones(1, 3, 3), (4,) * 4, "circular"), ValueError, "pad must be from 0 to 3"),
        (pad2d_forward, F.pad, (torch.ones(3), (1,) * 4, "reflect"), ValueError, "x must be"),
    ],
)
def test_bad_input_is_named_and_torch_rejects_it_too(function, twin, args, error, message):
    with pytest.raises(error, match=message):
        function(*args)
    with pytest.raises((RuntimeError, ValueError, IndexError, NotImplementedError)):
        twin(*args)
