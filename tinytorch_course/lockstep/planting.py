"""Planting a mistake: a wrong function stands where one of the from-scratch code should, wherever that is held by name.

What is wrong is written in public names alone, the op's and its arguments': no source text is read or changed.
"""

import contextlib
import functools
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # the list of mistakes does not wait for torch
    from torch import Tensor

ROOM = "tinytorch_course.scratch"


class Call:
    """One call of an op's forward, as a wrong forward or backward sees it; it takes the cache's place.

    The arguments are attributes by their own names: ``call.x``, ``call.stride``. The right forward runs when its
    results are asked for, so that nothing random is drawn twice.
    """

    def __init__(self, forward: Callable[..., tuple], given: dict[str, Any], backward: Callable | None = None) -> None:
        self.forward, self.given, self.backward = forward, given, backward

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("given", {}):
            return self.given[name]
        raise AttributeError(f"the op has no argument {name!r}")

    @functools.cached_property
    def right(self) -> tuple:
        """What the right forward returns."""
        return self.forward(**self.given)

    @functools.cached_property
    def results(self) -> tuple:
        """out, and what else the op returns beside its cache."""
        return self.right[:-1]

    @property
    def out(self) -> "Tensor":
        """Its first result."""
        return self.results[0]

    def again(self, **changes: Any) -> "Call":
        """The right op on other arguments, forward and backward."""
        return Call(self.forward, self.given | changes, self.backward)

    def giving(self, *results: Any) -> "Call":
        """This call with other results; its gradients stay those of the right op."""
        changed = object.__new__(Call)
        changed.__dict__ |= self.__dict__ | {"right": self.right, "results": (*results, *self.results[len(results) :])}
        return changed

    def grads(self, dout: "Tensor") -> Any:
        """What the right backward returns."""
        assert self.backward is not None, "in a forward nobody knows the backward yet"
        return self.backward(dout, self.right[-1])


class WrongOp(NamedTuple):
    """An op with a wrong half or two; what is None is right."""

    ops: str | tuple[str, ...]
    forward: Callable[[Call], Call] | None = None
    backward: Callable[["Tensor", Call], Any] | None = None


class WrongFunction(NamedTuple):
    """``wrong(right, *args, **keywords)`` in place of ``function``."""

    function: str
    wrong: Callable[..., Any]


Plant = WrongOp | WrongFunction


@contextlib.contextmanager
def planted(plant: Plant) -> Iterator[None]:
    """While this is open, the from-scratch code makes the mistake, in every form that it has of the function.

    Raises:
        LookupError: if the from-scratch code has no such function.
    """
    at_work: list[bool] = []  # while a planted function runs, others that the right one calls are right
    with contextlib.ExitStack() as stack:
        for name, wrong in _wrong_functions(plant).items():
            rights = _functions_named(name)
            if not rights:
                raise LookupError(f"the from-scratch code has no function {name}")
            for right in rights:
                stack.enter_context(_replaced(right, stand_in_for(right, wrong, at_work)))
        yield


def stand_in_for(right: Callable, wrong: Callable, at_work: list[bool]) -> Callable:
    """What is called in place of ``right``; its ``__wrapped__`` says where the right one stands."""

    @functools.wraps(right)
    def stand_in(*args: Any, **keywords: Any) -> Any:
        if at_work:
            return right(*args, **keywords)
        at_work.append(True)
        try:
            return wrong(right, *args, **keywords)
        finally:
            at_work.clear()

    return stand_in


def _wrong_functions(plant: Plant) -> dict[str, Callable]:
    """By name, what is called with the right function and its arguments."""
    if isinstance(plant, WrongFunction):
        return {plant.function: plant.wrong}
    forward, backward = plant.forward or (lambda call: call), plant.backward or (lambda dout, call: call.grads(dout))

    def wrong_forward(right: Callable, *args: Any, **keywords: Any) -> tuple:
        bound = inspect.signature(right).bind(*args, **keywords)
        bound.apply_defaults()
        call = forward(Call(right, bound.arguments))
        return *call.results, call

    def wrong_backward(right: Callable, dout: "Tensor", call: Call, *, need_dx: bool = True) -> Any:
        call.backward = right
        grads = backward(dout, call)
        return grads if need_dx else (None, *grads[1:])

    ops = (plant.ops,) if isinstance(plant.ops, str) else plant.ops
    return {
        f"{op}_{half}": wrong
        for op in ops
        for half, wrong in (("forward", wrong_forward), ("backward", wrong_backward))
    }


def _functions_named(name: str) -> list[Callable]:
    """The from-scratch functions of that name: the textbook's, and a faster form of it."""
    for module in pkgutil.walk_packages(importlib.import_module(ROOM).__path__, f"{ROOM}."):
        importlib.import_module(module.name)
    found = (vars(sys.modules[module]).get(name) for module in list(sys.modules) if _is_from_scratch(module))
    return list(dict.fromkeys(f for f in found if inspect.isfunction(f) and _is_from_scratch(f.__module__)))


def _is_from_scratch(module: str) -> bool:
    return module.startswith(f"{ROOM}.")


@contextlib.contextmanager
def _replaced(right: Callable, stand_in: Callable) -> Iterator[None]:
    """``stand_in`` in every module that holds ``right``, by whatever name."""
    held = [
        (module, name)
        for module in list(sys.modules.values())
        for name, value in list(getattr(module, "__dict__", {}).items())
        if value is right
    ]
    for module, name in held:
        setattr(module, name, stand_in)
    try:
        yield
    finally:
        for module, name in held:
            setattr(module, name, right)
