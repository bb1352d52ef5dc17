"""Layers: an op together with the parameters it needs, as three pure functions over flat dicts.

A network is one layer made of others by :func:`sequential` and :func:`residual`. Its parameters are one flat dict whose
keys, shapes and layouts are those of the ``state_dict`` of the same network in ``torch.nn`` ("conv1.weight"), so that
either implementation loads the other's.

Each layer takes the keywords of its twin in ``torch.nn`` but those that choose no mathematics: ``inplace`` (nothing
here is ever changed in place), ``device`` and ``dtype`` (a dict of tensors is moved as a whole).
"""

import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, ParamSpec

import torch
from torch import Tensor

from tinytorch_course.scratch import initializers, ops
from tinytorch_course.scratch.checks import pair, require, require_choice, require_dim, require_probability
from tinytorch_course.scratch.ops.convolution import padding_sides
from tinytorch_course.scratch.ops.windows import IntPair
from tinytorch_course.scratch.tuned import chosen

Tensors = dict[str, Tensor]
Start = tuple[Tensors, Tensors]  # params, state
Out = tuple[Tensor, Tensors, Any]  # out, state, cache
Gradients = tuple[Tensor | Any, Tensors]  # dx, which may be None where nobody needs it, and grads
P = ParamSpec("P")

WEIGHT_AND_BIAS = ("weight", "bias")  # of which [: 1 + bias] leaves out a bias that is not wanted


class Layer(NamedTuple):
    """Three pure functions. Nothing is remembered between calls: all that changes goes in and comes out.

    ``init(generator) -> params, state``: new parameters, and what else the layer keeps (running statistics), as flat
    dicts. Always float32 on the CPU, so that one seed gives the same start in every dtype and on every device.

    ``forward(params, state, x, *, training, generator=None) -> out, state, cache``: the generator draws the masks of
    dropout.

    ``backward(dout, cache, *, need_dx=True) -> dx, grads``: grads has the keys of params. Without need_dx, dx may be
    None: the gradient of a network's input is never computed when nobody needs it.

    It prints as the call that made it.
    """

    init: Callable[..., Start]
    forward: Callable[..., Out]
    backward: Callable[..., Gradients]
    text: str = "layer"

    def __repr__(self) -> str:
        return self.text


def _described(factory: Callable[P, Layer]) -> Callable[P, Layer]:
    """``factory``, whose layers print as the call that made them, without the arguments that are the usual ones."""
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def describing(*args: P.args, **kwargs: P.kwargs) -> Layer:
        given = signature.bind(*args, **kwargs).arguments
        words = [f"{name}={value!r}" for name, value in given.items() if value != signature.parameters[name].default]
        return factory(*args, **kwargs)._replace(text=f"{factory.__name__}({', '.join(words)})")

    return describing


# --- layers with parameters ------------------------------------------------------------------------------------------


def _layer(
    forward_op: Callable[..., Any],
    backward_op: Callable[..., Any],
    names: Sequence[str] = (),
    start: Callable[[torch.Generator], Iterable[Any]] = lambda generator: (),
    **keywords: Any,
) -> Layer:
    """The layer of an op that keeps no state and draws nothing, the same in training and evaluation.

    ``names``, the op's arguments beside x and ``keywords``, are its parameters; ``start(generator)`` gives their first
    values. Backward's gradients are those of x and of the parameters, in this order.
    """
    forward_op, backward_op = chosen(forward_op), chosen(backward_op)
    can_do_without_dx = "need_dx" in inspect.signature(backward_op).parameters

    def init(generator: torch.Generator) -> Start:
        return dict(zip(names, start(generator), strict=False)), {}

    def forward(params: Tensors, state: Tensors, x: Tensor, *, training: bool, generator: Any = None) -> Out:
        out, cache = forward_op(x, **{name: params[name] for name in names}, **keywords)
        return out, state, cache

    def backward(dout: Tensor, cache: Any, *, need_dx: bool = True) -> Gradients:
        gradients = backward_op(dout, cache, need_dx=need_dx) if can_do_without_dx else backward_op(dout, cache)
        dx, *dparams = gradients if isinstance(gradients, tuple) else (gradients,)
        return dx, dict(zip(names, dparams, strict=False))

    return Layer(init, forward, backward)


@_described
def linear(in_features: int, out_features: int, bias: bool = True) -> Layer:
    """``x weightᵀ + bias``, as ``nn.Linear``: weight (out_features, in_features), bias (out_features,)."""
    start = partial(initializers.linear_default, (out_features, in_features), bias=bias)
    return _layer(ops.linear_forward, ops.linear_backward, WEIGHT_AND_BIAS[: 1 + bias], start)


