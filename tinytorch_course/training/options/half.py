"""Networks that compute in bfloat16, while their parameters stay float32: both implementations alike.

Parameters, running statistics and input are rounded to bfloat16 on the way in, the output is float32 again; so loss,
gradients and optimizer are in float32. Unlike ``torch.autocast``, which leaves some layers as they are, everything in
between is bfloat16.

Source: Micikevicius et al. (2018), "Mixed precision training"; Kalamkar et al. (2019), "A study of BFLOAT16 for deep
learning training".
"""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tinytorch_course.scratch.layers import Layer


def scratch_in_bfloat16(net: Layer) -> Layer:
    """``net`` with its inside in bfloat16."""

    def forward(params, state, x, **mode):
        out, state, cache = net.forward(_rounded(params), _rounded(state), x.bfloat16(), **mode)
        return out.float(), _widened(state), cache

    def backward(dout, cache, **options):
        dx, grads = net.backward(dout.bfloat16(), cache, **options)
        return None if dx is None else dx.float(), _widened(grads)

    return Layer(net.init, forward, backward)


def torch_in_bfloat16(module: nn.Module) -> nn.Module:
    """``module`` itself, which from now on computes in bfloat16; autograd goes through the rounding."""
    inside = copy.deepcopy(module)  # does the work, on numbers that are lent to it

    def forward(x: Tensor) -> Tensor:
        inside.train(module.training)
        for outer, inner in zip(module.modules(), inside.modules(), strict=True):
            for name in ("generator", "mask"):  # dropout's
                if hasattr(outer, name):
                    setattr(inner, name, getattr(outer, name))
        lent = _rounded(dict(module.named_parameters())) | _rounded(dict(module.named_buffers()))
        out = functional_call(inside, lent, (x.bfloat16(),))
        with torch.no_grad():
            for name, buffer in module.named_buffers():
                buffer.copy_(lent[name])
        return out.float()

    module.forward = forward
    return module


def _rounded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    # Counters are copied: torch's batch norm counts in place.
    return {
        name: tensor.bfloat16() if tensor.is_floating_point() else tensor.clone() for name, tensor in tensors.items()
    }


def _widened(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
