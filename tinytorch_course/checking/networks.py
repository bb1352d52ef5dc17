"""Layers and whole networks beside their twins: every parameter is an argument, and has its gradient checked."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tinytorch_course.checking.cases import LayerCase, draw, moved
from tinytorch_course.checking.evidence import worst_entry
from tinytorch_course.checking.gradients import TOLERANCE, GradientCheck, check_gradient
from tinytorch_course.instruments.recording import Recorder, Tensors, watch_scratch, watch_torch
from tinytorch_course.models import Model
from tinytorch_course.reference import layers as twins
from tinytorch_course.scratch import layers, losses
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import make_learner

# Parameters of a network at most whose gradient is measured by differences too; autograd's sees all.
MEASURED, MEASURED_OF_LARGE = 12, 4
LARGE = 10_000_000  # parameters


class _Both:
    """A network and its twin, with the same parameters and state, which are not at the special values 0 and 1."""

    def __init__(self, build: Callable[[Any], Any], dtype: torch.dtype, device: str, seed: int):
        self.net, self.module, self.seed = build(layers), build(twins).to(device), seed
        params, state = self.net.init(torch.Generator().manual_seed(seed))
        generator = torch.Generator().manual_seed(seed + 1)

        def shifted(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor.to(device)
            noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
            return (tensor.double() + 0.1 * noise).to(device, dtype)

        self.params = {key: shifted(tensor) for key, tensor in params.items()}
        self.state = {key: shifted(tensor) for key, tensor in state.items()}

    def run(self, values: tuple[Tensor, ...], x: Tensor, training: bool) -> tuple[Tensor, dict[str, Tensor], Any]:
        """Output, state and cache for these values of the parameters, whose dtype all else takes."""
        params, state, x = self._alike(values, x)
        masks = torch.Generator().manual_seed(self.seed)
        return self.net.forward(params, state, x, training=training, generator=masks)

    def run_twin(self, values: tuple[Tensor, ...], x: Tensor, training: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The twin's output, and its state afterwards."""
        params, state, x = self._alike(values, x)
        self.module.train(training)
        twins.set_generator(self.module, torch.Generator().manual_seed(self.seed))
        out = torch.func.functional_call(self.module, params | state, (x,))
        return out, tuple(state.values())

    def _alike(self, values: tuple[Tensor, ...], x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        dtype = values[0].dtype if values else x.dtype
        state = {key: moved(tensor, dtype, x.device).clone() for key, tensor in self.state.items()}  # torch changes it
        return dict(zip(self.params, values, strict=True)), state, moved(x, dtype, x.device)


def check_layer(case: LayerCase, *, dtype=torch.float64, device="cpu", seed=0) -> GradientCheck:
    """Check one layer, its input's gradient included."""
    both = _Both(case.build, dtype, device, seed)
    (x,) = draw((case.x,), dtype=dtype, device=device, seed=seed)

    def forward(x, *params):
        out, state, cache = both.run(params, x, case.training)
        return out, tuple(state.values()), cache

    def backward(dout, cache):
        dx, grads = both.net.backward(dout, cache)
        return (*((dx,) if x.is_floating_point() else ()), *(grads[key] for key in both.params))

    def twin(x, *params):
        return both.run_twin(params, x, case.training)

    inputs = (x, *both.params.values())
    return check_gradient(
        forward,
        backward,
        inputs,
        twin=twin,
        names=("x", *both.params),
        differences=case.differences,
        seed=seed,
        name=str(case),
    )


def check_model(
    model: Model, *, size: tuple[int, int] | None = None, dtype=torch.float64, device="cpu", seed=0
) -> GradientCheck:
    """Check the loss and every gradient of one training step of a network.

    ``size``: channels and side of its pictures; None: 1 and 28, or smaller for the large networks.
    """
    channels, side = size or (1, 28)
    both = _Both(partial(model.build, in_channels=channels, image_size=side), dtype, device, seed)
    generator = torch.Generator().manual_seed(seed)
    large = sum(param.numel() for param in both.params.values()) > LARGE
    shape = model.check_shape if size is None else (model.check_shape[0], channels, side, side)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)
    y = torch.randint(10, x.shape[:1], generator=generator).to(device)

    def forward(*params):
        out, state, cache = both.run(params, x, training=True)
        loss, loss_cache = losses.cross_entropy_forward(out, y)
        return loss, tuple(state.values()), (cache, loss_cache)

    def backward(dloss, caches):
        cache, loss_cache = caches
        _, grads = both.net.backward(losses.cross_entropy_backward(dloss, loss_cache), cache, need_dx=False)
        return tuple(grads[key] for key in both.params)

    def twin(*params):
        out, state = both.run_twin(params, x, training=True)
        return nn.functional.cross_entropy(out, y), *state

    inputs = tuple(both.params.values())
    check = check_gradient(
        forward,
        backward,
        inputs,
        twin=twin,
        names=tuple(both.params),
        differences=range(0, len(inputs), -(-len(inputs) // (MEASURED_OF_LARGE if large else MEASURED))),
        seed=seed,
        name=model.name,
    )
    if not check.ok and (culprit := first_wrong_layer(model, x, y, seed)):
        command = f"`tinytorch compare --dtype float64 --model {model.name}` names its line"
        check.notes.append(f"the first layer that computes otherwise than torch's is {culprit}; {command}")
    return check


def first_wrong_layer(model: Model, x: Tensor, y: Tensor, seed: int) -> str:
    """Its name, and whether forward or backward is wrong, in one training step; "" if no layer is."""
    dtype = str(x.dtype).removeprefix("torch.")

    def recorded(impl: str, watch: Callable[[Any], Recorder]) -> Tensors:
        config = TrainConfig(model=model.name, impl=impl, optimizer="sgd", dtype=dtype, seed=seed)
        learner = make_learner(config, model=model, channels=x.shape[1], image_size=x.shape[2], device=x.device)
        recorder = watch(learner)
        learner.train_step(x, y, torch.Generator().manual_seed(seed), {"lr": 0.0})
        return recorder.tensors

    twin = recorded("torch", watch_torch)
    layer = ""
    for quantity, tensor in recorded("scratch", watch_scratch).items():
        wrong = quantity in twin and not worst_entry(tensor, twin[quantity])[0] <= TOLERANCE[x.dtype]
        if wrong and quantity.kind == "activation":
            return f"{quantity.name}, in its forward"
        if wrong and quantity.kind == "output gradient":
            break  # the layer that was last in backward has made it
        layer = quantity.name if quantity.kind == "output gradient" else layer
        if wrong:
            break
    else:
        return ""
    return f"{layer}, in its backward"
