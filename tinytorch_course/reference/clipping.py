"""The twins of ``scratch.clipping``: torch's own, on the ``.grad`` of a module's parameters, in place."""

from torch import Tensor, nn


def clip_grad_norm(
    module: nn.Module, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Clip in place; returns the norm before."""
    return nn.utils.clip_grad_norm_(list(module.parameters()), max_norm, norm_type, error_if_nonfinite)


def clip_grad_value(module: nn.Module, clip_value: float) -> None:
    """Clip in place."""
    nn.utils.clip_grad_value_(list(module.parameters()), clip_value)
