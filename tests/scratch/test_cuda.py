"""Every op and loss again on a CUDA device, where there is one."""

import pytest
import torch

from tinytorch_course.checking.ops import OPS, check_case
from tinytorch_course.scratch.tuned import using

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.mark.parametrize("form", ["textbook", "tuned"])
@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_case_equals_torch_on_cuda(op, form):
    with using(form):
        failed = [check for case in op.cases if not (check := check_case(case, device="cuda")).ok]
    assert not failed, "\n".join(map(str, failed))
