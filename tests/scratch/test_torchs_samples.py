"""Every op and loss on the inputs with which PyTorch's own tests try its counterpart.

In a process of its own: torch's testing internals change settings of the whole process, and may not be there at all.
"""

import inspect
import json
import os
import subprocess
import sys

import pytest
import torch

from tinytorch_course.checking import ops
from tinytorch_course.grading.check import check_gradient

# torch's dropout draws masks of its own, its pad is for any number of axes, its samples of embedding have the weight in
# front: they do not fit ours.
NOT_FITTING = ("dropout", "pad2d", "embedding")
OPS = [op for op in ops.OPS if not op.endswith(("_naive", "_long")) and op not in NOT_FITTING]


@pytest.mark.slow
def test_torchs_own_samples():
    pytest.importorskip("expecttest", reason="expecttest, which torch's testing internals need, is not installed")
    done = subprocess.run(
        [sys.executable, __file__],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if "ImportError" in done.stderr or "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"this torch's samples cannot be imported: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == set(OPS)
    assert all(result["samples"] for result in found.values())
    assert {op: result["wrong"] for op, result in found.items() if result["wrong"]} == {}


def main():
    """Print for each op how many samples there are, and what is wrong with which."""
    from torch.testing._internal.common_methods_invocations import op_db

    found = {}
    for info in op_db:
        op = info.name.removeprefix("nn.functional.")
        if op not in OPS:
            continue
        result = found.setdefault(op, {"samples": 0, "wrong": []})
        for sample in info.sample_inputs("cpu", torch.float64):
            result["samples"] += 1
            result["wrong"] += problems(op, (sample.input, *sample.args), sample.kwargs)
    print(json.dumps(found))


def problems(op, args, kwargs):
    row = ops.find_op(op)
    kwargs = {name: value for name, value in kwargs.items() if name != "inplace"}  # ours never changes its input
    if op.endswith("_norm"):  # weight and bias have gradients, wherever they stand
        bound = inspect.signature(row.forward).bind(*args, **kwargs)
        bound.apply_defaults()
        args, kwargs = bound.args, {}
    try:
        check = check_gradient(row.forward, row.backward, args, kwargs=kwargs, like=op, differences=False)
    except Exception as error:
        return [f"{[getattr(x, 'shape', x) for x in args]} {kwargs}: {error!r}"]
    return [] if check.ok else [str(check)]


if __name__ == "__main__":
    main()
