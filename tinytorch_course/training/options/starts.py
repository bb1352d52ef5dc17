"""``--init``: the numbers that training starts from, drawn alike by both implementations.

Weights (linear layers and convolutions) are drawn in the order of the network; their biases are 0. Batch norm keeps
its start, weight 1 and bias 0, and "default" everything: torch's own numbers.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tinytorch_course.scratch import initializers

NORMAL_STD = 0.01

Draw = Callable[[Sequence[int], torch.Generator], Tensor]
SCRATCH: dict[str, Draw] = {
    "zeros": lambda shape, generator: initializers.zeros(shape),
    "normal": lambda shape, generator: initializers.normal(shape, generator, std=NORMAL_STD),
    "xavier-uniform": initializers.xavier_uniform,
    "xavier-normal": initializers.xavier_normal,
    "kaiming-uniform": lambda shape, generator: initializers.kaiming_uniform(shape, generator, nonlinearity="relu"),
    "kaiming-normal": lambda shape, generator: initializers.kaiming_normal(shape, generator, nonlinearity="relu"),
}
TORCH: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "zeros": lambda weight, generator: nn.init.zeros_(weight),
    "normal": lambda weight, generator: nn.init.normal_(weight, std=NORMAL_STD, generator=generator),
    "xavier-uniform": lambda weight, generator: nn.init.xavier_uniform_(weight, generator=generator),
    "xavier-normal": lambda weight, generator: nn.init.xavier_normal_(weight, generator=generator),
    "kaiming-uniform": lambda weight, generator: nn.init.kaiming_uniform_(
        weight, nonlinearity="relu", generator=generator
    ),
    "kaiming-normal": lambda weight, generator: nn.init.kaiming_normal_(
        weight, nonlinearity="relu", generator=generator
    ),
}


def start_scratch(name: str, params: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """New parameters in place of ``params``, which are on the CPU in float32."""
    if name == "default":
        return params
    return {
        key: SCRATCH[name](param.shape, generator)
        if param.dim() >= 2
        else (initializers.zeros(param.shape) if key.endswith("bias") else param)
        for key, param in params.items()
    }


@torch.no_grad()
def start_torch(name: str, module: nn.Module, generator: torch.Generator) -> None:
    """The twin: draw the parameters of ``module``, on the CPU in float32, anew in place."""
    if name == "default":
        return
    for key, param in module.named_parameters():
        if param.dim() >= 2:
            TORCH[name](param, generator)
        elif key.endswith("bias"):
            param.zero_()
