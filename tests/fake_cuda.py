"""A CUDA device for machines that have none: its tensors say that they are on ``cuda:0``, and hold their numbers here.

torch's own ``FakeTensorMode`` takes tensors onto a fake device, too, but leaves them without numbers and makes fakes of
the CPU's tensors as well, so that no training loop can run. Here it serves to keep torch from looking for a GPU; every
operation is carried out on the CPU, and what a GPU would not do, or would make Python wait for, is noticed:

- an operation on tensors of both devices raises, as on a GPU;
- a copy to the device is noted in ``copies``;
- an operation that needs numbers of the device on the CPU (``item``, ``nonzero``, a mask as an index, a copy) is
  noted in ``waits``. Which ones these are, torch tells by the tags of its operations. A copy to the device waits, too,
  unless it is ``non_blocking``: torch synchronises after it.

It cannot show what CUDA's kernels compute, nor autograd, whose engine wants a GPU: the twin's backward pass is left
out.
"""

import functools
import linecache
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

import tinytorch_course

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
ROOM = os.path.dirname(tinytorch_course.__file__) + os.sep
COPIES = ("_to_copy", "copy_")
outside = _disable_current_modes  # in its with, torch is as it is without the fake device, and as fast
INDEXING = ("index", "index_put", "index_put_")  # takes its indices from the CPU as well, with a copy that waits
TAKE_A_NUMBER = ("where", "masked_fill", "masked_fill_", "fill_")  # as a tensor without axes, from the CPU


class OnCuda(Tensor):
    """A tensor of the fake device, with its numbers in ``held``, on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor):
        tensor = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=CUDA,
        )
        tensor.held = held
        return tensor

    def __repr__(self):
        return f"OnCuda({self.held})"

    def tolist(self):  # which torch has for no tensor of another type than its own
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} of a tensor on the fake device, outside of its with")


class FakeCuda(TorchDispatchMode):
    """In its ``with``, "cuda" is the fake device. ``waits`` says where Python would have waited for it."""

    def __init__(self):
        super().__init__()
        self.waits: list[str] = []
        self.copies: list[str] = []  # to the device, whether or not they wait
        self._no_gpu_wanted = FakeTensorMode()

    def __enter__(self):
        self._no_gpu_wanted.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._no_gpu_wanted.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors: list[Tensor] = []
        _mapped(tensors.append, (args, tuple(kwargs.values())))
        of_cuda = [tensor for tensor in tensors if isinstance(tensor, OnCuda)]
        wanted = kwargs.get("device")
        if wanted is not None:
            kwargs["device"] = CPU
        to_cuda = bool(of_cuda) if wanted is None else torch.device(wanted).type == "cuda"
        name = func.overloadpacket.__name__
        if name == "_pin_memory":  # there is no driver to do it
            return args[0]
        if name == "copy_":
            to_cuda = isinstance(args[0], OnCuda)
        if of_cuda or to_cuda:
            _refuse(func, name, tensors, kwargs)
            if name in COPIES and to_cuda and not all(isinstance(tensor, OnCuda) for tensor in tensors):
                self.copies.append(f"{name} in {_place()}")
            if _waits(func, name, args, kwargs, bool(of_cuda), to_cuda):
                self.waits.append(f"{name} in {_place()}")

        if of_cuda:
            args = _mapped(_held, args)
            kwargs = {key: _mapped(_held, value) for key, value in kwargs.items()}
        with unset_fake_temporarily():
            out = func(*args, **kwargs)
        if not to_cuda:
            return out
        known = {id(tensor.held): tensor for tensor in of_cuda}  # what an operation in place gives back
        return _mapped(lambda held: known[id(held)] if id(held) in known else OnCuda(held), out)


def _mapped(change: Callable, value: Any) -> Any:
    """``change`` of each tensor among what an operation takes or gives; torch's ``tree_map`` takes far longer."""
    if isinstance(value, Tensor):
        return change(value)
    return type(value)(_mapped(change, one) for one in value) if isinstance(value, (list, tuple)) else value


def _held(tensor: Tensor) -> Tensor:
    return tensor.held if isinstance(tensor, OnCuda) else tensor


def _refuse(func: Any, name: str, tensors: list[Tensor], kwargs: dict[str, Any]) -> None:
    """What raises on a GPU: operands on two devices, a CPU generator."""
    if kwargs.get("generator") is not None:
        raise RuntimeError(f"{name}: Expected a 'cuda' device type for generator but found 'cpu'")
    if name in COPIES + INDEXING:
        return
    takes_a_number = torch.Tag.pointwise in func.tags or name in TAKE_A_NUMBER
    for tensor in tensors:
        if not isinstance(tensor, OnCuda) and not (tensor.dim() == 0 and takes_a_number):
            raise RuntimeError(
                f"{name}: Expected all tensors to be on the same device, but one {tuple(tensor.shape)} is not"
            )


def _waits(func: Any, name: str, args: Any, kwargs: dict[str, Any], from_cuda: bool, to_cuda: bool) -> bool:
    if name in COPIES:
        sources = args[1] if name == "copy_" else args[0]
        crosses = isinstance(sources, OnCuda) != to_cuda
        blocking = not (kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))
        return crosses and (blocking or not to_cuda)
    if name in INDEXING:
        indices = [index for index in args[1] if index is not None]
        masked = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
        if name != "index" and masked and args[2].numel() == 1:
            masked = False  # torch fills where the mask is set
        return masked or not all(isinstance(index, OnCuda) for index in indices)
    return from_cuda and bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags))


def _place() -> str:
    """The innermost line of the package on the way here."""
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(ROOM):
            return f"{name.removeprefix(ROOM)}:{frame.f_lineno}: {linecache.getline(name, frame.f_lineno).strip()}"
        frame = frame.f_back
    return "a test"


def pretend(monkeypatch: Any) -> None:
    """Let those who ask torch whether there is a CUDA device hear yes."""
    answers = {
        "is_available": True,
        "device_count": 1,
        "is_current_stream_capturing": False,
        "get_rng_state_all": [],
        "set_rng_state_all": None,
        "manual_seed_all": None,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *args, answer=answer: answer)
    monkeypatch.setattr(torch, "load", functools.partial(_load, torch.load))


def _load(load: Any, *args: Any, map_location: Any = None, **options: Any) -> Any:
    """torch's own, which beside a ``FakeTensorMode`` would load tensors without numbers."""
    with _disable_current_modes():
        found = load(*args, map_location="cpu", **options)
    on_device = map_location is not None and torch.device(map_location).type == "cuda"
    return on_cuda(found) if on_device else found


def on_cuda(value: Any) -> Any:
    """Any structure with copies of its tensors on the fake device, by no operation that could be noted."""
    with _disable_current_modes():
        return tree_map_only(Tensor, lambda tensor: OnCuda(tensor.detach().clone()), value)


def assert_same(got: Any, expected: Any, **tolerances: Any) -> None:
    """All tensors of ``got`` lie on the fake device and hold the numbers of ``expected``, which lies on the CPU."""
    with _disable_current_modes():
        got, expected = (
            [value for value in tree_leaves(structure) if isinstance(value, Tensor)] for structure in (got, expected)
        )
        assert all(isinstance(tensor, OnCuda) for tensor in got)
        torch.testing.assert_close(numbers(got), expected, equal_nan=True, **tolerances)


def numbers(value: Any) -> Any:
    """Any structure with its fake tensors turned into those that they hold."""
    return tree_map_only(OnCuda, lambda tensor: tensor.held, value)
