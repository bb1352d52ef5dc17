"""The case tables: every op on every keyword, on the shapes and values that are easily got wrong.

One line a case. ``tests/scratch`` runs them all, and so does every mistake that ``tests/checking/mistakes`` plants: one
that no case rejects is a hole in this table. Each family's table is a module of this package's ``case_tables`` folder.
"""

import functools
import importlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.checking.gradients import GradientCheck, check_gradient

FAMILIES = (
    "linear",
    "activation",
    "convolution",
    "pooling",
    "normalization",
    "dropout",
    "reshaping",
    "residual",
    "losses",
)


class Case(NamedTuple):
    """One check of one op on one set of inputs."""

    op: str  # the op's name: f"{op}_forward" and f"{op}_backward" in ``module``
    inputs: tuple  # of shapes (drawn from the standard normal), tensors, functions of a generator, None
    kwargs: dict = {}  # noqa: RUF012
    differences: bool = True  # False on a kink
    note: str = ""

    def __str__(self) -> str:
        keywords = (f"{key}={_spell(value)}" for key, value in self.kwargs.items())
        return " ".join([self.op, *map(_spell, self.inputs), *keywords, self.note]).strip()


class Table(NamedTuple):
    """The cases of one family of ops."""

    module: Any  # holds the forward/backward pairs
    twins: dict[str, Callable[..., Tensor]]  # op -> torch's function with the same arguments
    cases: list[Case]
    constant: dict[str, tuple[int, ...]] = {}  # noqa: RUF012 - op -> positions of tensors that get no gradient


@functools.cache
def all_tables() -> dict[str, Table]:
    """Family -> its table."""
    return {name: importlib.import_module(f"tinytorch_course.checking.case_tables.{name}").TABLE for name in FAMILIES}


@functools.cache
def tables_by_op() -> dict[str, Table]:
    """Op -> the table that has its cases."""
    return {op: table for table in all_tables().values() for op in table.twins}


def find_table(op: str) -> Table:
    """The table with the cases of ``op``.

    Raises:
        ValueError: if there is no such op.
    """
    tables = tables_by_op()
    if op not in tables:
        raise ValueError(f"there is no op {op!r}; there are {', '.join(tables)}")
    return tables[op]


def check_case(table: Table, case: Case, **options) -> GradientCheck:
    """Run one case of ``table``; options as for :func:`check_fitted`."""
    forward, backward = (getattr(table.module, f"{case.op}_{half}") for half in ("forward", "backward"))
    return check_fitted(case, forward, backward, **options)


def check_fitted(
    case: Case, forward: Callable, backward: Callable, *, dtype=torch.float64, device="cpu", seed=0, **options
) -> GradientCheck:
    """Run one case on any pair that takes its arguments, drawing its inputs from ``seed``."""
    table = find_table(case.op)
    return check_gradient(
        forward,
        backward,
        draw(case.inputs, dtype=dtype, device=device, seed=seed),
        kwargs={key: _moved(value, dtype, device) for key, value in case.kwargs.items()},
        op=case.op,
        twin=table.twins[case.op],
        constant=table.constant.get(case.op, ()),
        differences=case.differences,
        seed=seed,
        name=str(case),
        **options,
    )


def check_cases(op: str, cases: Iterable[Case] | None = None, **options) -> list[GradientCheck]:
    """Check ``op`` on all of its cases, or on those given. An op that raises has failed that case."""
    table = find_table(op)
    checks = []
    for case in table.cases if cases is None else cases:
        if case.op != op:
            continue
        try:
            checks.append(check_case(table, case, **options))
        except Exception as error:
            checks.append(raised(str(case), op, error))
    return checks


def raised(
    name: str, op: str | None, error: Exception, spell: Callable[[Exception], str] | None = None
) -> GradientCheck:
    """The failed check of a case that ended in an exception."""
    check = GradientCheck(name, evidence=Evidence(op, name, (), {}, (), tolerance=0.0))
    words = f"{type(error).__name__}: {error}" if spell is None else spell(error)
    check.report("raised", "the call", f"it raised an exception: {words}")
    return check


def draw(specs: tuple, *, dtype=torch.float64, device="cpu", seed=0) -> tuple:
    """Turn input specifications into inputs."""
    generator = torch.Generator().manual_seed(seed)

    def one(spec):
        if isinstance(spec, tuple):
            spec = torch.randn(spec, dtype=torch.float64, generator=generator)
        elif callable(spec):
            spec = spec(generator)
        return _moved(spec, dtype, device)

    return tuple(one(spec) for spec in specs)


def _moved(value: Any, dtype: torch.dtype, device: str | torch.device) -> Any:
    """A tensor on the device, in the dtype if it is floating point; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)


def noncontiguous(*shape: int) -> Callable[[torch.Generator], Tensor]:
    """A standard-normal tensor of ``shape`` whose memory is neither dense nor in order."""

    def noncontiguous_draw(generator):
        wide = torch.randn(*shape[:-1], 2 * shape[-1], dtype=torch.float64, generator=generator)
        return wide.flip(0).transpose(0, -1).contiguous().transpose(0, -1)[..., ::2]

    noncontiguous_draw.label = f"noncontiguous{shape}"
    return noncontiguous_draw


def on_grid(*shape: int, levels: int = 3) -> Callable[[torch.Generator], Tensor]:
    """Small integers (as floats), so that zeros and ties are common."""

    def grid_draw(generator):
        return torch.randint(-(levels // 2), levels - levels // 2, shape, generator=generator).double()

    grid_draw.label = f"on_grid{shape}"
    return grid_draw


def scaled(scale: float, *shape: int, shift: float = 0.0) -> Callable[[torch.Generator], Tensor]:
    """Standard normal times ``scale`` plus ``shift``."""

    def scaled_draw(generator):
        return torch.randn(shape, dtype=torch.float64, generator=generator) * scale + shift

    scaled_draw.label = f"scaled{shape}*{scale:g}{shift:+g}"
    return scaled_draw


def _spell(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"<{'x'.join(map(str, value.shape))} {str(value.dtype).removeprefix('torch.')}>"
    return str(getattr(value, "label", value)).replace(" ", "")
