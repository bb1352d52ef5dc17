import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from tinytorch_course.instruments.rounding import RoundingAdversary


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def units(moved, exact):
    """How far apart, in units of the last place."""
    bits = {torch.float64: torch.int64, torch.float32: torch.int32}[exact.dtype]
    return moved.view(bits) - exact.view(bits)


RESULTS = {
    "matmul": lambda x: x @ x.mT,
    "linear": lambda x: F.linear(x, x[:2], x[0, :2]),
    "conv2d": lambda x: F.conv2d(x[None, None], x[None, None, :3, :3]),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "sum": lambda x: x.sum(0),
    "mean": lambda x: x.mean(),
    "var": lambda x: x.var(0),
    "norm": lambda x: torch.linalg.vector_norm(x),
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(1),
    "avg_pool2d": lambda x: F.avg_pool2d(x[None], 3),
    "lerp": lambda x: x.lerp(x.flip(0), 0.3),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_what_machines_round_differently_is_moved_by_one_unit_at_most(result, dtype):
    x = draw(8, 9, dtype=dtype)
    exact, found = result(x), set()
    for seed in range(5 if exact.dim() else 30):
        with RoundingAdversary(seed) as adversary:
            moved = result(x)
        assert adversary.moved >= 1
        found |= set(units(moved, exact).flatten().tolist())
    assert found == {-1, 0, 1}


@pytest.mark.parametrize(
    "result",
    [
        lambda x: x + x,
        lambda x: x.exp(),
        lambda x: x.clamp_min(0),
        lambda x: x.amax(0),
        lambda x: F.max_pool2d(x[None], 2),
        lambda x: x.mT.contiguous(),
        lambda x: x.half().sum(0),
        lambda x: (x > 0).sum(0),
    ],
    ids=["add", "exp", "clamp", "amax", "max_pool2d", "copy", "half", "count"],
)
def test_what_is_the_same_everywhere_is_left_alone(result):
    x = draw(8, 9)
    with RoundingAdversary(0):
        moved = result(x)
    assert torch.equal(moved, result(x))


@pytest.mark.parametrize(
    ("summands", "total"), [((0.0, 0.0), 0.0), ((1.0, 2.0), 3.0), ((torch.inf, 1.0), torch.inf), ((1.5, 1.0), 2.5)]
)
def test_exact_sums_are_left_alone(summands, total):
    for seed in range(20):
        with RoundingAdversary(seed):
            assert torch.tensor(summands, dtype=torch.float64).sum() == total


def test_a_seed_is_a_machine():
    """The same operation on the same numbers gives the same bits, whatever went before; other seeds give others."""
    x, results = draw(8, 9), []
    for seed in (0, 0, 1):
        with RoundingAdversary(seed):
            results.append(x @ x.mT)
            draw(3, 3) @ draw(3, 3)
            assert torch.equal(x @ x.mT, results[-1])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_backward_is_moved_too():
    weight, grads = draw(4, 3, 3, 3).requires_grad_(), []
    for seed in (None, 0):
        out = F.conv2d(draw(2, 3, 8, 8), weight)
        if seed is None:
            out.backward(draw(*out.shape))
        else:
            with RoundingAdversary(seed):
                out.backward(draw(*out.shape))
        grads.append(weight.grad)
        weight.grad = None
    assert set(units(*grads).unique().tolist()) == {-1, 0, 1}


def test_inference_mode_is_the_same_machine():
    """There torch hands over whole operations, as linear, where it otherwise hands over their parts."""
    x = draw(8, 9)
    with RoundingAdversary(0):
        expected = F.linear(x, x, x[:, 0]), x @ x.mT
        with torch.inference_mode():
            got = F.linear(x, x, x[:, 0]), x @ x.mT
    assert all(map(torch.equal, got, expected))
    assert not torch.equal(expected[1], x @ x.mT)


def test_a_network_can_be_exported_on_such_a_machine():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).eval()
    with RoundingAdversary(1):
        program = torch.export.export(net, (torch.randn(2, 1, 5, 5),), dynamic_shapes=({0: torch.export.Dim("n")},))
    assert program.module()(torch.ones(3, 1, 5, 5)).shape == (3, 2, 3, 3)


def test_no_random_number_changes():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with RoundingAdversary(0):
        draw(3, 3) @ draw(3, 3)
        assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
@pytest.mark.parametrize("as_module", [False, True], ids=["script", "module"])
def test_a_program_runs_on_such_a_machine(tmp_path, as_module):
    script = tmp_path / "a_program.py"
    script.write_text(
        "import sys, torch\nx = torch.arange(1, 99) / 7\nprint(sys.argv[1:], x.outer(x).sum(0).tolist())\n"
    )
    program = ["-m", "a_program"] if as_module else [script]
    printed = [
        subprocess.run(
            [sys.executable, "-m", "tinytorch_course.instruments.rounding", "--seed", str(seed), *program, "a", "-b"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (0, 1)
    ]
    assert all(line.startswith("['a', '-b'] ") for line in printed)
    assert printed[0] != printed[1]


@pytest.mark.slow
def test_processes_that_a_program_starts_are_on_the_same_machine(tmp_path):
    sums = "import torch; x = torch.arange(1, 99) / 7; print(x.outer(x).sum(0).tolist(), flush=True)"
    script = tmp_path / "a_program.py"
    script.write_text(f"{sums}\nimport subprocess, sys\nsubprocess.run([sys.executable, '-c', {sums!r}])\n")
    done = subprocess.run(
        [sys.executable, "-m", "tinytorch_course.instruments.rounding", "--seed=1", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    own, childs = done.stdout.splitlines()
    x = torch.arange(1, 99) / 7
    assert own == childs != str(x.outer(x).sum(0).tolist())
