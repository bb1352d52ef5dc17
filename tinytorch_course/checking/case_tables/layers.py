"""The layers that are made of others; those of an op stand in its row."""

from tinytorch_course.checking.cases import IMAGE, ROWS, LayerCase


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


COMPOSED = [
    LayerCase("sequential", lambda L: L.sequential(L.conv2d(6, 3, 3), L.relu(), L.flatten(), L.linear(108, 2)), IMAGE),
    LayerCase("sequential", lambda L: L.sequential(a=L.linear(6, 5), b=L.dropout(), c=L.linear(5, 2)), ROWS, "named"),
    LayerCase("sequential", lambda L: L.sequential(L.sequential(L.linear(6, 5), L.tanh())), ROWS, "nested"),
    LayerCase("residual", block, IMAGE),
    LayerCase("residual", lambda L: block(L, activation=L.relu()), IMAGE, "activation"),
    LayerCase("residual", shrinking_block, IMAGE, "downsample"),
]
