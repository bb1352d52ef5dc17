"""Gradient clipping: no single batch may throw the parameters far away.

Both functions take and return a flat dict of gradients; a gradient of None (a frozen parameter) stays None.
"""

import math

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import require, require_float

__all__ = ["clip_grad_norm", "clip_grad_value"]

Grads = dict[str, Tensor | None]


def clip_grad_norm(
    grads: Grads, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> tuple[Grads, Tensor]:
    """Shorten all gradients alike until their norm, as of one long vector, is at most ``max_norm``:
    ``g · min(max_norm / (norm + 1e-6), 1)``.

    Torch's convention: 1e-6 keeps the quotient finite, so that the norm ends a little below ``max_norm``; and the
    factor multiplies also where it is 1. A norm of infinity or NaN makes gradients 0 or NaN.

    Args: max_norm, at least 0 (infinity changes nothing, for who wants the norm alone); norm_type, the p of
        ``(Σ |g|ᵖ)^(1/p)``; infinity (or "inf") is the largest ``|g|``. As in torch it is the norm of each tensor's
        norm, which is the same but for p = 0, there the number of tensors that are not zero; error_if_nonfinite,
        whether to raise if the norm is infinite or NaN.
    Returns: the clipped gradients, and the norm before clipping (a scalar tensor; 0 without gradients).
    Raises: ValueError if ``max_norm`` is negative or NaN, or ``norm_type`` no number; TypeError for gradients that are
        not floating point; RuntimeError for a norm that is not finite, if asked for.
    Source: Pascanu, Mikolov & Bengio (2013), "On the difficulty of training recurrent neural networks", algorithm 1.
    """
    require(max_norm >= 0, f"max_norm must be at least 0, but it is {max_norm}")
    p = math.inf if norm_type == "inf" else norm_type
    require(isinstance(p, (int, float)) and not math.isnan(p), f"norm_type must be a number or 'inf', but it is {p!r}")
    given = _given(grads)
    norms = {name: _norm(grad, p) for name, grad in given.items() if grad.numel()}
    if not norms:
        return dict(grads), torch.tensor(0.0)
    device = next(iter(norms.values())).device
    total_norm = _norm(torch.stack([norm.to(device) for norm in norms.values()]), p)
    if error_if_nonfinite and not total_norm.isfinite():
        bad = [name for name, norm in norms.items() if not norm.isfinite()]
        raise RuntimeError(f"the gradients' norm is {total_norm.item()}, because of {bad or 'their number'}")

    factor = (max_norm / (total_norm + 1e-6)).clamp_max(1)
    return {name: None if grad is None else grad * factor.to(grad.device) for name, grad in grads.items()}, total_norm


def clip_grad_value(grads: Grads, clip_value: float) -> Grads:
    """Cut every entry of every gradient to the range from ``−clip_value`` to ``clip_value``.

    Unlike :func:`clip_grad_norm` this changes the direction.

    Raises: ValueError if ``clip_value`` is negative or NaN, TypeError for gradients that are not floating point.
    """
    require(clip_value >= 0, f"clip_value must be at least 0, but it is {clip_value}")
    _given(grads)
    return {name: None if grad is None else grad.clamp(-clip_value, clip_value) for name, grad in grads.items()}


def _given(grads: Grads) -> dict[str, Tensor]:
    """The gradients that are not None, after a look at their types."""
    given = {name: grad for name, grad in grads.items() if grad is not None}
    for name, grad in given.items():
        require_float(**{f"grads[{name!r}]": grad})
    return given


def _norm(x: Tensor, p: float) -> Tensor:
    if p == math.inf:
        return x.abs().amax()
    if p == -math.inf:
        return x.abs().amin()
    if p == 0:
        return (x != 0).sum().to(x.dtype)
    # Row by row first: torch shares one long sum among its threads, and its last bits with them.
    return (x.abs() ** p).sum(dim=0).sum() ** (1 / p)
