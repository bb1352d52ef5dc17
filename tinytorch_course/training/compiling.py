"""``torch.compile`` for both implementations: the from-scratch network forward and backward, the module with autograd.

The optimizers stay as they are, in both. A compiled graph cannot draw from a ``torch.Generator``, so the masks of
dropout are drawn before it starts: the very ones that the layers would have drawn, in the same order.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tinytorch_course import reference
from tinytorch_course.scratch.layers import Layer
from tinytorch_course.scratch.ops.dropout import DropoutCache, draw_mask

BACKEND = "inductor"  # torch.compile's own default

Plan = list[tuple[torch.Size, float]]  # the shape and p of every mask, in the order of the layers


class CompiledGradients:
    """``gradients(params, state, x, y, generator)`` of the from-scratch learner, compiled once for each batch size."""

    def __init__(self, gradients: Callable, net: Layer):
        self._net, self._plans = net, {}

        def with_masks(params, state, x, y, masks):
            return gradients(params, state, x, y, iter(masks))

        self._compiled = torch.compile(with_masks, fullgraph=True, dynamic=False, backend=BACKEND)

    def __call__(self, params: Any, state: Any, x: Tensor, y: Tensor, generator: torch.Generator) -> Any:
        if x.shape not in self._plans:
            self._plans[x.shape] = plan_masks(self._net, params, state, x)
        return self._compiled(params, state, x, y, draw_masks(self._plans[x.shape], generator, x.device))


class CompiledModule:
    """The twin's module, compiled once for each batch size: forward and, by autograd, backward."""

    def __init__(self, module: nn.Module):
        self._module, self._plans = module, {}
        self._compiled = torch.compile(module, dynamic=False, backend=BACKEND)
        self._layers = [
            layer for layer in module.modules() if isinstance(layer, reference.layers.dropout) and layer.p > 0
        ]

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if x.shape not in self._plans:
            self._plans[x.shape] = self._make_plan(x)
        for layer, mask in zip(self._layers, draw_masks(self._plans[x.shape], generator, x.device), strict=True):
            layer.mask = mask
        return self._compiled(x)

    @torch.no_grad()
    def _make_plan(self, x: Tensor) -> Plan:
        shapes = []
        hooks = [layer.register_forward_pre_hook(lambda layer, x: shapes.append(x[0].shape)) for layer in self._layers]
        self._module.eval()(x)  # which moves no running statistics
        self._module.train()
        for hook in hooks:
            hook.remove()
        return [(shape, layer.p) for shape, layer in zip(shapes, self._layers, strict=True)]


def plan_masks(net: Layer, params: Any, state: Any, x: Tensor) -> Plan:
    """Which masks the from-scratch network draws for a batch of ``x``'s shape."""
    _, _, cache = net.forward(params, state, x, training=True, generator=torch.Generator())
    return [(held.mask.shape, held.p) for held in _dropouts(cache) if held.mask is not None]


def draw_masks(plan: Plan, generator: torch.Generator, device: torch.device) -> list[Tensor]:
    """The masks of one step, as the layers would have drawn them."""
    return [draw_mask(shape, p, generator).to(device) for shape, p in plan]


def _dropouts(cache: Any) -> Iterator[DropoutCache]:
    """Those of all layers in a network's cache, in the order of the layers."""
    if isinstance(cache, DropoutCache):
        yield cache
    elif isinstance(cache, (dict, tuple)):
        for part in cache.values() if isinstance(cache, dict) else cache:
            yield from _dropouts(part)
