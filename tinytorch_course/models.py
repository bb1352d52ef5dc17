"""Every network, written once: a function of a layer namespace ``L``.

``mnist_cnn(scratch.layers)`` is a network with hand-written gradients, ``mnist_cnn(reference.layers)`` an
``nn.Module``; names, shapes and ``state_dict`` keys are the same. Inputs are (N, in_channels, 28, 28); outputs are
logits, (N, num_classes).
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Model(NamedTuple):
    name: str
    build: Callable[..., Any]  # build(L, *, num_classes=10, in_channels=1)
    purpose: str


def softmax(L, *, num_classes=10, in_channels=1):
    """Softmax regression: one linear layer. (The softmax itself is part of the loss.)"""
    return L.sequential(flatten=L.flatten(), fc=L.linear(in_channels * 28 * 28, num_classes))


def mlp(L, *, num_classes=10, in_channels=1):
    """A multi-layer perceptron, 784-128-64-10 on MNIST."""
    return L.sequential(
        flatten=L.flatten(),
        fc1=L.linear(in_channels * 28 * 28, 128),
        relu1=L.relu(),
        fc2=L.linear(128, 64),
        relu2=L.relu(),
        fc3=L.linear(64, num_classes),
    )


def mnist_cnn(L, *, num_classes=10, in_channels=1):
    """Two convolutions with batch normalisation, two linear layers with dropout before each.

    The convolutions have no bias: batch norm would take it away again, and its own does the job. (Under Adam, which
    divides a gradient by its size, a bias whose gradient is nothing but rounding would even wander.)
    """
    return L.sequential(
        conv1=L.conv2d(in_channels, 32, 3, padding=1, bias=False),  # 28 x 28
        norm1=L.batch_norm2d(32),
        relu1=L.relu(),
        pool1=L.max_pool2d(2),  # 14 x 14
        conv2=L.conv2d(32, 64, 3, padding=1, bias=False),
        norm2=L.batch_norm2d(64),
        relu2=L.relu(),
        pool2=L.max_pool2d(2),  # 7 x 7
        flatten=L.flatten(),
        drop1=L.dropout(0.25),
        fc1=L.linear(64 * 7 * 7, 128),
        relu3=L.relu(),
        drop2=L.dropout(0.5),
        fc2=L.linear(128, num_classes),
    )


MODELS = {
    model.name: model
    for model in (
        Model("softmax", softmax, "one linear layer: what a straight cut through pixel space can do"),
        Model("mlp", mlp, "784-128-64-10 with ReLU: the first deep network"),
        Model("mnist_cnn", mnist_cnn, "two convolutions, batch norm, dropout: over 99 % on MNIST"),
    )
}
