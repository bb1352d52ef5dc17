"""A network that learns, twice: with hand-written gradients, and with autograd.

Read the two ``train_step`` side by side: they are what this project is about.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from tinytorch_course import reference, scratch
from tinytorch_course.errors import InputError
from tinytorch_course.models import Model, find_model
from tinytorch_course.seeds import derive_seed
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.options.compiling import CompiledGradients, CompiledModule
from tinytorch_course.training.options.freezing import trainable
from tinytorch_course.training.options.graphs import GraphedStep
from tinytorch_course.training.options.half import scratch_in_bfloat16, torch_in_bfloat16
from tinytorch_course.training.options.starts import start_scratch, start_torch
from tinytorch_course.twins import require_twins

Tensors = dict[str, Tensor]
Rates = dict[str, float]  # this step's hyper-parameters, from a schedule
Watch = Callable[[dict[str, Tensor]], None]  # is shown each step's gradients, before they are clipped
Build = Callable[[Any], Any]  # makes a network of a namespace of layers
CPU = torch.device("cpu")


class Learner(Protocol):
    """What both implementations offer, so that one loop trains either and one checkpoint serves both."""

    device: torch.device
    dtype: torch.dtype
    trainable: tuple[str, ...]  # the names of the parameters that are not frozen
    watch: Watch | None

    def train_step(self, x: Tensor, y: Tensor, generator: torch.Generator, rates: Rates) -> tuple[Tensor, Tensor]:
        """One step on a batch; returns its loss and logits, as they were before the step."""

    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Loss (without label smoothing and class weights) and logits of a batch, in evaluation mode."""

    def predict(self, x: Tensor) -> Tensor:
        """Logits of a batch, in evaluation mode."""

    def state_dict(self) -> Tensors:
        """Parameters and running statistics, under the same names in both."""

    def load_state_dict(self, tensors: Tensors) -> None:
        """Take over parameters and running statistics."""

    def optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state in torch.optim's layout."""

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Take over the optimizer's state."""

    def parameter_count(self) -> int:
        """How many numbers the parameters are, frozen ones included."""


Kind = TypeVar("Kind")


def of_kind(learner: Learner, kind: type[Kind]) -> Kind:
    """The learner, which must be of that kind, for those who look inside."""
    if not isinstance(learner, kind):
        raise TypeError(f"a {kind.__name__} was expected, not a {type(learner).__name__}")
    return learner


