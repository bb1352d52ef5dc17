"""The twin of ``scratch.initializers``: a module's parameters drawn again, from a generator of one's own."""

import copy

import torch
from torch import nn

from tinytorch_course.reference.layers import is_inside_own


@torch.no_grad()
def reset_parameters(module: nn.Module, generator: torch.Generator) -> None:
    """Draw every parameter of ``module`` anew, as its layers do when they are made, in order of registration.

    Every layer of torch's says itself how it starts, in its ``reset_parameters``, but draws from the global generator:
    this lends it another. Drawn on the CPU in float32 whatever the parameter is, so that from one seed the twins start
    alike, bit for bit, in every dtype and on every device.

    Args:
        module: is changed in place; running statistics start over, too. A layer of one's own draws as its twin does.
        generator: on the CPU; goes on from where the last layer left it.

    Raises:
        TypeError: for a layer that has parameters of its own and no ``reset_parameters``.
    """
    for name, layer in module.named_modules():
        if is_inside_own(module, name):
            continue
        if hasattr(layer, "draw_own"):  # a layer of one's own, which starts as its from-scratch twin
            params, state = layer.draw_own(generator)
            layer.load_state_dict(params | state)
        elif hasattr(layer, "reset_parameters"):
            fresh = copy.deepcopy(layer).to("cpu", torch.float32)
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(generator.get_state())
                fresh.reset_parameters()
                generator.set_state(torch.get_rng_state())
            layer.load_state_dict(fresh.state_dict())
        elif next(layer.parameters(recurse=False), None) is not None:
            kind = type(layer).__name__
            raise TypeError(f"{name or 'the module'}, a {kind}, has parameters but no reset_parameters()")