@_described
def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: str = "zeros",
) -> Layer:
    """Convolution, as ``nn.Conv2d``: weight (out_channels, in_channels/groups, KH, KW), bias (out_channels,).

    ``padding_mode``: "zeros", or "reflect", "replicate", "circular", which continue the image by its own pixels.
    """
    kernel = pair("kernel_size", kernel_size, minimum=1)
    stride, dilation = pair("stride", stride, minimum=1), pair("dilation", dilation, minimum=1)
    require(groups >= 1, f"groups must be at least 1, but it is {groups}")
    require(in_channels % groups == 0, f"groups must divide in_channels, but they are {groups} and {in_channels}")
    require(out_channels % groups == 0, f"groups must divide out_channels, but they are {groups} and {out_channels}")
    require_choice("padding_mode", padding_mode, ("zeros", "reflect", "replicate", "circular"))
    top, bottom, left, right = padding_sides(padding, kernel, stride, dilation)

    start = partial(initializers.conv_default, (out_channels, in_channels // groups, *kernel), bias=bias)
    names, keywords = WEIGHT_AND_BIAS[: 1 + bias], {"stride": stride, "dilation": dilation, "groups": groups}
    if padding_mode == "zeros":
        return _layer(ops.conv2d_forward, ops.conv2d_backward, names, start, padding=padding, **keywords)
    conv = _layer(ops.conv2d_forward, ops.conv2d_backward, names, start, **keywords)

    def forward(params: Tensors, state: Tensors, x: Tensor, **mode: Any) -> Out:
        padded, pad_cache = ops.pad2d_forward(x, (left, right, top, bottom), padding_mode)
        out, state, conv_cache = conv.forward(params, state, padded, **mode)
        return out, state, (conv_cache, pad_cache)

    def backward(dout: Tensor, cache: Any, *, need_dx: bool = True) -> Gradients:
        conv_cache, pad_cache = cache
        dpadded, grads = conv.backward(dout, conv_cache, need_dx=need_dx)
        return ops.pad2d_backward(dpadded, pad_cache) if need_dx else None, grads

    return Layer(conv.init, forward, backward)


def _batch_norm(
    ndims: tuple[int, ...],
    layout: str,
    num_features: int,
    eps: float,
    momentum: float | None,
    affine: bool,
    track_running_stats: bool,
) -> Layer:
    batch_norm_forward, batch_norm_backward = chosen(ops.batch_norm_forward), chosen(ops.batch_norm_backward)

    def init(generator: torch.Generator) -> Start:
        params, state = {}, {}
        if affine:
            params = {"weight": torch.ones(num_features), "bias": torch.zeros(num_features)}
        if track_running_stats:
            state = {
                "running_mean": torch.zeros(num_features),
                "running_var": torch.ones(num_features),
                "num_batches_tracked": torch.tensor(0),
            }
        return params, state

    def forward(params: Tensors, state: Tensors, x: Tensor, *, training: bool, generator: Any = None) -> Out:
        require_dim("x", x, ndims, layout)
        running = state.get("running_mean"), state.get("running_var")
        batches = state["num_batches_tracked"] + 1 if state and training else None
        # momentum=None asks for the mean over all batches so far. (Their number stays a tensor: nobody waits for it.)
        part = momentum if momentum is not None else 1 / batches.double() if batches is not None else 0.0
        out, (mean, var), cache = batch_norm_forward(
            x, *running, params.get("weight"), params.get("bias"), training or not state, part, eps
        )
        if batches is not None:
            state = {"running_mean": mean, "running_var": var, "num_batches_tracked": batches}
        return out, state, cache

    def backward(dout: Tensor, cache: Any, *, need_dx: bool = True) -> Gradients:
        dx, dweight, dbias = batch_norm_backward(dout, cache)
        return dx, _named(weight=dweight, bias=dbias)

    return Layer(init, forward, backward)


@_described
def batch_norm1d(
    num_features: int,
    eps: float = 1e-5,
    momentum: float | None = 0.1,
    affine: bool = True,
    track_running_stats: bool = True,
) -> Layer:
    """Batch normalisation of (N, C) or (N, C, L), as ``nn.BatchNorm1d``.

    In the state: running_mean, running_var (C,) and the int64 scalar num_batches_tracked. ``momentum=None`` makes the
    running statistics plain means over all batches. Without them (``track_running_stats=False``), the batch's own are
    used in evaluation too.
    """
    return _batch_norm((2, 3), "(N, C) or (N, C, L)", num_features, eps, momentum, affine, track_running_stats)


@_described
def batch_norm2d(
    num_features: int,
    eps: float = 1e-5,
    momentum: float | None = 0.1,
    affine: bool = True,
    track_running_stats: bool = True,
) -> Layer:
    """Batch normalisation of (N, C, H, W), as ``nn.BatchNorm2d``. See :func:`batch_norm1d`."""
    return _batch_norm((4,), "(N, C, H, W)", num_features, eps, momentum, affine, track_running_stats)


@_described
def layer_norm(
    normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True
) -> Layer:
    """Normalisation of every sample over its last axes, as ``nn.LayerNorm``: weight, bias of ``normalized_shape``."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    names = WEIGHT_AND_BIAS[: 1 + bias] if elementwise_affine else ()
    start = partial(_ones_and_zeros, shape)
    return _layer(ops.layer_norm_forward, ops.layer_norm_backward, names, start, normalized_shape=shape, eps=eps)


@_described
def group_norm(num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> Layer:
    """Normalisation of every sample by groups of channels, as ``nn.GroupNorm``: weight and bias (num_channels,)."""
    require(
        num_groups > 0 and num_channels % num_groups == 0,
        f"num_groups must divide num_channels, but they are {num_groups} and {num_channels}",
    )
    names, start = WEIGHT_AND_BIAS if affine else (), partial(_ones_and_zeros, (num_channels,))
    return _layer(ops.group_norm_forward, ops.group_norm_backward, names, start, num_groups=num_groups, eps=eps)


def _ones_and_zeros(shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What a normalisation's weight and bias start with: nothing is drawn."""
    return torch.ones(shape), torch.zeros(shape)


@_described
def embedding(num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> Layer:
    """Vectors looked up by number, as ``nn.Embedding``: weight (num_embeddings, embedding_dim); no dx."""
    embedding_backward = chosen(ops.embedding_backward)

    def start(generator: torch.Generator) -> list[Tensor]:
        weight = initializers.normal((num_embeddings, embedding_dim), generator)
        if padding_idx is not None:
            weight[padding_idx] = 0
        return [weight]

    def backward(dout: Tensor, cache: Any) -> tuple[None, Tensor]:
        return None, embedding_backward(dout, cache)

    return _layer(ops.embedding_forward, backward, ["weight"], start, padding_idx=padding_idx)


# --- layers without parameters ---------------------------------------------------------------------------------------


@_described
def relu() -> Layer:
    """``max(x, 0)``, as ``nn.ReLU``."""
    return _layer(ops.relu_forward, ops.relu_backward)


@_described
def leaky_relu(negative_slope: float = 0.01) -> Layer:
    """As ``nn.LeakyReLU``."""
    return _layer(ops.leaky_relu_forward, ops.leaky_relu_backward, **locals())


@_described
def gelu(approximate: str = "none") -> Layer:
    """As ``nn.GELU``."""
    return _layer(ops.gelu_forward, ops.gelu_backward, **locals())


@_described
def sigmoid() -> Layer:
    """As ``nn.Sigmoid``."""
    return _layer(ops.sigmoid_forward, ops.sigmoid_backward)


@_described
def tanh() -> Layer:
    """As ``nn.Tanh``."""
    return _layer(ops.tanh_forward, ops.tanh_backward)


@_described
def softmax(dim: int) -> Layer:
    """As ``nn.Softmax``. A classifier ends in logits, not in this: cross-entropy takes the softmax itself."""
    return _layer(ops.softmax_forward, ops.softmax_backward, **locals())


@_described
def log_softmax(dim: int) -> Layer:
    """As ``nn.LogSoftmax``."""
    return _layer(ops.log_softmax_forward, ops.log_softmax_backward, **locals())


@_described
def flatten(start_dim: int = 1, end_dim: int = -1) -> Layer:
    """Merge axes, as ``nn.Flatten``: all but the batch's, unless told otherwise."""
    return _layer(ops.flatten_forward, ops.flatten_backward, **locals())


@_described
def max_pool2d(
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> Layer:
    """As ``nn.MaxPool2d`` (a layer has one output: the op returns the indices too if asked)."""
    return _layer(ops.max_pool2d_forward, ops.max_pool2d_backward, **locals())


@_described
def avg_pool2d(
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Layer:
    """As ``nn.AvgPool2d``."""
    return _layer(ops.avg_pool2d_forward, ops.avg_pool2d_backward, **locals())


@_described
def adaptive_avg_pool2d(output_size: int | tuple[int | None, int | None]) -> Layer:
    """As ``nn.AdaptiveAvgPool2d``."""
    return _layer(ops.adaptive_avg_pool2d_forward, ops.adaptive_avg_pool2d_backward, **locals())


@_described
def dropout(p: float = 0.5) -> Layer:
    """As ``nn.Dropout``; the masks come from the generator that forward is given.

    In its place forward takes an iterator over masks that have been drawn already, in order: what compiles a network
    cannot draw from a ``torch.Generator``.
    """
    require_probability("p", p)

    def init(generator: torch.Generator) -> Start:
        return {}, {}

    def forward(params: Tensors, state: Tensors, x: Tensor, *, training: bool, generator: Any = None) -> Out:
        drawn = generator is not None and not isinstance(generator, torch.Generator)
        if drawn and training and p > 0:
            out, cache = ops.dropout_forward(x, p, mask=next(generator))
        else:
            out, cache = ops.dropout_forward(x, p, training, generator=None if drawn else generator)
        return out, state, cache

    def backward(dout: Tensor, cache: Any, *, need_dx: bool = True) -> Gradients:
        return ops.dropout_backward(dout, cache), {}

    return Layer(init, forward, backward)


@_described
def own(
    *,
    scratch: Layer | tuple[Callable[..., Any], Callable[..., Any]],
    reference: Any,
    params: dict[str, Tensor | float | Callable[[torch.Generator], Tensor]] | None = None,
) -> Layer:
    """A layer of one's own, given for both namespaces: here ``scratch`` counts, in ``reference.layers`` the twin.

    Args:
        scratch: a :class:`Layer`, or the pair of an op: ``out, cache = forward(x, *params)`` and
            ``dx, *dparams = backward(dout, cache)`` (without parameters dx alone will do).
        reference: its twin: an ``nn.Module`` with the same ``state_dict`` keys, or a function of ``(x, *params)``.
        params: of a pair, in the order of its arguments: each parameter's first value, or a function that draws it from
            a generator. A ``Layer`` draws its own.
    """
    if isinstance(scratch, Layer):
        require(not params, "params are for an op pair; a Layer draws its own in init")
        return scratch
    forward_op, backward_op = scratch
    params = params or {}

    def start(generator: torch.Generator) -> list[Tensor]:
        return [
            value(generator) if callable(value) else torch.as_tensor(value, dtype=torch.float32).clone()
            for value in params.values()
        ]

    def forward(x: Tensor, /, **given: Tensor) -> tuple[Tensor, Any]:
        return forward_op(x, *given.values())

    def backward(dout: Tensor, cache: Any) -> Any:
        gradients = backward_op(dout, cache)
        count = len(gradients) if isinstance(gradients, tuple) else 1
        wanted = ", ".join(["dx", *(f"d{name}" for name in params)])
        returned = f"it returned {count} gradient{'s' * (count != 1)}"
        require(count == 1 + len(params), f"{backward_op.__name__} must return {wanted}, but {returned}")
        return gradients

    return _layer(forward, backward, list(params), start)


# --- layers made of layers -------------------------------------------------------------------------------------------


class SequentialCache(NamedTuple):
    """What each layer saved, and how far back backward has to go."""

    caches: dict[str, Any]  # of each layer
    first_to_learn: str | None  # the first layer that has parameters: the last that backward has to reach


def sequential(*layers: Layer, **named: Layer) -> Layer:
    """One after the other, as ``nn.Sequential``. Unnamed layers are called "0", "1", ...

    The parameters of layer "conv1" appear as "conv1.weight" and so on. Forward goes through the layers in order,
    backward in reverse. There it lets go of each layer's cache as soon as that was used: where the caller has kept
    none, the memory is free before the next layer needs some, as with autograd.
    """
    require(not (layers and named), "sequential takes named layers or unnamed ones, not both")
    children = {str(number): layer for number, layer in enumerate(layers)} or named
    _require_layers("sequential", children)

    def init(generator: torch.Generator) -> Start:
        params: Tensors = {}
        state: Tensors = {}
        for name, layer in children.items():
            layer_params, layer_state = layer.init(generator)
            params |= {f"{name}.{key}": tensor for key, tensor in layer_params.items()}
            state |= {f"{name}.{key}": tensor for key, tensor in layer_state.items()}
        return params, state

    def forward(params: Tensors, state: Tensors, x: Tensor, *, training: bool, generator: Any = None) -> Out:
        new_state, caches, learning = {}, {}, []  # type: Tensors, dict[str, Any], list[str]
        for name, layer in children.items():
            own_params, own_state = _of_layer(name, params), _of_layer(name, state)
            x, own_state, caches[name] = layer.forward(own_params, own_state, x, training=training, generator=generator)
            new_state |= {f"{name}.{key}": tensor for key, tensor in own_state.items()}
            learning += [name] if own_params else []
        return x, new_state, SequentialCache(caches, next(iter(learning), None))

    def backward(dout: Tensor, cache: Any, *, need_dx: bool = True) -> Gradients:
        caches, first_to_learn, grads = dict(cache.caches), cache.first_to_learn, {}  # type: Any, Any, Tensors
        del cache
        for name, layer in reversed(children.items()):
            need_this_dx = need_dx or name != first_to_learn
            dout, layer_grads = layer.backward(dout, caches.pop(name), need_dx=need_this_dx)
            grads = {f"{name}.{key}": grad for key, grad in layer_grads.items()} | grads
            if not need_this_dx:
                break
        return dout if need_dx else None, grads

    return Layer(init, forward, backward, _text("sequential", children))


def residual(*, downsample: Layer | None = None, activation: Layer | None = None, **named: Layer) -> Layer:
    """A residual block: ``activation(sequential(named)(x) + downsample(x))``.

    Without ``downsample`` the shortcut is x itself; without ``activation`` the sum is the output. The named layers'
    parameters keep their names ("conv1.weight"), the shortcut's begin with "downsample.": torchvision's keys.

    Source: He et al. (2016), "Deep residual learning for image recognition", section 3.2.
    """
    around = _named(downsample=downsample, activation=activation)
    _require_layers("residual", named | around)
    body, shortcut = sequential(**named), sequential(**_named(downsample=downsample))
    after = sequential(**_named(activation=activation))
    add_forward, add_backward = chosen(ops.add_forward), chosen(ops.add_backward)

    def init(generator: torch.Generator) -> Start:
        (params, state), (shortcut_params, shortcut_state) = body.init(generator), shortcut.init(generator)
        return params | shortcut_params, state | shortcut_state

    def forward(params: Tensors, state: Tensors, x: Tensor, *, training: bool, generator: Any = None) -> Out:
        mode = {"training": training, "generator": generator}
        main, body_state, body_cache = body.forward(params, state, x, **mode)
        short, shortcut_state, shortcut_cache = shortcut.forward(params, state, x, **mode)
        total, add_cache = add_forward(main, short)
        out, _, after_cache = after.forward({}, {}, total, **mode)
        return out, body_state | shortcut_state, (body_cache, shortcut_cache, add_cache, after_cache)

    def backward(dout: Tensor, cache: Any, *, need_dx: bool = True) -> Gradients:
        body_cache, shortcut_cache, add_cache, after_cache = cache
        dtotal, _ = after.backward(dout, after_cache)
        dmain, dshort = add_backward(dtotal, add_cache)
        dx_main, grads = body.backward(dmain, body_cache, need_dx=need_dx)
        dx_short, shortcut_grads = shortcut.backward(dshort, shortcut_cache, need_dx=need_dx)
        # x went two ways, so its gradient is the sum of both.
        return dx_main + dx_short if need_dx else None, grads | shortcut_grads

    return Layer(init, forward, backward, _text("residual", named | around))


class _LayerTensors(dict[str, Tensor]):
    """One layer's parameters or state. What is missing is named together with the layer."""

    layer = ""

    def __missing__(self, key: str) -> Tensor:
        keys = f"its keys are {', '.join(map(repr, self))}" if self else "it has none"
        raise KeyError(f"{self.layer}: params has no {key!r}; {keys}")


def _of_layer(name: str, tensors: Tensors) -> _LayerTensors:
    """The tensors of one layer, under its own keys: {"conv1.weight": w} is {"weight": w} to conv1."""
    own = _LayerTensors({key[len(name) + 1 :]: x for key, x in tensors.items() if key.startswith(name + ".")})
    own.layer = f"{tensors.layer}.{name}" if isinstance(tensors, _LayerTensors) else name
    return own


def _named(**values: Any) -> dict[str, Any]:
    """The values that are there, by name."""
    return {name: value for name, value in values.items() if value is not None}


def _text(name: str, children: dict[str, Layer]) -> str:
    """As nn.Module prints: a line for each child, with more space before it on each floor."""
    lines = [textwrap.indent(f"({child}): {layer!r}", "  ") for child, layer in children.items()]
    return f"{name}(\n" + "\n".join(lines) + "\n)" if lines else f"{name}()"


def _require_layers(name: str, children: dict[str, Layer]) -> None:
    for child, layer in children.items():
        if not isinstance(layer, Layer):
            hint = f": call it, as in {layer.__name__}(...)" if inspect.isfunction(layer) else ""
            raise TypeError(f"{name} is made of layers, but {child!r} is {layer!r}{hint}")
