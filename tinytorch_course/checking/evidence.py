"""What one check saw: what went in, what came out, and what should have come out.

The diagnosis works on this alone. A *quantity* is what is compared: "out" and "result 1" ... are what forward returns;
an integer is the position of an argument and stands for its gradient.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Quantity = int | str
Values = dict[Quantity, Tensor]
Pullback = Callable[[Tensor], Values]  # of a cotangent, the gradients by position


@dataclass
class Evidence:
    """One check of one op on one set of inputs."""

    case: str  # in words
    op: str | None = None  # the op of ours that it should equal; None: there is no such op
    inputs: tuple = ()  # as they were before anything ran
    kwargs: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()  # of the arguments, as the checked forward calls them
    tolerance: float = 0.0
    dout: Tensor = field(default_factory=lambda: torch.empty(0))  # of an optimizer there is none
    twin: Callable[..., Any] | None = None
    got: Values = field(default_factory=dict)
    right: Values = field(default_factory=dict)
    wrong: set[Quantity] = field(default_factory=set)
    vjp: Pullback | None = None  # the right gradients for any other cotangent
    place: Callable[[list[int]], str] | None = None  # what an index means, where it says nothing by itself

    def label(self, quantity: Quantity) -> str:
        """ "out", or "d" and the argument's name."""
        if isinstance(quantity, str):
            return quantity
        return f"d{self.names[quantity]}" if quantity < len(self.names) else f"gradient {quantity}"

    @property
    def positions(self) -> list[int]:
        """Arguments whose right gradient is known."""
        return [quantity for quantity in self.right if isinstance(quantity, int)]


@dataclass(frozen=True)
class Entry:
    """One number of a tensor, beside the right one."""

    index: list[int]
    got: float
    expected: float
    place: str = ""  # where that is, in words

    def __str__(self) -> str:
        where = self.place or (f"at {self.index} it" if self.index else "it")
        return f"{where} is {self.got:.12g}, not {self.expected:.12g}"


def entry_errors(got: Tensor, expected: Tensor) -> Tensor:
    """``|got − expected| / (1 + |expected|)`` of each entry: relative for large numbers, absolute for small ones.

    Equal infinities and NaNs agree; where only one of both is NaN the error is infinite.
    """
    got, expected = got.to(torch.float64), expected.to(torch.float64)
    errors = ((got - expected).abs() / (1 + expected.abs())).masked_fill(got == expected, 0)
    return errors.masked_fill(got.isnan() & expected.isnan(), 0).nan_to_num(nan=math.inf)


def worst_entry(got: Tensor, expected: Tensor) -> tuple[float, Entry | None]:
    """The largest error, and the entry that has it."""
    if got.numel() == 0:
        return 0.0, None
    errors = entry_errors(got, expected)
    worst = int(errors.argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(worst), errors.shape)]
    entry = Entry(index, got.reshape(-1)[worst].item(), expected.reshape(-1)[worst].item())
    return errors.reshape(-1)[worst].item(), entry
