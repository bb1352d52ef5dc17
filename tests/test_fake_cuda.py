"""The fake device itself: it computes like the CPU, and notices what a GPU would refuse or make Python wait for."""

import pytest
import torch
from fake_cuda import CUDA, OnCuda, numbers


@pytest.fixture
def x(cuda):
    tensor = torch.arange(6.0).view(2, 3).to("cuda", non_blocking=True)
    assert cuda.waits == []
    return tensor


def test_its_tensors_say_that_they_are_there(cuda, x):
    made = [torch.zeros(2, device="cuda"), torch.zeros_like(x), x.new_ones(2), torch.arange(3, device=x.device), x[0]]
    assert all(tensor.device == CUDA and tensor.is_cuda and isinstance(tensor, OnCuda) for tensor in made)
    assert not isinstance(torch.zeros(2), OnCuda)
    assert cuda.waits == []


def test_it_computes(cuda, x):
    torch.testing.assert_close(numbers(x @ x.T), torch.tensor([[5.0, 14.0], [14.0, 50.0]]))
    view, out = x[0], torch.empty_like(x)
    view.mul_(2)
    assert torch.mul(x, 2, out=out) is out
    assert numbers(out).tolist() == [[0.0, 4.0, 8.0], [6.0, 8.0, 10.0]]
    assert cuda.waits == []


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x + torch.ones(3),
        lambda x: x @ torch.ones(3, 2),
        lambda x: torch.stack([x, torch.ones(2, 3)]),
        lambda x: torch.where(torch.ones(2, 3) > 0, x, x),
        lambda x: torch.add(torch.ones(2, 3), 1, out=x),
        lambda x: torch.stack([x.sum(), torch.tensor(1.0)]),
        lambda x: torch.rand(2, device="cuda", generator=torch.Generator()),
    ],
)
def test_it_refuses_what_is_on_the_cpu(x, operation):
    with pytest.raises(RuntimeError, match=r"to be on the same device|'cuda' device type for generator"):
        operation(x)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: float(x.sum()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.to("cpu", non_blocking=True),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x[torch.tensor([0])],
        lambda x: torch.equal(x, x),
        lambda x: x.copy_(torch.ones(2, 3)),
        lambda x: torch.empty(2, 3).copy_(x),
        lambda x: torch.ones(2).to(x.device),
        lambda x: torch.tensor([1.0], device="cuda"),
        lambda x: torch.bincount(x[0].long()),
        lambda x: x.__setitem__(x > 0, x[0, :1].expand(5)),
    ],
)
def test_it_notes_where_python_waits(cuda, x, operation):
    operation(x)
    assert len(cuda.waits) == 1
    assert cuda.waits[0].endswith("in a test")


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x * 2 + torch.tensor(1.0),
        lambda x: x.copy_(torch.ones(2, 3), non_blocking=True),
        lambda x: x[torch.arange(2, device="cuda")],
        lambda x: x.__setitem__(x > 0, 0.0),
        lambda x: torch.where(x > 0, x, 0),
        lambda x: torch.lerp(x, x + 1, 0.5),
        lambda x: x.max(dim=0),
        lambda x: x.fill_(3.0),
    ],
)
def test_it_notes_nothing_else(cuda, x, operation):
    operation(x)
    assert cuda.waits == []


def test_it_needs_no_gpu_to_be_asked_for(cuda):
    assert torch.cuda.is_available()
    assert torch.cuda.device_count() == 1
