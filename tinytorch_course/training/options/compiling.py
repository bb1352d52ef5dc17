"""``torch.compile`` for both implementations: the from-scratch network forward and backward, the module with autograd.

The optimizers stay as they are, in both. A compiled graph cannot draw from a ``torch.Generator``, so the masks of
dropout are drawn before it starts: the very ones that the layers would have drawn, in the same order.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tinytorch_course import reference
from tinytorch_course.caches import parts_of
from tinytorch_course.errors import InputError
from tinytorch_course.scratch.layers import Layer
from tinytorch_course.scratch.ops.dropout import DropoutCache, draw_mask

BACKEND = "inductor"  # torch.compile's own default

Plan = list[tuple[torch.Size, float]]  # the shape and p of every mask, in the order of the layers


class Masks:
    """The masks of dropout, drawn before a network runs. What there is to draw is found out once for each batch size.

    Args:
        plan: what finds it out, for a batch and whatever else ``draw`` is given.
    """

    def __init__(self, plan: Callable[..., Plan]):
        self._plan, self._plans = plan, dict[torch.Size, Plan]()

    def draw(self, generator: torch.Generator, x: Tensor, *more: Any) -> list[Tensor]:
        """Those of one step, on the device of ``x``, as the layers would have drawn them."""
        if x.shape not in self._plans:
            self._plans[x.shape] = self._plan(x, *more)
        plan = self._plans[x.shape]
        return [draw_mask(shape, p, generator).to(x.device, non_blocking=True) for shape, p in plan]


def masks_of(net: Layer) -> Masks:
    """Those of a from-scratch network, whose params and state ``draw`` is given."""

    def plan(x: Tensor, params: Any, state: Any) -> Plan:
        _, _, cache = net.forward(params, state, x, training=True, generator=torch.Generator())
        return [(held.mask.shape, held.p) for held in parts_of(cache, DropoutCache) if held.mask is not None]

    return Masks(plan)


class CompiledGradients:
    """``gradients(params, state, x, y, generator)`` of the from-scratch learner, compiled once for each batch size.

    Calling it raises InputError if this version of torch cannot capture it whole (2.10 cannot capture convolutions).
    """

    def __init__(self, gradients: Callable, net: Layer):
        self._masks = masks_of(net)

        def with_masks(params, state, x, y, masks):
            return gradients(params, state, x, y, iter(masks))

        self._compiled = torch.compile(with_masks, fullgraph=True, dynamic=False, backend=BACKEND)

    def __call__(self, params: Any, state: Any, x: Tensor, y: Tensor, generator: torch.Generator) -> Any:
        """Loss, logits and gradients of one batch."""
        masks = self._masks.draw(generator, x, params, state)
        try:
            return self._compiled(params, state, x, y, masks)
        except torch._dynamo.exc.Unsupported as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"torch {torch.__version__} cannot compile this network from scratch ({reason}): "
                "leave --compile out, or take a newer torch"
            ) from error


class CompiledModule:
    """The twin's module, compiled once for each batch size: forward and, by autograd, backward."""

    def __init__(self, module: nn.Module):
        self._module, self._masks = module, Masks(self._plan)
        self._compiled = torch.compile(module, dynamic=False, backend=BACKEND)
        self._layers = [
            layer for layer in module.modules() if isinstance(layer, reference.layers.dropout) and layer.p > 0
        ]

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The logits of one batch."""
        for layer, mask in zip(self._layers, self._masks.draw(generator, x), strict=True):
            layer.mask = mask
        return self._compiled(x)

    @torch.no_grad()
    def _plan(self, x: Tensor) -> Plan:
        shapes = []
        hooks = [layer.register_forward_pre_hook(lambda layer, x: shapes.append(x[0].shape)) for layer in self._layers]
        self._module.eval()(x)  # which moves no running statistics
        self._module.train()
        for hook in hooks:
            hook.remove()
        return [(shape, layer.p) for shape, layer in zip(shapes, self._layers, strict=True)]
