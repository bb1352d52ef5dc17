"""What a forward and a backward pass cost apart from time: multiplications, bytes moved, bytes kept in between."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tinytorch_course import reference, scratch
from tinytorch_course.caches import parts_of
from tinytorch_course.scratch.layers import Layer


class Price(NamedTuple):
    """Of one implementation."""

    flops: int  # of matmuls and convolutions; a multiply-add counts as two
    moved: int  # bytes that the kernels read and write, each tensor at every kernel that takes or makes it
    kept: int  # bytes that wait for backward: our cache, or what autograd saves; parameters apart, each memory once


class Prices(NamedTuple):
    """Of both."""

    scratch: Price
    torch: Price

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {impl: price._asdict() for impl, price in self._asdict().items()}


def measure_prices(build: Callable[[Any], Any], x: Tensor, dtype: torch.dtype | None = None) -> Prices:
    """Of one forward and backward pass in training mode, x's gradient included.

    Args:
        build: makes a layer or a network of a layer namespace.
        x: its input, on any device.
        dtype: of its parameters; None: x's.
    """
    layer, params, state, module = both(build, x.device, dtype or x.dtype)
    reference.layers.set_generator(module, torch.Generator().manual_seed(0))
    with torch.no_grad():
        dout = torch.ones_like(module(x))
    return Prices(_scratch_price(layer, params, state, x, dout), _torch_price(module, x, dout))


def both(
    build: Callable[[Any], Any], device: torch.device, dtype: torch.dtype
) -> tuple[Layer, dict[str, Tensor], dict[str, Tensor], torch.nn.Module]:
    """A layer or network from scratch, its parameters and state, and the module that has the same."""
    layer, module = build(scratch.layers), build(reference.layers).to(device, dtype)
    params, state = (
        {key: value.to(device, dtype if value.is_floating_point() else value.dtype) for key, value in held.items()}
        for held in layer.init(torch.Generator().manual_seed(0))
    )
    module.load_state_dict(params | state)
    return layer, params, state, module


@torch.no_grad()
def _scratch_price(layer: Any, params: dict[str, Tensor], state: dict[str, Tensor], x: Tensor, dout: Tensor) -> Price:
    with _Moved() as moved, FlopCounterMode(display=False) as flops:
        _, _, cache = layer.forward(params, state, x, training=True, generator=torch.Generator().manual_seed(0))
        kept = _bytes(parts_of(cache, Tensor), apart_from=params.values())
        layer.backward(dout, cache)
    return Price(flops.get_total_flops(), moved.bytes, kept)


def _torch_price(module: torch.nn.Module, x: Tensor, dout: Tensor) -> Price:
    leaf, saved = x.clone().requires_grad_(x.is_floating_point()), []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with _Moved() as moved, FlopCounterMode(display=False) as flops:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = module(leaf)
        out.backward(dout)
    return Price(flops.get_total_flops(), moved.bytes, _bytes(saved, apart_from=module.parameters()))


class _Moved(TorchDispatchMode):
    """Adds up what every kernel reads and writes. Views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and func is not torch.ops.aten._unsafe_view.default:
            tensors = [value for value in tree_leaves((args, kwargs, out)) if isinstance(value, Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return out


def _bytes(tensors: Iterable[Tensor], apart_from: Iterable[Tensor]) -> int:
    """Of the memories behind the tensors, each counted once."""
    memories = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(memories.values()) - sum(
        memories.get(address, 0) for address in {tensor.untyped_storage().data_ptr() for tensor in apart_from}
    )
