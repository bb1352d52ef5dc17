"""A network that learns, twice: with hand-written gradients, and with autograd.

Read the two ``train_step`` side by side: they are what this project is about.

Both have the same face, so that one loop trains either and one checkpoint serves both.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tinytorch_course import reference, scratch
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.options.compiling import CompiledGradients, CompiledModule
from tinytorch_course.training.options.freezing import trainable
from tinytorch_course.training.options.graphs import GraphedStep
from tinytorch_course.training.options.half import scratch_in_bfloat16, torch_in_bfloat16
from tinytorch_course.training.options.starts import start_scratch, start_torch

Tensors = dict[str, Tensor]
Rates = dict[str, float]  # this step's hyper-parameters, from a schedule
Watch = Callable[[dict[str, Tensor]], None]  # is shown each step's gradients, before they are clipped


class ScratchLearner:
    """The network of ``scratch``: parameters, state and the optimizer's state are dicts of raw tensors.

    The first parameters are drawn from ``generator``; the twin draws the very same numbers.
    """

    def __init__(
        self,
        build: Callable,
        config: TrainConfig,
        *,
        classes: int,
        channels: int,
        image_size: int,
        device: torch.device,
        generator: torch.Generator,
        class_weights: Tensor | None = None,
    ):
        self.device, self.dtype = device, getattr(torch, config.dtype)
        self.clip_norm = config.clip_norm
        weight = None if class_weights is None else class_weights.to(self.device, self.dtype)
        self.net = build(scratch.layers, num_classes=classes, in_channels=channels, image_size=image_size)
        if config.precision == "bfloat16":
            self.net = scratch_in_bfloat16(self.net)
        self.loss = scratch.losses.cross_entropy(weight=weight, label_smoothing=config.label_smoothing)
        self.plain_loss = scratch.losses.cross_entropy()
        self.optimizer = make_optimizer(scratch.optimizers, config)

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
        logits, state, cache = self.net.forward(params, state, x, training=True, generator=generator)
        loss, loss_cache = self.loss.forward(logits, y)

        dlogits = self.loss.backward(torch.ones_like(loss), loss_cache)
        _, grads = self.net.backward(dlogits, cache, need_dx=False, keep_cache=False)
        return loss, logits, state, grads

    def _step(
        self, params: Tensors, state: Tensors, opt_state: Any, x: Tensor, y: Tensor, generator: Any, **rates: Any
    ) -> tuple[Tensor, Tensor, Tensors, Tensors, Tensors, Any]:
        """A batch's loss, logits and gradients, and what the step makes of parameters, state and optimizer's state."""
        loss, logits, state, grads = self.gradients(params, state, x, y, generator)
        grads = clipped = self._learned(grads)
        if self.clip_norm is not None:
            clipped, _ = scratch.clipping.clip_grad_norm(grads, self.clip_norm)
        learned, opt_state = self.optimizer.update(self._learned(params), clipped, opt_state, **rates)
        return loss, logits, grads, params | learned, state, opt_state

    @torch.no_grad()  # there is nothing for autograd to record; this line is the promise
    def train_step(self, x: Tensor, y: Tensor, generator: torch.Generator, rates: Rates) -> tuple[Tensor, Tensor]:
        """One step on a batch; returns its loss and logits, as they were before the step."""
        loss, logits, grads, self.params, self.state, self.opt_state = self.step(
            self.params, self.state, self.opt_state, x, y, generator, **rates
        )
        if self.watch is not None:
            self.watch(grads)
        return loss, logits

    @torch.no_grad()
    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Loss (without label smoothing and class weights) and logits of a batch, in evaluation mode."""
        logits = self.predict(x)
        return self.plain_loss.forward(logits, y)[0], logits

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Logits of a batch, in evaluation mode."""
        return self.net.forward(self.params, self.state, x, training=False)[0]

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and running statistics, with the twin's keys."""
        return self.params | self.state

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        self.params = self._move({name: tensors[name] for name in self.params})
        self.state = self._move({name: tensors[name] for name in self.state})

    def optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state in torch.optim's layout."""
        return self.optimizer.to_torch(self.opt_state)

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        self.opt_state = self.optimizer.from_torch(state, self._learned(self.params))

    def parameter_count(self) -> int:
        """How many numbers the parameters are, frozen ones included."""
        return sum(tensor.numel() for tensor in self.params.values())

    def _learned(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those of the parameters that are not frozen."""
        return {name: tensors[name] for name in self.trainable}

    def _move(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)
            for name, tensor in tensors.items()
        }


class TorchLearner:
    """The twin: an ``nn.Module``, autograd and ``torch.optim``."""

    def __init__(
        self,
        build: Callable,
        config: TrainConfig,
        *,
        classes: int,
        channels: int,
        image_size: int,
        device: torch.device,
        generator: torch.Generator,
        class_weights: Tensor | None = None,
    ):
        self.device, self.dtype = device, getattr(torch, config.dtype)
        self.clip_norm = config.clip_norm
        weight = None if class_weights is None else class_weights.to(self.device, self.dtype)
        self.net: nn.Module = build(reference.layers, num_classes=classes, in_channels=channels, image_size=image_size)
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
        """One step on a batch; returns its loss and logits, as they were before the step."""
        self.net.train()
        reference.layers.set_generator(self.net, generator)
        logits = self.net(x) if self.compiled is None else self.compiled(x, generator)
        loss = self.loss(logits, y)

        self.optimizer.zero_grad()
        loss.backward()

        if self.watch is not None:
            self.watch({name: param.grad for name, param in self.net.named_parameters() if param.requires_grad})
        if self.clip_norm is not None:
            reference.clipping.clip_grad_norm(self.net, self.clip_norm)
        reference.optimizers.set_rates(self.optimizer, **rates)
        self.optimizer.step()
        return loss.detach(), logits.detach()

    @torch.no_grad()
    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Loss (without label smoothing and class weights) and logits of a batch, in evaluation mode."""
        logits = self.predict(x)
        return self.plain_loss(logits, y), logits

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Logits of a batch, in evaluation mode."""
        self.net.eval()
        return self.net(x)

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and running statistics."""
        return self.net.state_dict()

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        self.net.load_state_dict(tensors, strict=True)

    def optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state in torch.optim's layout."""
        return self.optimizer.state_dict()

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)

    def parameter_count(self) -> int:
        """How many numbers the parameters are, frozen ones included."""
        return sum(tensor.numel() for tensor in self.net.parameters())


