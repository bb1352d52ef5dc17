import pytest
import torch
from prove import parametrize_cases

from tinytorch_course.checking.case_tables.residual import OPS
from tinytorch_course.checking.ops import check_case
from tinytorch_course.scratch.ops.residual import add_forward
from tinytorch_course.scratch.tuned import using


@parametrize_cases(OPS)
def test_equals_torch(case, form):
    with using(form):
        check_case(case).require()


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"x of shape \(2, 3\) and shortcut of shape \(2, 4\) cannot be added"):
        add_forward(torch.ones(2, 3), torch.ones(2, 4))
