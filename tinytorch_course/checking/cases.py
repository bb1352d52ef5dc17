"""What stands in the one list of ops: a row for each op and loss, with its cases and all else that follows from it.

The rows are in the files of ``case_tables``, one line a case: every op on every keyword, on the shapes and values that
are easily got wrong. ``tests/scratch`` runs them all, and so does every mistake that ``tests/checking/mistakes``
plants: one that no case rejects is a hole in these tables.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch import losses, ops

IMAGE, ROWS, SEQUENCE = (4, 6, 8, 8), (4, 6), (4, 6, 5)  # usual inputs of layers


@dataclasses.dataclass(frozen=True)
class Draw:
    """An input that is drawn: a function of a generator, with what it is called in a case's name."""

    label: str
    draw: Callable[[torch.Generator], Tensor]

    def __call__(self, generator: torch.Generator) -> Tensor:
        """Draw it."""
        return self.draw(generator)


class Case(NamedTuple):
    """One check of one op on one set of inputs."""

    inputs: tuple  # shapes (drawn from the standard normal), tensors, functions of a generator, None; see Op.draw
    kwargs: dict = {}  # noqa: RUF012
    differences: bool = True  # False on a kink
    note: str = ""
    op: str = ""  # its row fills it in

    def __str__(self) -> str:
        keywords = (f"{key}={_spell(value)}" for key, value in self.kwargs.items())
        return " ".join([self.op, *map(_spell, self.inputs), *keywords, self.note]).strip()


class LayerCase(NamedTuple):
    """One check of one layer beside its twin."""

    layer: str  # its factory's name in ``scratch.layers`` and ``reference.layers``
    build: Callable[[Any], Any]  # a function of the layer namespace
    x: Any  # its input: a shape, or a function of a generator
    note: str = ""
    training: bool = True
    differences: bool = True  # False where what counts as the gradient is not the slope

    def __str__(self) -> str:
        mode = "training" if self.training else "evaluation"
        return " ".join([self.layer, self.note, mode]).replace("  ", " ")


class Timed(NamedTuple):
    """A layer in the size in which ``tinytorch bench`` times it."""

    build: Callable[[Any], Any]  # a function of the layer namespace
    shape: tuple[int, ...]  # of one sample
    below: int | None = None  # the samples are integers from 0 to this; None: standard normal

    def draw(self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
        """A batch of inputs."""
        if self.below is not None:
            return torch.randint(self.below, (batch, *self.shape), device=device)
        return torch.randn(batch, *self.shape, device=device, dtype=dtype)


class Likely(NamedTuple):
    """A likely mistake, for the diagnosis: another function, with whose values or gradients code may be caught."""

    key: str  # what programs call it
    function: Callable[..., Tensor]  # of the op's arguments by name; what it detaches, a backward has left out
    sentence: str  # what is wrong, and what to do


@dataclasses.dataclass(frozen=True, eq=False)
class Op:
    """A row of the list. Whatever any command knows of the op, it knows from here."""

    name: str
    twin: Callable[..., Any]  # torch's function with the same arguments
    cases: Sequence[Case]  # the first is the most usual
    kind: str = "op"  # or "loss"
    module: ModuleType | Any = (
        None  # holds f"{name}_forward" and f"{name}_backward"; None: scratch.ops or scratch.losses
    )
    constant: tuple[int, ...] = ()  # positions of tensors that get no gradient
    any_shape: bool = False  # whether its plain cases differ in their number of axes
    layers: Sequence[LayerCase] = ()  # of the layers made of it, each with every keyword
    timed: dict[str, Timed] = dataclasses.field(default_factory=dict)  # layer, or a variant of it -> its usual size
    mistakes: Sequence[Likely] = ()

    def __post_init__(self):
        object.__setattr__(self, "cases", [case._replace(op=self.name) for case in self.cases])
        object.__setattr__(self, "module", self.module or (losses if self.kind == "loss" else ops))

    @property
    def forward(self) -> Callable[..., tuple]:
        """``forward(*inputs, **kwargs) -> (out, ..., cache)``."""
        return getattr(self.module, f"{self.name}_forward")

    @property
    def backward(self) -> Callable[..., Any]:
        """``backward(dout, cache) -> gradients``."""
        return getattr(self.module, f"{self.name}_backward")

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """What forward takes, by name."""
        return dict(inspect.signature(self.forward).parameters)

    def draw(self, case: Case, **options) -> tuple:
        """The inputs of one of its cases; options as for :func:`draw`.

        A tuple is a tensor's shape only where forward takes a tensor: layer_norm's ``normalized_shape`` stays a tuple.
        """
        takes_tensor = ["Tensor" in str(p.annotation) or p.annotation is p.empty for p in self.parameters.values()]
        specs = [
            spec if takes or not isinstance(spec, tuple) else lambda generator, spec=spec: spec
            for spec, takes in zip(case.inputs, takes_tensor, strict=False)
        ]
        return draw(tuple(specs), **options)


def draw(specs: tuple, *, dtype=torch.float64, device="cpu", seed=0) -> tuple:
    """Turn input specifications into inputs."""
    generator = torch.Generator().manual_seed(seed)

    def one(spec):
        if isinstance(spec, tuple):
            spec = torch.randn(spec, dtype=torch.float64, generator=generator)
        elif callable(spec):
            spec = spec(generator)
        return moved(spec, dtype, device)

    return tuple(one(spec) for spec in specs)


def moved(value: Any, dtype: torch.dtype, device: str | torch.device) -> Any:
    """A tensor on the device, in the dtype if it is floating point; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)


def noncontiguous(*shape: int) -> Draw:
    """A standard-normal tensor of ``shape`` whose memory is neither dense nor in order."""

    def noncontiguous_draw(generator):
        wide = torch.randn(*shape[:-1], 2 * shape[-1], dtype=torch.float64, generator=generator)
        return wide.flip(0).transpose(0, -1).contiguous().transpose(0, -1)[..., ::2]

    return Draw(f"noncontiguous{shape}", noncontiguous_draw)


def on_grid(*shape: int, levels: int = 3) -> Draw:
    """Small integers (as floats), so that zeros and ties are common."""

    def grid_draw(generator):
        return torch.randint(-(levels // 2), levels - levels // 2, shape, generator=generator).double()

    return Draw(f"on_grid{shape}", grid_draw)


def scaled(scale: float, *shape: int, shift: float = 0.0) -> Draw:
    """Standard normal times ``scale`` plus ``shift``."""

    def scaled_draw(generator):
        return torch.randn(shape, dtype=torch.float64, generator=generator) * scale + shift

    return Draw(f"scaled{shape}*{scale:g}{shift:+g}", scaled_draw)


def labels(classes: int, *shape: int, ignored: int | None = None, dtype: torch.dtype = torch.int64) -> Draw:
    """Class indices. With ``ignored``, every third one is that, but never the only one."""

    def labels_draw(generator):
        target = torch.randint(classes, shape, generator=generator)
        if ignored is not None:
            target.view(-1)[1::3] = ignored
        return target.to(dtype)

    return Draw(f"labels{shape}" + (f"some={ignored}" if ignored is not None else ""), labels_draw)


def _spell(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"<{'x'.join(map(str, value.shape))} {str(value.dtype).removeprefix('torch.')}>"
    return str(getattr(value, "label", value)).replace(" ", "")
