"""The linear (fully connected) layer: every output is a weighted sum of every input.

Legend: I in-features, O out-features, ``...`` any number of leading batch axes (none at all included).
"""

from typing import NamedTuple

from torch import Tensor

from tinytorch_course.scratch.ops.checks import require, require_float
from tinytorch_course.scratch.ops.products import matmul


class LinearCache(NamedTuple):
    x: Tensor  # (..., I)
    weight: Tensor  # (O, I)
    has_bias: bool


def linear_forward(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, LinearCache]:
    """Weighted sums: ``out = x weightᵀ + bias``.

    Backward: ``dx = dout weight``, ``dweight = doutᵀ x`` and ``dbias = Σ dout``, both summed over the batch.

    Args:
        x: (..., I).
        weight: (O, I). As in ``torch.nn.functional.linear``, also (I,) without a bias: one output, without an axis.
        bias: (O,), or None.

    Returns:
        out (..., O), and the cache: both factors of the product, since each is the other's derivative.

    Raises:
        ValueError: if the shapes do not fit. TypeError: if the dtypes differ or are not floating point.
    """
    require_float(x=x, weight=weight, bias=bias)
    require(weight.dim() in (1, 2), f"weight must be (out, in) or (in,), but its shape is {tuple(weight.shape)}")
    require(x.dim() >= 1, "x must have at least one axis, (..., in_features), but it is a scalar")
    require(
        x.shape[-1] == weight.shape[-1],
        f"x has {x.shape[-1]} features in its last axis, but weight of shape {tuple(weight.shape)} "
        f"expects {weight.shape[-1]}",
    )
    if bias is not None:
        require(weight.dim() == 2, "bias must be None beside a weight of one axis")
        require(
            bias.shape == weight.shape[:1],
            f"bias must have shape ({weight.shape[0]},), one value per output, but its shape is {tuple(bias.shape)}",
        )

    x_rows, weight_rows = _rows(x), _rows(weight)  # (B, I), (O, I)
    out = matmul(x_rows, weight_rows.mT).reshape(*x.shape[:-1], *weight.shape[:-1])  # (..., O)
    if bias is not None:
        out = out + bias
    return out, LinearCache(x, weight, bias is not None)


def linear_backward(
    dout: Tensor, cache: LinearCache, *, need_dx: bool = True
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """Gradients of :func:`linear_forward`: dx (..., I), dweight as weight, dbias as bias (None without a bias).

    ``need_dx=False`` leaves out dx (None): nobody needs the gradient of the first layer's input.
    """
    x, weight, has_bias = cache
    x_rows, weight_rows = _rows(x), _rows(weight)  # (B, I), (O, I)
    dout_rows = dout.reshape(len(x_rows), len(weight_rows))  # (B, O)

    # out = x weightᵀ + bias
    dx = matmul(dout_rows, weight_rows).reshape(x.shape) if need_dx else None
    dweight = matmul(dout_rows.mT, x_rows).reshape(weight.shape)
    dbias = dout_rows.sum(dim=0) if has_bias else None
    return dx, dweight, dbias


def _rows(x: Tensor) -> Tensor:
    """All axes but the last as one."""
    return x.reshape(x.shape[:-1].numel(), x.shape[-1])
