"""The twin of ``scratch.layers``: the same names, as ``torch.nn`` modules with autograd."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

linear = nn.Linear
embedding = nn.Embedding
conv2d = nn.Conv2d
batch_norm1d = nn.BatchNorm1d
batch_norm2d = nn.BatchNorm2d
layer_norm = nn.LayerNorm
group_norm = nn.GroupNorm
relu = nn.ReLU
leaky_relu = nn.LeakyReLU
gelu = nn.GELU
sigmoid = nn.Sigmoid
tanh = nn.Tanh
softmax = nn.Softmax
log_softmax = nn.LogSoftmax
flatten = nn.Flatten
max_pool2d = nn.MaxPool2d
avg_pool2d = nn.AvgPool2d
adaptive_avg_pool2d = nn.AdaptiveAvgPool2d


class dropout(nn.Dropout):
    """``nn.Dropout``, but drawing its masks from ``self.generator``.

    ``nn.Dropout`` draws from the global generator of its device, so that no other implementation could draw the same
    masks. This one draws as ``scratch`` does: on the CPU, in float32. See :func:`set_generator`. Where ``self.mask`` is
    set it is used instead: what compiles a network cannot draw from a ``torch.Generator``.
    """

    generator: torch.Generator | None = None
    mask: torch.Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x, of which each number is dropped with probability p in training; the rest is scaled by 1 / (1 − p)."""
        if not self.training or self.p == 0:
            return x
        mask = self.mask
        if mask is None:
            mask = torch.rand(x.shape, generator=self.generator, dtype=torch.float32) >= self.p
            mask = mask.to(x.device, non_blocking=True)
        return torch.where(mask, x / (1 - self.p), 0) if self.p < 1 else x * 0


def set_generator(module: nn.Module, generator: torch.Generator | None) -> None:
    """Let every dropout layer in ``module``, and whatever else has a ``generator``, draw from this one."""
    layers: Iterable[Any] = module.modules()
    for layer in layers:
        if hasattr(layer, "generator"):
            layer.generator = generator


def _drawn(params: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
    """The first values of parameters: as they are given, or drawn by the function that is."""
    return {
        name: value(generator) if callable(value) else torch.as_tensor(value, dtype=torch.float32).clone()
        for name, value in params.items()
    }


class _Function(nn.Module):
    """A function of ``(x, *params)`` as a module that has these parameters."""

    def __init__(self, function: Callable[..., Tensor], params: dict[str, Any]):
        super().__init__()
        self.function, self.names = function, list(params)
        for name, tensor in _drawn(params, torch.Generator()).items():
            self.register_parameter(name, nn.Parameter(tensor))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *(getattr(self, name) for name in self.names))


def own(
    *, scratch: Any, reference: nn.Module | Callable[..., Tensor], params: dict[str, Any] | None = None
) -> nn.Module:
    """A layer of one's own, given for both namespaces: here ``reference`` counts. See ``scratch.layers.own``.

    It starts from the numbers that its from-scratch twin draws.
    """
    is_module = isinstance(reference, nn.Module)
    module: Any = copy.deepcopy(reference) if is_module else _Function(reference, params or {})
    module.draw_own = getattr(scratch, "init", None) or (lambda generator: (_drawn(params or {}, generator), {}))
    return module


def is_inside_own(module: nn.Module, name: str) -> bool:
    """Whether the submodule of that name is a part of a layer of one's own, which is looked at as a whole."""
    parts = name.split(".") if name else []
    return any(hasattr(module.get_submodule(".".join(parts[:end])), "draw_own") for end in range(len(parts)))


def sequential(*layers: nn.Module, **named: nn.Module) -> nn.Sequential:
    """``nn.Sequential`` of unnamed or of named layers."""
    if layers and named:
        raise ValueError("sequential takes named layers or unnamed ones, not both")
    return nn.Sequential(*layers) if layers else nn.Sequential(OrderedDict(named))


class residual(nn.Sequential):
    """A residual block: ``activation(sequential(named)(x) + downsample(x))``."""

    def __init__(self, *, downsample: nn.Module | None = None, activation: nn.Module | None = None, **named: nn.Module):
        super().__init__(OrderedDict(named))
        self.body = list(named)
        self.downsample = downsample
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Both ways, added."""
        out = x
        for name in self.body:
            out = getattr(self, name)(out)
        out = out + (x if self.downsample is None else self.downsample(x))
        return out if self.activation is None else self.activation(out)
