"""Every network, written once: a function of a layer namespace ``L``.

``mnist_cnn(scratch.layers)`` is a network with hand-written gradients, ``mnist_cnn(reference.layers)`` an
``nn.Module``; names, shapes and ``state_dict`` keys are the same. Inputs are (N, in_channels, image_size, image_size);
outputs are logits, (N, num_classes). The networks that end in a global mean (mini_cnn, resnet18) do not depend on the
size. Sizes in the comments are those for MNIST's 28 x 28. A picture that is too small for a network is a ValueError.

Initial values are those of torch's layers, also where the paper of a network, or torchvision, draws others.
"""

import functools
import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from tinytorch_course.errors import InputError, did_you_mean
from tinytorch_course.own_networks import Code, adapt, code_of, is_own, load_own, parse_own


class Model(NamedTuple):
    """One network of the catalogue."""

    name: str
    build: Callable[..., Any]  # build(L, *, num_classes=10, in_channels=1, image_size=28)
    purpose: str
    code: Code | None = None  # where it is written, if it is the user's own
    bench_batch: int | None = None  # of `tinytorch bench`; None: it is timed only where it is asked for by name
    check_shape: tuple[int, ...] = (4, 1, 28, 28)  # of the batch with which `tinytorch check` checks it

    def __str__(self) -> str:
        return self.name

    @property
    def where(self) -> str:
        """What a sentence about a mistake in it begins with."""
        return self.name if self.code is None else str(self.code)


