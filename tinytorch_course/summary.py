"""What a network is made of: each layer's output, parameters, arithmetic, and what it saves for backward.

Nothing is worked out from the description alone: the from-scratch network runs, and what its layers gave and saved is
what is told.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.caches import parts_of
from tinytorch_course.errors import InputError
from tinytorch_course.models import Model
from tinytorch_course.scratch import layers
from tinytorch_course.scratch.checks import pair
from tinytorch_course.scratch.layers import Layer
from tinytorch_course.user_code import blame

# Two runs, whose difference is what one more picture costs. Not of one picture: batch norm could see a single value.
BATCHES = 2, 3
Tensors = dict[str, Tensor]
LARGEST = 256  # pixels of a side, and channels
FLOPS = "one multiply-add counts as 2 FLOPs; only convolutions and linear layers are counted, without their biases"
SAVED = "bytes of float32 for one picture; a tensor that two layers save is counted at the first"


class LayerSummary(NamedTuple):
    """One layer's line."""

    name: str  # as in the state_dict: layer1.0.conv1
    kind: str  # as in scratch.layers
    output: tuple[int, ...]  # of one picture
    parameters: int
    flops: int  # of one picture
    saved: int  # bytes that one more picture adds to the cache
    formula: list[str]  # how the output's size follows from the input's


class Summary(NamedTuple):
    """A network's layers, and their sums."""

    model: str
    input: tuple[int, int, int]
    layers: list[LayerSummary]

    @property
    def parameters(self) -> int:
        """Numbers to be learned."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def flops(self) -> int:
        """Of one picture's forward."""
        return sum(layer.flops for layer in self.layers)

    @property
    def saved(self) -> int:
        """Bytes that one more picture adds to the cache."""
        return sum(layer.saved for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": self.model,
            "input": list(self.input),
            "layers": [layer._asdict() for layer in self.layers],
            "parameters": self.parameters,
            "flops": self.flops,
            "saved_bytes": self.saved,
            "conventions": {"flops": FLOPS, "saved": SAVED},
        }


def parse_input(text: str) -> tuple[int, int, int]:
    """``"1x28x28"`` as (1, 28, 28): channels, height, width.

    Raises:
        InputError: if it is anything else, or larger than 256 somewhere.
    """
    if not re.fullmatch(r"[0-9]{1,9}x[0-9]{1,9}x[0-9]{1,9}", text, re.ASCII):
        raise InputError(f"--input must be CHANNELSxHEIGHTxWIDTH, such as 1x28x28, but it is '{text}'")
    channels, height, width = (int(number) for number in text.split("x"))
    if not all(1 <= number <= LARGEST for number in (channels, height, width)):
        raise InputError(f"--input must have 1 to {LARGEST} channels, rows and columns, but it is {text}")
    return channels, height, width


