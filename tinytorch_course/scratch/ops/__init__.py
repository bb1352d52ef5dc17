"""The ops as the papers write them: of each a forward and its backward, and the cache that the one hands the other.

    out, cache = conv2d_forward(x, weight, bias, stride=1, padding=1)
    dx, dweight, dbias = conv2d_backward(dout, cache)

Every name of every family is here, too: ``from tinytorch_course.scratch.ops import conv2d_forward``.
"""

from tinytorch_course.scratch.ops import (
    activation,
    convolution,
    dropout,
    embedding,
    linear,
    normalization,
    pooling,
    reshaping,
    residual,
    sample_normalization,
)
from tinytorch_course.scratch.ops.activation import *  # noqa: F403
from tinytorch_course.scratch.ops.convolution import *  # noqa: F403
from tinytorch_course.scratch.ops.dropout import *  # noqa: F403
from tinytorch_course.scratch.ops.embedding import *  # noqa: F403
from tinytorch_course.scratch.ops.linear import *  # noqa: F403
from tinytorch_course.scratch.ops.normalization import *  # noqa: F403
from tinytorch_course.scratch.ops.pooling import *  # noqa: F403
from tinytorch_course.scratch.ops.reshaping import *  # noqa: F403
from tinytorch_course.scratch.ops.residual import *  # noqa: F403
from tinytorch_course.scratch.ops.sample_normalization import *  # noqa: F403

__all__ = [
    *activation.__all__,
    *convolution.__all__,
    *dropout.__all__,
    *embedding.__all__,
    *linear.__all__,
    *normalization.__all__,
    *pooling.__all__,
    *reshaping.__all__,
    *residual.__all__,
    *sample_normalization.__all__,
]
