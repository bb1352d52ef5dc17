"""Looking into both implementations while they train: every layer's output and every gradient, under the same names.

The from-scratch network is built from watched layers, the ``nn.Module`` gets hooks. Only references are kept, so that
looking costs neither side a copy.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tinytorch_course.reference.layers import is_inside_own
from tinytorch_course.scratch import layers
from tinytorch_course.scratch.layers import Layer

if TYPE_CHECKING:
    from tinytorch_course.training.learners import ScratchLearner, TorchLearner

# What is recorded of a step, in the order of computation, and how to say it.
KINDS = {
    "activation": "the output of {}",
    "loss": "the loss",
    "output gradient": "the gradient of {}'s output",
    "gradient": "the gradient of {}",
    "update gradient": "the gradient of {} that the optimizer is given",
    "rate": "the {} that the schedule gives",
    "moment": "the optimizer's {}",
    "parameter": "{} after the step",
    "statistic": "the running statistic {}",
    "evaluation": "the output of {} in evaluation mode",
}
KINKED = (nn.ReLU, nn.LeakyReLU, nn.MaxPool2d)  # whose inputs decide on which side of a kink they are


class Quantity(NamedTuple):
    """Something that both implementations compute in a step."""

    kind: str  # one of KINDS
    name: str  # of the layer ("conv1"), of the parameter ("conv1.weight"), "exp_avg of conv1.weight"

    def __str__(self) -> str:
        return KINDS[self.kind].format(self.name)


Tensors = dict[Quantity, Tensor]


class Recorder:
    """What one implementation computed since :meth:`start`, in the order in which it did."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.inputs: dict[str, Tensor] = {}  # of every layer from scratch, and of torch's that have a kink
        # What is used in place of our own: where layers are differentiated, and what the optimizer is given.
        self.given_inputs: dict[str, Tensor] = {}
        self.given_gradients: dict[str, Tensor] = {}
        self.listener: Callable[[Quantity, Tensor], None] | None = None  # is told of everything that is recorded

    def start(self) -> None:
        """Forget what was recorded."""
        self.tensors, self.inputs = {}, {}

    def put(self, kind: str, name: str, tensor: Tensor) -> None:
        """Record a tensor."""
        quantity = Quantity(kind, name)
        self.tensors[quantity] = tensor
        if self.listener is not None:
            self.listener(quantity, tensor)


class WatchedLayers:
    """The namespace ``scratch.layers``, but layers inside ``sequential`` and ``residual`` tell a recorder what they do.

    A layer's name is that of the ``nn.Module``'s child: "conv1", or "layer1.0.conv1" inside of blocks.
    """

    def __init__(self, layers: Any, recorder: Recorder) -> None:
        self._layers, self._recorder = layers, recorder
        self._path: list[str] = []  # of the layer that is running

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layers, name)

    def sequential(self, *layers: Layer, **named: Layer) -> Layer:
        """As in ``scratch.layers``, of layers that are watched."""
        watched = [self._watch(str(number), layer) for number, layer in enumerate(layers)]
        return self._layers.sequential(*watched, **self._watch_all(named))

    def residual(self, **named: Layer | None) -> Layer:
        """As in ``scratch.layers``, of layers that are watched."""
        return self._layers.residual(**self._watch_all(named))

    def _watch_all(self, named: Mapping[str, Layer | None]) -> dict[str, Layer | None]:
        return {name: None if layer is None else self._watch(name, layer) for name, layer in named.items()}

    def _watch(self, name: str, layer: Layer) -> Layer:
        def forward(params: dict[str, Tensor], state: dict[str, Tensor], x: Tensor, **mode: Any) -> Any:
            with self._inside(name) as path:
                self._recorder.inputs[path] = x
                out, new_state, cache = layer.forward(params, state, x, **mode)
                if path in self._recorder.given_inputs:
                    _, _, cache = layer.forward(params, state, self._recorder.given_inputs[path], **mode)
                self._recorder.put("activation", path, out)
            return out, new_state, cache

        def backward(dout: Tensor, cache: Any, **options: Any) -> Any:
            with self._inside(name) as path:
                self._recorder.put("output gradient", path, dout)
                dx, grads = layer.backward(dout, cache, **options)
                for key, grad in grads.items():
                    self._recorder.put("gradient", f"{path}.{key}", grad)
            return dx, grads

        return layer._replace(forward=forward, backward=backward)

    @contextlib.contextmanager
    def _inside(self, name: str) -> Iterator[str]:
        self._path.append(name)
        try:
            yield ".".join(self._path)
        finally:
            self._path.pop()


def watch_scratch(learner: "ScratchLearner") -> Recorder:
    """Let ``learner`` record what it does; its network is built anew, of watched layers."""
    recorder = Recorder()
    learner.net = learner.build(WatchedLayers(layers, recorder))
    update = learner.optimizer.update

    def watched_update(params: dict[str, Tensor], grads: dict[str, Tensor], opt_state: Any, **rates: Any) -> Any:
        for name, grad in grads.items():
            # What backward returned has been recorded; only clipping makes something else of it.
            if grad is not recorder.tensors.get(Quantity("gradient", name)):
                recorder.put("update gradient", name, grad)
        return update(params, grads | recorder.given_gradients, opt_state, **rates)

    learner.optimizer = learner.optimizer._replace(update=watched_update)
    return recorder


def watch_torch(learner: "TorchLearner") -> Recorder:
    """Let ``learner`` record what it does."""
    recorder = Recorder()

    def after_forward(module: nn.Module, inputs: Any, out: Tensor, *, name: str) -> None:
        recorder.put("activation", name, out.detach())
        if isinstance(module, KINKED):
            recorder.inputs[name] = inputs[0].detach()
        if out.requires_grad:
            out.register_hook(partial(recorder.put, "output gradient", name))

    def after_backward(grad: Tensor, *, name: str) -> None:
        # torch clips in place, which would change what was recorded.
        recorder.put("gradient", name, grad if learner.clip_norm is None else grad.clone())

    for name, module in learner.net.named_modules():
        if name and not is_inside_own(learner.net, name):
            module.register_forward_hook(partial(after_forward, name=name))
    for name, param in learner.net.named_parameters():
        param.register_hook(partial(after_backward, name=name))
    return recorder


def scratch_state(learner: "ScratchLearner") -> Tensors:
    """What a step leaves behind: the optimizer's moments, the parameters, the running statistics."""
    slots = {name: slot._asdict() for name, slot in learner.opt_state.items()}
    return _state(slots, learner.params.items(), learner.state.items())


def torch_state(learner: "TorchLearner") -> Tensors:
    """As :func:`scratch_state`."""
    params = list(learner.net.named_parameters())
    slots = {name: learner.optimizer.state.get(param, {}) for name, param in params}
    return _state(slots, ((name, param.detach()) for name, param in params), learner.net.named_buffers())


def _state(
    slots: dict[str, dict[str, Any]], params: Iterable[tuple[str, Tensor]], statistics: Iterable[tuple[str, Tensor]]
) -> Tensors:
    moments = {
        Quantity("moment", f"{field} of {name}"): torch.as_tensor(value)
        for name, slot in slots.items()
        for field, value in slot.items()
        if value is not None
    }
    moments |= {Quantity("parameter", name): tensor for name, tensor in params}
    return moments | {Quantity("statistic", name): tensor for name, tensor in statistics}
