"""What a planted mistake is, and what the tables of them share."""

from types import SimpleNamespace
from typing import NamedTuple

import torch

from tinytorch_course.lockstep.inject import find_injection
from tinytorch_course.lockstep.planting import WrongFunction, WrongOp


class Mistake(NamedTuple):
    """A wrong op or function, and the key of the finding that should name it."""

    name: str
    plant: WrongOp | WrongFunction
    diagnosis: str

    @property
    def subjects(self):
        """What `tinytorch check` calls that which it spoils."""
        if isinstance(self.plant, WrongOp):
            return (self.plant.ops,) if isinstance(self.plant.ops, str) else self.plant.ops
        rule = self.plant.function.removesuffix("_step")
        return (rule, "adamw") if rule == "adam" else (rule,)


def forward(ops, what, diagnosis, wrong):
    """A wrong forward, ``Call -> Call``, in front of the right backward."""
    return Mistake(f"{ops}_forward: {what}", WrongOp(ops, forward=wrong), diagnosis)


def result(op, what, diagnosis, wrong):
    """A forward that returns ``wrong(call)``, in front of the right backward."""
    return forward(op, what, diagnosis, lambda call: call.giving(wrong(call)))


def backward(op, what, diagnosis, wrong):
    """A wrong backward, ``(dout, Call) -> gradients``, after the right forward."""
    return Mistake(f"{op}_backward: {what}", WrongOp(op, backward=wrong), diagnosis)


def both(name, ops, diagnosis, wrong_forward=None, wrong_backward=None):
    return Mistake(name, WrongOp(ops, wrong_forward, wrong_backward), diagnosis)


def function(name, what, diagnosis, wrong):
    return Mistake(f"{name}: {what}", WrongFunction(name, wrong), diagnosis)


def injected(name, injection, diagnosis):
    """A mistake that `tinytorch compare --inject` plants, too."""
    return Mistake(name, find_injection(injection).plant, diagnosis)


def consistent(wrong, *tensors):
    """A wrong formula, ``wrong(arguments) -> out``, with the backward that belongs to it: gradients of ``tensors``."""

    def giving(call):
        return call.giving(wrong(SimpleNamespace(**call.given)))

    def differentiated(dout, call):
        names = [name for name in tensors if call.given[name] is not None and call.given[name].is_floating_point()]

        def of(*values):
            return wrong(SimpleNamespace(**call.given | dict(zip(names, values, strict=True))))

        _, vjp = torch.func.vjp(of, *(call.given[name] for name in names))
        grads = vjp(dout)
        return grads if len(tensors) > 1 and len(grads) > 1 else grads[0]

    return giving, differentiated
