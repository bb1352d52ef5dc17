"""What is timed: a layer forward and backward, or a whole training step, in both implementations."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from tinytorch_course import reference, scratch
from tinytorch_course.bench.prices import Prices, both, measure_prices
from tinytorch_course.bench.timing import Timing, time_alternately
from tinytorch_course.checking.cases import Timed
from tinytorch_course.checking.ops import OPS
from tinytorch_course.instruments.memory import peak_memory
from tinytorch_course.models import MODELS, find_model
from tinytorch_course.summary import summarise
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.environment import find_device
from tinytorch_course.training.learners import TorchLearner, make_learner

QUICK_STEPS = ("softmax", "mlp", "mnist_cnn")
CEILING_SIDE = 1024


class Setting(NamedTuple):
    """On what, and how often."""

    device: torch.device
    dtype: torch.dtype
    rounds: int
    compile: bool = False  # training steps only
    ops: str = "tuned"
    cuda_graph: bool = False  # ours alone

    def synchronize(self) -> None:
        """Wait until the device has done what was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Measured(NamedTuple):
    """What was measured of one layer or network."""

    kind: str  # "layer" or "step"
    name: str
    batch: int
    timing: Timing
    flops: int | None  # of one run, where convolutions and linear layers do them
    memory: dict[str, int | None] | None  # bytes at the peak of a step, beyond what stood before
    prices: Prices | None = None  # of a forward and backward pass

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict() | {
            "timing": self.timing._asdict(),
            "prices": None if self.prices is None else self.prices.to_dict(),
        }


def find_setting(
    device: str, dtype: str, rounds: int, *, compile: bool = False, ops: str = "tuned", cuda_graph: bool = False
) -> Setting:
    """Raises InputError for a device that is not here."""
    return Setting(find_device(device), getattr(torch, dtype), rounds, compile, ops, cuda_graph)


def matmul_ceiling(setting: Setting) -> float:
    """FLOPs a second of a large matmul: what nothing made of matmuls can pass."""
    side = CEILING_SIDE
    a, b = (torch.randn(side, side, device=setting.device, dtype=setting.dtype) for _ in range(2))
    out = torch.empty_like(a)

    def multiply() -> None:
        torch.mm(a, b, out=out)

    timing = time_alternately(multiply, multiply, max(3, setting.rounds), synchronize=setting.synchronize)
    return 2 * side**3 / min(timing.scratch, timing.torch)


def layers() -> dict[str, Timed]:
    """Every layer in its usual size, as its op's row has it."""
    return {name: timed for op in OPS.values() for name, timed in op.timed.items()}


def steps() -> dict[str, int]:
    """The networks that are timed without being asked for, with their batches."""
    return {model.name: model.bench_batch for model in MODELS.values() if model.bench_batch is not None}


def measure_layer(name: str, batch: int, setting: Setting) -> Measured:
    """A layer's forward and backward, all gradients computed, on random numbers."""
    timed = layers()[name]
    with scratch.tuned.using(setting.ops):
        layer, params, state, module = both(timed.build, setting.device, setting.dtype)
    x = timed.draw(batch, setting.device, setting.dtype)
    dout = torch.randn_like(layer.forward(params, state, x, training=True, generator=torch.Generator())[0])
    leaves = [x.clone().requires_grad_()] if x.is_floating_point() else []

    @torch.no_grad()
    def ours() -> None:
        _, _, cache = layer.forward(params, state, x, training=True, generator=torch.Generator())
        layer.backward(dout, cache)

    def theirs() -> None:
        reference.layers.set_generator(module, torch.Generator())
        torch.autograd.grad(module(*leaves or [x]), [*leaves, *module.parameters()], dout)

    timing = time_alternately(ours, theirs, setting.rounds, synchronize=setting.synchronize)
    return Measured("layer", name, batch, timing, None, None)


def measure_step(model: str, batch: int, setting: Setting) -> Measured:
    """A whole training step with the train command's defaults: forward, loss, backward, Adam."""
    dtype = str(setting.dtype).removeprefix("torch.")
    config = TrainConfig(model=model, ops=setting.ops, dtype=dtype, compile=setting.compile)
    x = torch.randn(batch, 1, 28, 28, device=setting.device, dtype=setting.dtype)
    y = torch.arange(batch, device=setting.device) % 10

    def stepper(impl: str) -> tuple[Callable[[], None], Callable[[], None]]:
        own = dataclasses.replace(config, impl=impl, cuda_graph=setting.cuda_graph and impl == "scratch")
        learner = make_learner(own, device=setting.device)

        def step() -> None:
            learner.train_step(x, y, torch.Generator().manual_seed(0), {"lr": 1e-4})

        def warm_up() -> None:
            step()
            if isinstance(learner, TorchLearner):
                learner.optimizer.zero_grad()  # or the step would give back gradients that it never took

        return step, warm_up

    (ours, warm_ours), (theirs, warm_theirs) = stepper("scratch"), stepper("torch")
    timing = time_alternately(ours, theirs, setting.rounds, synchronize=setting.synchronize)
    memory = {
        "scratch": peak_memory(warm_ours, ours, setting.device),
        "torch": peak_memory(warm_theirs, theirs, setting.device),
    }
    # Backward multiplies twice as much as forward: once for the weights' gradients, once for the inputs'.
    return Measured("step", model, batch, timing, 3 * batch * summarise(find_model(model)).flops, memory)


def price(kind: str, name: str, batch: int, setting: Setting) -> Prices:
    """What a layer's or a network's forward and backward pass costs apart from time."""
    timed = layers()[name] if kind == "layer" else Timed(find_model(name).build, (1, 28, 28))
    with scratch.tuned.using(setting.ops):
        return measure_prices(timed.build, timed.draw(batch, setting.device, setting.dtype), setting.dtype)
