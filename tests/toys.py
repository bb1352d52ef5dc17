"""One toy of each kind, brought in by the doors through which ours come. See ``test_extending.py``.

Run with the words of a command line: ``python toys.py check --list``.
"""

import sys

import torch

from tinytorch_course import data_names, models, reference, scratch
from tinytorch_course.checking.case_tables.optimizers import OPTIMIZERS, OptimizerCase, OptimizerRow
from tinytorch_course.checking.cases import IMAGE, Case, LayerCase, Likely, Op, Timed
from tinytorch_course.checking.ops import OPS
from tinytorch_course.data.splits import About, Split
from tinytorch_course.training.config import OPTIMIZER_DEFAULTS, OptimizerDefaults

toys = sys.modules[__name__]

# --- an op, with a layer; and a loss ----------------------------------------------------------------------------------


def stretch_forward(x: torch.Tensor, limits: tuple[float, float] = (1.0, 2.0)):
    """Numbers of at least 0 and those below stretched: ``out = limits[1] · x`` and ``out = limits[0] · x``."""
    factor = torch.where(x >= 0, limits[1], limits[0]).to(x.dtype)
    return x * factor, factor


def stretch_backward(dout, factor):
    return dout * factor


def stretch_twin(x, limits=(1.0, 2.0)):
    return limits[1] * x.clamp(min=0) - limits[0] * (-x).clamp(min=0)


def fourth_power_forward(input: torch.Tensor, target: torch.Tensor):
    """The mean fourth power of the difference: ``loss = mean((input − target)⁴)``."""
    difference = input - target
    return (difference**4).mean(), difference


def fourth_power_backward(dloss, difference):
    dinput = dloss * 4 * difference**3 / difference.numel()
    return dinput, -dinput


class Stretch(torch.nn.Module):
    def forward(self, x):
        return stretch_twin(x)


def stretch() -> scratch.layers.Layer:
    """Numbers stretched, the positive ones more."""

    def forward(params, state, x, *, training, generator=None):
        out, cache = stretch_forward(x)
        return out, state, cache

    def backward(dout, cache, *, need_dx=True):
        return stretch_backward(dout, cache), {}

    return scratch.layers.Layer(lambda generator: ({}, {}), forward, backward)


OPS["stretch"] = Op(
    "stretch",
    stretch_twin,
    module=toys,
    cases=[Case(((3, 4),)), Case(((3, 4), (0.5, 3.0))), Case(((2, 3, 4),))],
    any_shape=True,
    layers=[LayerCase("stretch", lambda L: L.stretch(), IMAGE)],
    timed={"stretch": Timed(lambda L: L.stretch(), (8, 8))},
    mistakes=[Likely("never-more", lambda x, limits: limits[0] * x, "positive numbers are stretched by limits[1]")],
)
OPS["fourth_power"] = Op(
    "fourth_power",
    lambda input, target: ((input - target) ** 4).mean(),
    module=toys,
    cases=[Case(((3, 4), (3, 4))), Case(((5,), (5,)))],
    kind="loss",
)
scratch.layers.stretch, reference.layers.stretch = stretch, Stretch

# --- an optimizer -----------------------------------------------------------------------------------------------------


class HeavySGD(torch.optim.SGD):
    def __init__(self, params, lr=1e-3, weight_decay=0.0, *, maximize=False, foreach=None):
        super().__init__(params, lr, momentum=0.5, weight_decay=weight_decay, maximize=maximize, foreach=foreach)


def heavy_sgd(lr=1e-3, weight_decay=0, *, maximize=False, groups=()):
    """SGD with half of the last velocity: ``v ← v / 2 + g``, ``θ ← θ − γ v``."""
    return scratch.optimizers.sgd(lr, 0.5, weight_decay=weight_decay, maximize=maximize, groups=groups)


def heavy_sgd_twin(lr=1e-3, weight_decay=0, *, maximize=False, groups=()):
    return reference.optimizers.sgd(lr, 0.5, weight_decay=weight_decay, maximize=maximize, groups=groups)


scratch.optimizers.heavy_sgd, reference.optimizers.heavy_sgd = heavy_sgd, heavy_sgd_twin
OPTIMIZERS["heavy_sgd"] = OptimizerRow(HeavySGD, [OptimizerCase({"lr": 0.1})])
OPTIMIZER_DEFAULTS["heavy_sgd"] = OptimizerDefaults(lr=0.05, one_cycle_lr=0.1, momentum=None, weight_decay=0.0)

# --- a data set -------------------------------------------------------------------------------------------------------

ABOUT = About("toy stripes", ("across", "down"), 2, 40, train_size=240, test_size=40, made_of="stripes, drawn at once")
LOCATION = "tests/toys.py"


def read() -> tuple[Split, Split]:
    """(N, 1, 28, 28) with a stripe in each, across or down; the images that are not for testing, and those that are."""

    def drawn(count):
        images = torch.zeros(count, 1, 28, 28, dtype=torch.uint8)
        labels = torch.arange(count) % 2
        for number, label in enumerate(labels):
            line = images[number, 0] if label == 0 else images[number, 0].T
            line[4 + number % 20] = 255
        return Split(images, labels)

    return drawn(240), drawn(40)


data_names.DATA_SETS["stripes"] = "toys"

# --- a network --------------------------------------------------------------------------------------------------------


def toy_net(L, *, num_classes=10, in_channels=1, image_size=28):
    """A linear layer, stretched."""
    return L.sequential(flatten=L.flatten(), fc=L.linear(in_channels * image_size**2, num_classes), stretch=L.stretch())


models.MODELS["toy_net"] = models.Model("toy_net", toy_net, "a toy", bench_batch=4)

# --- a command --------------------------------------------------------------------------------------------------------

from tinytorch_course.cli.app import app, run  # noqa: E402 - the help is put together here, so the toys come first


def hello() -> None:
    """Say hello."""
    print("Hello from a toy.")


app.command(short_help="Say hello.")(hello)

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
