"""The twin of ``scratch.initializers``: a module's parameters drawn again, from a generator of one's own."""

import math

import torch
from torch import Tensor, nn

from tinytorch_course.reference.layers import is_inside_own


@torch.no_grad()
def reset_parameters(module: nn.Module, generator: torch.Generator) -> None:
    """Draw every parameter of ``module`` anew, as its layers do when they are made, in order of registration.

    torch's own ``reset_parameters`` knows only the global generator. Drawn on the CPU in float32 whatever the
    parameter is, so that from one seed the twins start alike, bit for bit, in every dtype and on every device.

    Args:
        module: is changed in place. Linear layers and convolutions draw weight, then bias; batch norms draw nothing
            and start over with weight 1, bias 0 and fresh statistics. A layer of one's own draws as its twin does.
        generator: on the CPU.

    Raises:
        TypeError: for a layer that has parameters and is none of these.
    """
    for name, layer in module.named_modules():
        if is_inside_own(module, name):
            continue
        if hasattr(layer, "draw_own"):  # a layer of one's own, which starts as its from-scratch twin
            params, state = layer.draw_own(generator)
            layer.load_state_dict(params | state)
        elif isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            _draw(layer.weight, nn.init.kaiming_uniform_, generator, a=math.sqrt(5))
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())
                _draw(layer.bias, nn.init.uniform_, generator, a=-bound, b=bound)
        elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            layer.reset_parameters()
        elif next(layer.parameters(recurse=False), None) is not None:
            raise TypeError(f"how {name or 'the module'}, a {type(layer).__name__}, starts is not known here")


def _draw(param: Tensor, initialize, generator: torch.Generator, **kwargs) -> None:
    param.copy_(initialize(torch.empty(param.shape, dtype=torch.float32), generator=generator, **kwargs))
