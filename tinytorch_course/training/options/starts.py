"""``--init``: the numbers that training starts from, drawn alike by both implementations.

Weights (linear layers and convolutions) are drawn in the order of the network; their biases are 0. Batch norm keeps
its start, weight 1 and bias 0, and "default" everything: torch's own numbers.
"""

from typing import Any

import torch
from torch import Tensor, nn

from tinytorch_course.scratch import initializers

# name -> the keywords of the initializer of that name, the same in both
STARTS: dict[str, dict[str, Any]] = {
    "zeros": {},
    "normal": {"std": 0.01},
    "xavier-uniform": {},
    "xavier-normal": {},
    "kaiming-uniform": {"nonlinearity": "relu"},
    "kaiming-normal": {"nonlinearity": "relu"},
}


def start_scratch(name: str, params: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """New parameters in place of ``params``, which are on the CPU in float32."""
    if name == "default":
        return params
    draw, keywords = getattr(initializers, name.replace("-", "_")), _keywords(name, generator)
    return {
        key: draw(param.shape, **keywords)
        if param.dim() >= 2
        else (initializers.zeros(param.shape) if key.endswith("bias") else param)
        for key, param in params.items()
    }


@torch.no_grad()
def start_torch(name: str, module: nn.Module, generator: torch.Generator) -> None:
    """The twin: draw the parameters of ``module``, on the CPU in float32, anew in place."""
    if name == "default":
        return
    draw, keywords = getattr(nn.init, name.replace("-", "_") + "_"), _keywords(name, generator)
    for key, param in module.named_parameters():
        if param.dim() >= 2:
            draw(param, **keywords)
        elif key.endswith("bias"):
            param.zero_()


def _keywords(name: str, generator: torch.Generator) -> dict[str, Any]:
    return STARTS[name] if name == "zeros" else STARTS[name] | {"generator": generator}
