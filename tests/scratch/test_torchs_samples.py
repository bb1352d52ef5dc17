"""Every op and loss on the inputs with which PyTorch's own tests try its counterpart."""

import collections

import pytest
import torch

from tinytorch_course.verify.cases import tables_by_op
from tinytorch_course.verify.gradients import check_gradient
from tinytorch_course.verify.suite import quiet_and_exact

pytestmark = pytest.mark.slow

OPS = [op for op in tables_by_op() if not op.endswith(("_naive", "_long"))]
NOT_IN_TORCH = {"add": "torch's add has no residual", "dropout": "torch draws its own mask"}


@pytest.fixture(scope="module")
def samples():
    """Our op -> torch's inputs for it: (arguments, keywords)."""
    pytest.importorskip("expecttest", reason="torch's own tests need expecttest")
    internals = pytest.importorskip(
        "torch.testing._internal.common_methods_invocations", reason="this torch has no samples of its ops"
    )
    found = collections.defaultdict(list)
    for info in internals.op_db:
        op = info.name.removeprefix("nn.functional.")
        op = {"nll_loss": "nll_loss"}.get(op, op)
        if op in OPS and not info.name.startswith("masked."):
            for sample in info.sample_inputs("cpu", torch.float64):
                found[op].append(((sample.input, *sample.args), sample.kwargs))
    return found


@pytest.mark.parametrize("op", [op for op in OPS if op not in NOT_IN_TORCH])
def test_torchs_own_samples(samples, op):
    module = tables_by_op()[op].module
    forward, backward = getattr(module, f"{op}_forward"), getattr(module, f"{op}_backward")
    assert samples[op]
    wrong = []
    with quiet_and_exact():
        for args, keywords in samples[op]:
            keywords = {name: value for name, value in keywords.items() if name != "inplace"}
            try:
                check = check_gradient(forward, backward, args, kwargs=keywords, like=op, differences=False)
            except Exception as error:
                wrong.append((args, keywords, repr(error)))
            else:
                wrong += [] if check.ok else [(args, keywords, str(check))]
    print(f"{op}: {len(samples[op]) - len(wrong)} of {len(samples[op])}")
    assert wrong == []