def softmax(L: Any, *, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> Any:
    """Softmax regression: one linear layer. (The softmax itself is part of the loss.)"""
    return L.sequential(flatten=L.flatten(), fc=L.linear(in_channels * image_size**2, num_classes))


def mlp(
    L: Any, *, num_classes: int = 10, in_channels: int = 1, image_size: int = 28, widths: tuple[int, ...] = (128, 64)
) -> Any:
    """A multi-layer perceptron, 784-128-64-10 on MNIST; ``widths`` are the sizes of its hidden layers."""
    layers = {"flatten": L.flatten()}
    sizes = (in_channels * image_size**2, *widths)
    for number, (before, after) in enumerate(itertools.pairwise(sizes), start=1):
        layers[f"fc{number}"] = L.linear(before, after)
        layers[f"relu{number}"] = L.relu()
    layers[f"fc{len(sizes)}"] = L.linear(sizes[-1], num_classes)
    return L.sequential(**layers)


def lenet5(L: Any, *, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> Any:
    """LeNet-5 with its sizes, tanh and averaging; padding makes its 32 x 32 of MNIST's 28 x 28.

    Three simplifications that everybody makes: the averages have no weights of their own, every channel of conv2 sees
    all of pool1, and the output is linear.

    Source: LeCun, Bottou, Bengio, Haffner (1998), "Gradient-based learning applied to document recognition",
    section II.B.
    """
    _require_size(image_size, at_least=12)
    side = (image_size // 2 - 4) // 2
    return L.sequential(
        conv1=L.conv2d(in_channels, 6, 5, padding=2),  # 28 x 28
        tanh1=L.tanh(),
        pool1=L.avg_pool2d(2),  # 14 x 14
        conv2=L.conv2d(6, 16, 5),  # 10 x 10
        tanh2=L.tanh(),
        pool2=L.avg_pool2d(2),  # 5 x 5
        flatten=L.flatten(),
        fc1=L.linear(16 * side**2, 120),
        tanh3=L.tanh(),
        fc2=L.linear(120, 84),
        tanh4=L.tanh(),
        fc3=L.linear(84, num_classes),
    )


def mnist_cnn(L: Any, *, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> Any:
    """Two convolutions with batch normalisation, two linear layers with dropout before each.

    The convolutions have no bias: batch norm would take it away again, and its own does the job. (Under Adam, which
    divides a gradient by its size, a bias whose gradient is nothing but rounding would even wander.)
    """
    _require_size(image_size, at_least=4)
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
        fc1=L.linear(64 * (image_size // 4) ** 2, 128),
        relu3=L.relu(),
        drop2=L.dropout(0.5),
        fc2=L.linear(128, num_classes),
    )


def mini_cnn(L: Any, *, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> Any:
    """Under 10,000 parameters: few channels, a 1x1 convolution that halves them, a mean for the large linear layers.

    Every convolution is followed by batch norm, so none has a bias. A unit of conv7 sees 22 x 22 pixels, most of
    the picture, before the mean over its 6 x 6 places.

    Source: the 1x1 convolutions and the global mean are those of Lin, Chen, Yan (2014), "Network in network",
    sections 3.1 and 3.2.
    """
    _require_size(image_size, at_least=18)
    return L.sequential(
        **_conv_norm_relu(L, 1, in_channels, 8, 3),  # 26 x 26
        **_conv_norm_relu(L, 2, 8, 16, 3),  # 24 x 24
        pool=L.max_pool2d(2),  # 12 x 12
        **_conv_norm_relu(L, 3, 16, 8, 1),
        **_conv_norm_relu(L, 4, 8, 16, 3),  # 10 x 10
        **_conv_norm_relu(L, 5, 16, 16, 3),  # 8 x 8
        **_conv_norm_relu(L, 6, 16, 16, 3),  # 6 x 6
        **_conv_norm_relu(L, 7, 16, 16, 3, padding=1),
        mean=L.adaptive_avg_pool2d(1),  # 1 x 1
        flatten=L.flatten(),
        fc=L.linear(16, num_classes),
    )


def _conv_norm_relu(
    L: Any, number: int, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
) -> dict[str, Any]:
    return {
        f"conv{number}": L.conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=False),
        f"norm{number}": L.batch_norm2d(out_channels),
        f"relu{number}": L.relu(),
    }


def fast_cnn(L: Any, *, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> Any:
    """For much accuracy in little time: what costs time is the large pictures, so the first convolution halves them.

    Every convolution is followed by batch norm, so none has a bias. No pooling before the last layer but one: nine
    places of 64 channels are left, which the linear layer tells apart.
    """
    _require_size(image_size, at_least=18)
    side = ((image_size - 2) // 2 - 2) // 2 - 2
    return L.sequential(
        **_conv_norm_relu(L, 1, in_channels, 16, 4, stride=2),  # 13 x 13
        **_conv_norm_relu(L, 2, 16, 32, 3),  # 11 x 11
        pool=L.max_pool2d(2),  # 5 x 5
        **_conv_norm_relu(L, 3, 32, 64, 3),  # 3 x 3
        flatten=L.flatten(),
        fc=L.linear(64 * side**2, num_classes),
    )


def tiny_vgg(L: Any, *, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> Any:
    """CNN Explainer's network: twice two 3x3 convolutions of 10 channels and a pooling. Made there for 64 x 64 pixels.

    Source: Wang et al. (2020), "CNN Explainer: learning convolutional neural networks with interactive
    visualization", section 5; the pattern is that of Simonyan, Zisserman (2015), "Very deep convolutional networks".
    """
    _require_size(image_size, at_least=16)
    side = ((image_size - 4) // 2 - 4) // 2
    return L.sequential(
        conv1_1=L.conv2d(in_channels, 10, 3),  # 26 x 26
        relu1_1=L.relu(),
        conv1_2=L.conv2d(10, 10, 3),  # 24 x 24
        relu1_2=L.relu(),
        pool1=L.max_pool2d(2),  # 12 x 12
        conv2_1=L.conv2d(10, 10, 3),  # 10 x 10
        relu2_1=L.relu(),
        conv2_2=L.conv2d(10, 10, 3),  # 8 x 8
        relu2_2=L.relu(),
        pool2=L.max_pool2d(2),  # 4 x 4
        flatten=L.flatten(),
        fc=L.linear(10 * side**2, num_classes),
    )


def resnet18(
    L: Any, *, num_classes: int = 10, in_channels: int = 1, image_size: int = 28, small_stem: bool = True
) -> Any:
    """ResNet-18 with torchvision's keys; with the stem for small pictures, unless told otherwise.

    The small stem is one 3x3 convolution that keeps the size, as the paper has for CIFAR-10 (section 4.2): layer1 sees
    28 x 28. The paper's stem for ImageNet (7x7, stride 2, and pooling) would leave 7 x 7 of it. Initial values are
    torch's default ones, where torchvision draws Kaiming's.

    Source: He, Zhang, Ren, Sun (2016), "Deep residual learning for image recognition", table 1.
    """
    if small_stem:
        stem = {"conv1": L.conv2d(in_channels, 64, 3, padding=1, bias=False)}  # 28 x 28
    else:
        stem = {"conv1": L.conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)}
    stem |= {"bn1": L.batch_norm2d(64), "relu": L.relu()}
    if not small_stem:
        stem["maxpool"] = L.max_pool2d(3, stride=2, padding=1)
    return L.sequential(
        **stem,
        layer1=L.sequential(_basic_block(L, 64, 64), _basic_block(L, 64, 64)),  # 28 x 28
        layer2=L.sequential(_basic_block(L, 64, 128, stride=2), _basic_block(L, 128, 128)),  # 14 x 14
        layer3=L.sequential(_basic_block(L, 128, 256, stride=2), _basic_block(L, 256, 256)),  # 7 x 7
        layer4=L.sequential(_basic_block(L, 256, 512, stride=2), _basic_block(L, 512, 512)),  # 4 x 4
        avgpool=L.adaptive_avg_pool2d(1),  # 1 x 1
        flatten=L.flatten(),
        fc=L.linear(512, num_classes),
    )


def _basic_block(L: Any, in_channels: int, out_channels: int, stride: int = 1) -> Any:
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        shortcut = L.sequential(
            L.conv2d(in_channels, out_channels, 1, stride=stride, bias=False), L.batch_norm2d(out_channels)
        )
    return L.residual(
        conv1=L.conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        bn1=L.batch_norm2d(out_channels),
        relu=L.relu(),
        conv2=L.conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        bn2=L.batch_norm2d(out_channels),
        downsample=shortcut,
        activation=L.relu(),
    )


def resnet18_imagenet(L: Any, *, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> Any:
    """ResNet-18 as torchvision's ``resnet18``: the 7x7 stem, for pictures of some 224 x 224 pixels."""
    return resnet18(L, num_classes=num_classes, in_channels=in_channels, image_size=image_size, small_stem=False)


def _require_size(image_size: int, *, at_least: int) -> None:
    if image_size < at_least:
        raise ValueError(f"it needs at least {at_least} x {at_least} pixels")


WIDTHS = re.compile(r"mlp(-[1-9][0-9]{0,3}){1,20}")  # such as mlp-256-128

MODELS = {
    model.name: model
    for model in (
        Model("softmax", softmax, "one linear layer: what a straight cut through pixel space can do", bench_batch=128),
        Model("mlp", mlp, "784-128-64-10 with ReLU: the first deep network", bench_batch=64),
        Model("lenet5", lenet5, "LeCun's of 1998, with tanh and averaging: where convolution began", bench_batch=128),
        Model("mnist_cnn", mnist_cnn, "two convolutions, batch norm, dropout: over 99 % on MNIST", bench_batch=128),
        Model("mini_cnn", mini_cnn, "seven small convolutions and a mean: how far under 10,000 parameters go"),
        Model("fast_cnn", fast_cnn, "three convolutions, the first with stride 2: 99 % in the least time"),
        Model(
            "tiny_vgg",
            tiny_vgg,
            "CNN Explainer's: pairs of 3x3 convolutions, small enough to look at each map",
            bench_batch=128,
        ),
        # Networks of 11 million parameters are checked on a smaller batch, and on pictures of which layer4 sees 2 x 2:
        # over fewer values batch norm would divide by differences that are nothing but rounding.
        Model(
            "resnet18",
            resnet18,
            "18 layers with shortcuts, its first convolution made for small pictures",
            bench_batch=32,
            check_shape=(2, 1, 16, 16),
        ),
        Model(
            "resnet18_imagenet",
            resnet18_imagenet,
            "torchvision's resnet18, key by key: takes over its weights",
            check_shape=(2, 1, 64, 64),
        ),
    )
}


def require_model_name(name: object) -> None:
    """Refuse what can name no network. Whether there is such a file, where it is one's own, is another question.

    Raises:
        InputError: naming what there is.
    """
    if is_own(name):
        parse_own(name)
    elif not isinstance(name, str) or (name not in MODELS and not WIDTHS.fullmatch(name)):
        hint = did_you_mean(name, MODELS, "`tinytorch models` lists them, and FILE:NAME names one of your own")
        raise InputError(f"there is no network {name!r}{hint}")


def __dir__() -> list[str]:
    return ["MODELS", "Model", "find_model", *(model.build.__name__ for model in MODELS.values())]


def find_model(name: str | Callable[..., Any] | Model) -> Model:
    """The network of that name: one of ours, mlp-A-B-... with hidden layers of those sizes, or FILE:NAME.

    A function of ``L`` may be given itself, or what this function returned. Where a file is named, it is run.

    Raises:
        InputError: if there is none.
    """
    if isinstance(name, Model):
        return name
    if callable(name):
        if (ours := next((model for model in MODELS.values() if model.build is name), None)) is not None:
            return ours
        code = code_of(name)
        return Model(f"{code.file}:{code.function}", adapt(name, code.file), _purpose(name), code)
    require_model_name(name)
    if is_own(name):
        build, code = load_own(name)
        return Model(name, build, _purpose(build), code)
    if name in MODELS:
        return MODELS[name]
    widths = tuple(int(width) for width in name.split("-")[1:])
    return Model(name, functools.partial(mlp, widths=widths), "a multi-layer perceptron of chosen widths")


def _purpose(build: Callable[..., Any]) -> str:
    return (build.__doc__ or "a network of one's own").strip().splitlines()[0]