class ScratchLearner(Learner):
    """The network of ``scratch``: parameters, state and the optimizer's state are dicts of raw tensors.

    The first parameters are drawn from ``generator``; the twin draws the very same numbers.
    """

    def __init__(
        self,
        build: Build,
        config: TrainConfig,
        *,
        device: torch.device,
        generator: torch.Generator,
        class_weights: Tensor | None = None,
    ):
        self.device, self.dtype = device, getattr(torch, config.dtype)
        self.clip_norm, self.build = config.clip_norm, build
        weight = None if class_weights is None else class_weights.to(self.device, self.dtype)
        with scratch.tuned.using(config.ops):
            self.net = build(scratch.layers)
            self.optimizer = make_optimizer(scratch.optimizers, config)
        if config.precision == "bfloat16":
            self.net = scratch_in_bfloat16(self.net)
        self.loss = scratch.losses.cross_entropy(weight=weight, label_smoothing=config.label_smoothing)
        self.plain_loss = scratch.losses.cross_entropy()

        params, state = self.net.init(generator)
        params = start_scratch(config.init, params, generator)
        self.params, self.state = self._move(params), self._move(state)
        self.trainable = trainable(self.params, config.freeze)
        self.opt_state = self.optimizer.init(self._learned(self.params))
        self.watch: Watch | None = None
        self.gradients = self._gradients
        if config.compile:
            self.gradients = CompiledGradients(self._gradients, self.net)
        self.step = GraphedStep(self._step, self.net) if config.cuda_graph else self._step

    def _gradients(
        self, params: Tensors, state: Tensors, x: Tensor, y: Tensor, generator: Any
    ) -> tuple[Tensor, Tensor, Tensors, Tensors]:
        """A batch's loss, logits, new state, and the gradients of all parameters."""
        logits, state, *held = self.net.forward(params, state, x, training=True, generator=generator)
        loss, loss_cache = self.loss.forward(logits, y)

        dlogits = self.loss.backward(torch.ones_like(loss), loss_cache)
        _, grads = self.net.backward(dlogits, held.pop(), need_dx=False)  # which frees the cache layer by layer
        return loss, logits, state, grads

    def _step(
        self, params: Tensors, state: Tensors, opt_state: Any, x: Tensor, y: Tensor, generator: Any, **rates: Any
    ) -> tuple[Tensor, Tensor, Tensors, Tensors, Tensors, Any]:
        """A batch's loss, logits and gradients, and what the step makes of parameters, state and optimizer's state."""
        loss, logits, state, grads = self.gradients(params, state, x, y, generator)
        grads = clipped = self._learned(grads)
        if self.clip_norm is not None:
            clipped, _ = scratch.clipping.clip_grad_norm(clipped, self.clip_norm)
        learned, opt_state = self.optimizer.update(self._learned(params), clipped, opt_state, **rates)
        return loss, logits, grads, params | learned, state, opt_state

    @torch.no_grad()  # there is nothing for autograd to record; this line is the promise
    def train_step(self, x: Tensor, y: Tensor, generator: torch.Generator, rates: Rates) -> tuple[Tensor, Tensor]:  # noqa: D102 - Learner says it
        loss, logits, grads, self.params, self.state, self.opt_state = self.step(
            self.params, self.state, self.opt_state, x, y, generator, **rates
        )
        if self.watch is not None:
            self.watch(grads)
        return loss, logits

    @torch.no_grad()
    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, without class weights or smoothing, and the logits of a batch."""
        logits = self.predict(x)
        return self.plain_loss.forward(logits, y)[0], logits

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """The logits of a batch, in evaluation."""
        return self.net.forward(self.params, self.state, x, training=False)[0]

    def state_dict(self) -> Tensors:
        """Parameters and state, under torch's keys."""
        return self.params | self.state

    def load_state_dict(self, tensors: Tensors) -> None:
        """Go on with these parameters and this state."""
        self.params = self._move({name: tensors[name] for name in self.params})
        self.state = self._move({name: tensors[name] for name in self.state})

    def optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state, as torch.optim's state_dict."""
        return self.optimizer.to_torch(self.opt_state)

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Go on with this state of the optimizer."""
        self.opt_state = self.optimizer.from_torch(state, self._learned(self.params))

    def parameter_count(self) -> int:
        """How many numbers are learned or frozen."""
        return sum(tensor.numel() for tensor in self.params.values())

    def _learned(self, tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Those of the parameters that are not frozen."""
        return {name: tensors[name] for name in self.trainable}

    def _move(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)
            for name, tensor in tensors.items()
        }