LEARNERS = {"scratch": ScratchLearner, "torch": TorchLearner}
NAMESPACES = {"scratch": scratch, "torch": reference}


def make_optimizer(optimizers: Any, config: TrainConfig) -> Any:
    """The configured optimizer, from either namespace of optimizers."""
    hyper = {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.momentum is not None:
        hyper["momentum"] = config.momentum
    return getattr(optimizers, config.optimizer)(**hyper)


def make_schedule(schedules: Any, config: TrainConfig, steps_per_epoch: int, epochs: int) -> Callable[[int], Rates]:
    """The configured schedule, from either namespace of schedules: a function of the step, counted from 0.

    step divides the rate by ten after each third of the run; linear-warmup rises during the first tenth; cosine and
    one-cycle (whose peak is the configured rate, and which leaves the momentum alone) come down to almost nothing.
    """
    steps = steps_per_epoch * epochs
    if config.schedule == "step":
        return schedules.step(config.lr, step_size=max(1, -(-epochs // 3)) * steps_per_epoch)
    if config.schedule == "cosine":
        return schedules.cosine(config.lr, T_max=steps)
    if config.schedule == "linear-warmup":
        return schedules.linear_warmup(config.lr, total_iters=max(1, steps // 10))
    if config.schedule == "one-cycle":
        return schedules.one_cycle(config.lr, total_steps=steps, cycle_momentum=False)
    return schedules.constant(config.lr)