def summarise(model: Model, size: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> Summary:
    """Run a network on pictures of that size, and tell what its layers did.

    Raises:
        InputError: if the network cannot take pictures of that size.
    """
    picture = "x".join(str(number) for number in size)
    try:
        root = model.build(_Nodes(), num_classes=classes, in_channels=size[0], image_size=min(size[1:]))
    except ValueError as error:
        raise InputError(f"{model.name} cannot take pictures of {picture}: {error}") from error
    if not isinstance(root, _Node):
        raise InputError(f"{model.where}: it must return a layer made by L, as L.sequential(...), not {root!r:.60}")
    nodes = list(_leaves(root))
    params, state = root.layer.init(torch.Generator().manual_seed(0))
    saved = []
    for batch in BATCHES:
        for _, node in nodes:
            node.seen = None
        try:
            root.layer.forward(params, state, torch.zeros(batch, *size), training=True, generator=torch.Generator())
        except Exception as error:
            if model.code is None and not isinstance(error, ValueError):
                raise
            where = next((f"at {name}, " for name, node in nodes if node.seen is None and name), "")
            reason = blame(error) or " ".join(str(error).split())
            raise InputError(f"{model.where} cannot take pictures of {picture}: {where}{reason}") from error
        saved.append(_bytes_by_layer(node for _, node in nodes))
    return Summary(
        model.name,
        size,
        [_summary_of(name, node, params, more - less) for (name, node), less, more in zip(nodes, *saved, strict=True)],
    )


# --- the network as a tree of layers that remember what they did -----------------------------------------------------


class _Seen(NamedTuple):
    x: torch.Size
    out: torch.Size
    cache: Any


@dataclasses.dataclass
class _Node:
    kind: str
    settings: dict[str, Any]  # the layer's arguments by name
    layer: Layer
    children: dict[str, "_Node"]
    seen: _Seen | None = None

    @property
    def did(self) -> _Seen:
        if self.seen is None:
            raise RuntimeError(f"the layer {self.kind} has not run")
        return self.seen


class _Nodes:
    """A layer namespace whose layers are those of ``scratch.layers``, each in a node that watches it."""

    def __getattr__(self, kind: str) -> Callable[..., _Node]:
        factory = getattr(layers, kind)

        def make(*args: Any, **keywords: Any) -> _Node:
            settings = inspect.signature(factory).bind(*args, **keywords)
            settings.apply_defaults()
            node = _Node(kind, settings.arguments, factory(*args, **keywords), {})

            def forward(params: Tensors, state: Tensors, x: Tensor, **mode: Any) -> tuple[Tensor, Tensors, Any]:
                out, state, cache = inner(params, state, x, **mode)
                node.seen = _Seen(x.shape, out.shape, cache)
                return out, state, cache

            inner = node.layer.forward
            node.layer = node.layer._replace(forward=forward)
            return node

        return make

    def sequential(self, *unnamed: _Node, **named: _Node) -> _Node:
        children = {str(number): node for number, node in enumerate(unnamed)} or named
        layer = layers.sequential(**{name: node.layer for name, node in children.items()})
        return _Node("sequential", {}, layer, children)

    def residual(self, *, downsample: _Node | None = None, activation: _Node | None = None, **named: _Node) -> _Node:
        last = {"downsample": downsample, "activation": activation}  # the order in which they run
        children = named | {name: node for name, node in last.items() if node is not None}
        layer = layers.residual(**{name: node.layer for name, node in children.items()})
        return _Node("residual", {}, layer, children)


def _leaves(node: _Node, name: str = "") -> Iterator[tuple[str, _Node]]:
    """The layers that are not made of others, in the order in which they run."""
    if not node.children:
        yield name, node
    for child_name, child in node.children.items():
        yield from _leaves(child, f"{name}.{child_name}".lstrip("."))


# --- what a layer did ------------------------------------------------------------------------------------------------


def _summary_of(name: str, node: _Node, params: dict[str, Tensor], saved: int) -> LayerSummary:
    own = [tensor for key, tensor in params.items() if key.rpartition(".")[0] == name]
    output = tuple(node.did.out[1:])
    return LayerSummary(
        name, node.kind, output, sum(tensor.numel() for tensor in own), _flops(node), saved, _formula(node)
    )


def _flops(node: _Node) -> int:
    """Every value of a convolution or a linear layer is a sum of products: two operations a product."""
    settings, values = node.settings, node.did.out[1:].numel()
    if node.kind == "linear":
        return 2 * values * settings["in_features"]
    if node.kind == "conv2d":
        kh, kw = pair("kernel_size", settings["kernel_size"], minimum=1)
        return 2 * values * kh * kw * (settings["in_channels"] // settings["groups"])
    return 0


def _formula(node: _Node) -> list[str]:
    """How the size of the layer's output follows from its input's: a line an axis, one line for a square."""
    x, out = node.did.x[1:], node.did.out[1:]
    if node.kind == "flatten":
        return [f"{' * '.join(str(size) for size in x)} = {out[0]}"]
    if "kernel_size" not in node.settings:
        return []

    def both(name: str, missing: int) -> tuple[int, int]:
        value = node.settings.get(name, missing)
        return pair(name, missing if value is None else value, minimum=0)

    kernel = both("kernel_size", 1)
    stride = kernel if node.settings["stride"] is None else both("stride", 1)
    padding, dilation = both("padding", 0), both("dilation", 1)
    lines = [
        f"floor(({size} + 2*{p} - {d}*({k} - 1) - 1) / {s}) + 1 = {result}"
        for size, p, d, k, s, result in zip(x[-2:], padding, dilation, kernel, stride, out[-2:], strict=True)
    ]
    return list(dict.fromkeys(lines))


def _bytes_by_layer(nodes: Iterator[_Node]) -> list[int]:
    """What each layer's cache keeps alive and no layer before it does."""
    counted: set[int] = set()
    sizes = []
    for node in nodes:
        storages = [tensor.untyped_storage() for tensor in parts_of(node.did.cache, Tensor)]
        memory = {storage.data_ptr(): storage.nbytes() for storage in storages}
        sizes.append(sum(size for address, size in memory.items() if address not in counted))
        counted |= set(memory)
    return sizes