class TorchLearner(Learner):
    """The twin: an ``nn.Module``, autograd and ``torch.optim``."""

    def __init__(
        self,
        build: Build,
        config: TrainConfig,
        *,
        device: torch.device,
        generator: torch.Generator,
        class_weights: Tensor | None = None,
    ):
        self.device, self.dtype = device, getattr(torch, config.dtype)
        self.clip_norm = config.clip_norm
        weight = None if class_weights is None else class_weights.to(self.device, self.dtype)
        self.net: nn.Module = build(reference.layers)
        self.loss = reference.losses.cross_entropy(weight=weight, label_smoothing=config.label_smoothing)
        self.plain_loss = reference.losses.cross_entropy()

        reference.initializers.reset_parameters(self.net, generator)
        start_torch(config.init, self.net, generator)
        self.net.to(self.device, self.dtype)
        if config.precision == "bfloat16":
            torch_in_bfloat16(self.net)
        self.trainable = trainable(dict(self.net.named_parameters()), config.freeze)
        for name, param in self.net.named_parameters():
            param.requires_grad_(name in self.trainable)
        self.optimizer = make_optimizer(reference.optimizers, config)(self.net)
        self.watch: Watch | None = None
        self.compiled = CompiledModule(self.net) if config.compile else None

    def train_step(self, x: Tensor, y: Tensor, generator: torch.Generator, rates: Rates) -> tuple[Tensor, Tensor]:
        """One step; returns the loss and the logits, on the device."""
        self.net.train()
        reference.layers.set_generator(self.net, generator)
        logits = self.net(x) if self.compiled is None else self.compiled(x, generator)
        loss = self.loss(logits, y)

        self.optimizer.zero_grad()
        loss.backward()

        if self.watch is not None:
            self.watch({name: param.grad for name, param in self.net.named_parameters() if param.grad is not None})
        if self.clip_norm is not None:
            reference.clipping.clip_grad_norm(self.net, self.clip_norm)
        reference.optimizers.set_rates(self.optimizer, **rates)
        self.optimizer.step()
        return loss.detach(), logits.detach()

    @torch.no_grad()
    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, without class weights or smoothing, and the logits of a batch."""
        logits = self.predict(x)
        return self.plain_loss(logits, y), logits

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """The logits of a batch, in evaluation."""
        self.net.eval()
        return self.net(x)

    def state_dict(self) -> Tensors:
        """Parameters and state."""
        return self.net.state_dict()

    def load_state_dict(self, tensors: Tensors) -> None:
        """Go on with these parameters and this state."""
        self.net.load_state_dict(tensors, strict=True)

    def optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state."""
        return self.optimizer.state_dict()

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Go on with this state of the optimizer."""
        self.optimizer.load_state_dict(state)

    def parameter_count(self) -> int:
        """How many numbers are learned or frozen."""
        return sum(tensor.numel() for tensor in self.net.parameters())


LEARNERS: dict[str, type[ScratchLearner] | type[TorchLearner]] = {"scratch": ScratchLearner, "torch": TorchLearner}
NAMESPACES = {"scratch": scratch, "torch": reference}


def make_learner(
    config: TrainConfig,
    *,
    model: Model | None = None,
    classes: int = 10,
    channels: int = 1,
    image_size: int = 28,
    device: torch.device = CPU,
    class_weights: Tensor | None = None,
) -> Learner:
    """The learner of ``config.impl``; its first parameters depend on the seed alone.

    Args:
        config: the run.
        model: the network. None: the one that ``config`` names.
        classes: how many the network tells apart.
        channels: of the images.
        image_size: their height and width in pixels.
        device: where it computes.
        class_weights: (classes,), how much each counts in the training loss. None: all alike.

    Raises:
        InputError: if the network cannot take such images, is not the same in both implementations, or ``--freeze``
            matches nothing.
    """
    model, sizes = model or find_model(config.model), {"in_channels": channels, "image_size": image_size}
    require_twins(model, num_classes=classes, **sizes)
    build = partial(model.build, num_classes=classes, **sizes)
    generator = torch.Generator().manual_seed(derive_seed("init", config.seed))
    kind = LEARNERS[config.impl]
    try:
        return kind(build, config.resolved(), device=device, generator=generator, class_weights=class_weights)
    except ValueError as error:
        raise InputError(
            f"{model.name} cannot take the {image_size} x {image_size} pixels of {config.data}: {error}"
        ) from error


def make_optimizer(optimizers: Any, config: TrainConfig) -> Any:
    """The configured optimizer, from either namespace of optimizers."""
    hyper = {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.momentum is not None:
        hyper["momentum"] = config.momentum
    return getattr(optimizers, config.optimizer)(**hyper)


def make_schedule(config: TrainConfig, steps_per_epoch: int, epochs: int) -> Callable[[int], Rates]:
    """The configured schedule, a function of the step, counted from 0.

    step divides the rate by ten after each third of the run; linear-warmup rises during the first tenth; cosine and
    one-cycle (whose peak is the configured rate, and which leaves the momentum alone) come down to almost nothing.
    """
    schedules, lr, steps = NAMESPACES[config.impl].schedules, config.resolved().lr, steps_per_epoch * epochs
    if config.schedule == "step":
        return schedules.step(lr, step_size=max(1, -(-epochs // 3)) * steps_per_epoch)
    if config.schedule == "cosine":
        return schedules.cosine(lr, T_max=steps)
    if config.schedule == "linear-warmup":
        return schedules.linear_warmup(lr, total_iters=max(1, steps // 10))
    if config.schedule == "one-cycle":
        return schedules.one_cycle(lr, total_steps=steps, cycle_momentum=False)
    return schedules.constant(lr)
