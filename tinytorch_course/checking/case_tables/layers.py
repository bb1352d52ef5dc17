"""Every layer with every keyword of its twin: a function of the layer namespace, and the shape of its input."""

from collections.abc import Callable
from typing import Any, NamedTuple

IMAGE, ROWS, SEQUENCE = (4, 6, 8, 8), (4, 6), (4, 6, 5)


class LayerCase(NamedTuple):
    layer: str
    build: Callable[[Any], Any]
    shape: tuple[int, ...]
    note: str = ""
    training: bool = True

    def __str__(self) -> str:
        mode = "training" if self.training else "evaluation"
        return " ".join([self.layer, self.note, mode]).replace("  ", " ")


def block(L, **keywords):
    """A residual block of ResNet."""
    return L.residual(
        conv1=L.conv2d(6, 6, 3, padding=1, bias=False),
        bn1=L.batch_norm2d(6),
        relu=L.relu(),
        conv2=L.conv2d(6, 6, 3, padding=1, bias=False),
        bn2=L.batch_norm2d(6),
        **keywords,
    )


def shrinking_block(L):
    """A residual block whose shortcut has a layer of its own."""
    return L.residual(
        conv1=L.conv2d(6, 9, 3, stride=2, padding=1),
        downsample=L.sequential(L.conv2d(6, 9, 1, stride=2, bias=False), L.batch_norm2d(9)),
        activation=L.relu(),
    )


EVERY = [
    LayerCase("linear", lambda L: L.linear(6, 5), ROWS),
    LayerCase("linear", lambda L: L.linear(6, 5, bias=False), ROWS, "no bias"),
    LayerCase("linear", lambda L: L.linear(8, 5), IMAGE, "many axes"),
    LayerCase("conv2d", lambda L: L.conv2d(6, 4, 3), IMAGE),
    LayerCase("conv2d", lambda L: L.conv2d(6, 4, (3, 2), (2, 1), (1, 0), bias=False), IMAGE, "no bias"),
    LayerCase("conv2d", lambda L: L.conv2d(6, 4, 3, dilation=2, groups=2), IMAGE, "dilation, groups"),
    LayerCase("conv2d", lambda L: L.conv2d(6, 4, 4, padding="same"), IMAGE, "same"),
    LayerCase("conv2d", lambda L: L.conv2d(6, 4, 3, padding=(1, 2), padding_mode="reflect"), IMAGE, "reflect"),
    LayerCase("conv2d", lambda L: L.conv2d(6, 4, 3, 2, 2, padding_mode="replicate"), IMAGE, "replicate"),
    LayerCase("conv2d", lambda L: L.conv2d(6, 4, 4, padding="same", padding_mode="circular"), IMAGE, "circular"),
    LayerCase("batch_norm1d", lambda L: L.batch_norm1d(6), ROWS),
    LayerCase("batch_norm1d", lambda L: L.batch_norm1d(6, eps=0.1, momentum=0.3), SEQUENCE, "sequence"),
    LayerCase("batch_norm2d", lambda L: L.batch_norm2d(6), IMAGE),
    LayerCase("batch_norm2d", lambda L: L.batch_norm2d(6, affine=False), IMAGE, "not affine"),
    LayerCase("batch_norm2d", lambda L: L.batch_norm2d(6, track_running_stats=False), IMAGE, "no statistics"),
    LayerCase("batch_norm2d", lambda L: L.batch_norm2d(6, momentum=None), IMAGE, "mean of all"),
    LayerCase("relu", lambda L: L.relu(), IMAGE),
    LayerCase("leaky_relu", lambda L: L.leaky_relu(0.2), IMAGE),
    LayerCase("gelu", lambda L: L.gelu(), IMAGE),
    LayerCase("gelu", lambda L: L.gelu(approximate="tanh"), IMAGE, "tanh"),
    LayerCase("sigmoid", lambda L: L.sigmoid(), IMAGE),
    LayerCase("tanh", lambda L: L.tanh(), IMAGE),
    LayerCase("softmax", lambda L: L.softmax(dim=1), IMAGE),
    LayerCase("log_softmax", lambda L: L.log_softmax(dim=-1), ROWS),
    LayerCase("flatten", lambda L: L.flatten(), IMAGE),
    LayerCase("flatten", lambda L: L.flatten(start_dim=2, end_dim=3), IMAGE, "some"),
    LayerCase("max_pool2d", lambda L: L.max_pool2d(3, 2, 1, 1, ceil_mode=True), IMAGE),
    LayerCase("max_pool2d", lambda L: L.max_pool2d(2, dilation=2), IMAGE, "dilation"),
    LayerCase("avg_pool2d", lambda L: L.avg_pool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), IMAGE),
    LayerCase("avg_pool2d", lambda L: L.avg_pool2d(2, divisor_override=3), IMAGE, "divisor"),
    LayerCase("adaptive_avg_pool2d", lambda L: L.adaptive_avg_pool2d((3, None)), IMAGE),
    LayerCase("dropout", lambda L: L.dropout(0.3), IMAGE),
    LayerCase("dropout", lambda L: L.dropout(1.0), IMAGE, "everything"),
    LayerCase("sequential", lambda L: L.sequential(L.conv2d(6, 3, 3), L.relu(), L.flatten(), L.linear(108, 2)), IMAGE),
    LayerCase("sequential", lambda L: L.sequential(a=L.linear(6, 5), b=L.dropout(), c=L.linear(5, 2)), ROWS, "named"),
    LayerCase("sequential", lambda L: L.sequential(L.sequential(L.linear(6, 5), L.tanh())), ROWS, "nested"),
    LayerCase("residual", block, IMAGE),
    LayerCase("residual", lambda L: block(L, activation=L.relu()), IMAGE, "activation"),
    LayerCase("residual", shrinking_block, IMAGE, "downsample"),
]

CASES = [case._replace(training=training) for case in EVERY for training in (True, False)]
