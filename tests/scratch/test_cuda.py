"""Every op and loss again on a CUDA device, where there is one."""

import importlib

import pytest
import torch

from tinytorch_course.checking.cases import check_case

FAMILIES = ["activation", "convolution", "dropout", "linear", "losses"]
FAMILIES += ["normalization", "pooling", "reshaping", "residual"]

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_case_equals_torch_on_cuda(family):
    table = importlib.import_module(f"tinytorch_course.checking.case_tables.{family}").TABLE
    failed = [check for case in table.cases if not (check := check_case(table, case, device="cuda")).ok]
    assert not failed, "\n".join(map(str, failed))
