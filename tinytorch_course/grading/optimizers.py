"""A learner's optimizer, whatever its form, on the cases of ours.

Taken are a class like torch's (made of parameters, with ``step``), one with ``update(params, grads)``, one like ours, a
function that makes a step, and a function of parameters and gradients, of all or of one.
"""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.checking.case_tables import optimizers
from tinytorch_course.checking.case_tables.optimizers import OptimizerCase
from tinytorch_course.checking.optimizers import Run, check_optimizer, is_plain
from tinytorch_course.grading.adapters import PairChecks
from tinytorch_course.grading.forms import as_tensor, uses_numpy
from tinytorch_course.scratch import optimizers as ours

Step = Callable[[dict[str, Any]], dict[str, Tensor]]  # from gradients to parameters
FORMS = "it has neither step(), as torch's, nor init() and update(), as ours, nor update(params, grads)"

SYNONYMS = {
    "lr": ("learning_rate", "eta", "step_size", "rate", "alpha"),
    "momentum": ("mu", "rho", "beta", "gamma"),
    "alpha": ("rho", "decay", "decay_rate", "beta", "gamma", "beta2"),
    "eps": ("epsilon",),
    "weight_decay": ("wd", "l2", "reg"),
    "betas": ("beta", "rho"),
}
BETAS = {"beta1": 0, "beta2": 1, "b1": 0, "b2": 1}  # parts of betas
PARAMETERS = re.compile("(params?|parameters|w|weights?|theta|x|p)$")
GRADIENTS = re.compile("(grads?|gradients?|g|d.*|grad_.*)$")
CONFIG = ("config", "hyperparams", "hyperparameters")


def check_optimizer_like(name: str, learners: Any, op: str, **options: Any) -> PairChecks:
    """Check a learner's optimizer on all cases of ours that it takes.

    Args:
        name: of it, for the reports.
        learners: a class or a function; see above.
        op: an optimizer's name, "sgd".

    Raises:
        TypeError: if it is in no form that is known.
    """
    start, outcome = starter(learners), PairChecks([], [], {})
    for case in filter(is_plain, optimizers.cases_of(op)):
        strange = strange_keywords(learners, case)
        if strange:
            outcome.leave_out(f"{name} has no argument {' and '.join(strange)}")
        else:
            outcome.plain.append(check_optimizer(case, start, **options))
    return outcome


def starter(learners: Any) -> Callable[[OptimizerCase, dict[str, Tensor]], Run]:
    """What makes a learner's optimizer for a case."""
    face = _face(learners)
    return lambda case, params: Learners(face, _keywords(learners, case), params)


def strange_keywords(learners: Any, case: OptimizerCase) -> list[str]:
    """Those of the case that a learner's optimizer does not take, and that change what it should do."""
    defaults, known = _defaults(case), _known(learners, case)
    return [key for key, value in case.kwargs.items() if key not in known and value != defaults.get(key)]


class Learners:
    """A learner's optimizer at work."""

    def __init__(self, face: Callable[..., Step], keywords: dict[str, Any], params: dict[str, Tensor]):
        self.params = {name: param.clone() for name, param in params.items()}
        self.step = face(keywords, self.params)

    def update(self, grads: dict[str, Tensor | None], step: int) -> None:
        """One step."""
        with torch.no_grad():
            self.params = self.step({name: grad if grad is None else grad.clone() for name, grad in grads.items()})


# --- keywords ---------------------------------------------------------------------------------------------------------


def _defaults(case: OptimizerCase) -> dict[str, Any]:
    factory = getattr(ours, case.optimizer)
    return {p.name: p.default for p in inspect.signature(factory).parameters.values() if p.default is not p.empty}


def _names(learners: Any) -> list[str]:
    """What it takes: its arguments, or the keys of its dict of options."""
    names = list(_arguments(learners))
    if any(name in CONFIG for name in names):
        return [one for one in learners.__code__.co_consts if isinstance(one, str)]
    return names


def _arguments(learners: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(learners).parameters


def _known(learners: Any, case: OptimizerCase) -> dict[str, list[str]]:
    """Our keywords, and what the learner calls each."""
    names = _names(learners)
    if any(p.kind is p.VAR_KEYWORD for p in _arguments(learners).values()):
        names += list(case.kwargs)
    known: dict[str, list[str]] = {}
    for key in _defaults(case):
        spelled = [one for one in (key, *SYNONYMS.get(key, ())) if one in names and [one] not in known.values()][:1]
        spelled = spelled or [one for one in BETAS if key == "betas" and one in names]
        if spelled:
            known[key] = spelled
    return known


def _keywords(learners: Any, case: OptimizerCase) -> dict[str, Any]:
    """The case's keywords as the learner calls them; what it does not say is said as ours has it."""
    values = _defaults(case) | case.kwargs
    found: dict[str, Any] = {}
    for key, names in _known(learners, case).items():
        found |= {name: values[key][BETAS[name]] if name in BETAS else values[key] for name in names}
    return found


# --- faces: each makes a step of keywords and parameters --------------------------------------------------------------


def _face(learners: Any) -> Callable[..., Step]:
    names = [*_arguments(learners), "", ""]
    on_params, on_grads = bool(PARAMETERS.match(names[0])), bool(GRADIENTS.match(names[1]))
    if isinstance(learners, type) and hasattr(learners, "step") and on_params:
        return functools.partial(_like_torchs, learners)
    if isinstance(learners, type) or not on_params:
        return functools.partial(_made_of_keywords, learners)
    if on_grads and names[0][-1] != "s":
        return functools.partial(_of_one, learners)
    arrays = uses_numpy(learners) == (True,)
    return lambda keywords, params: _of_all(lambda: functools.partial(learners, **keywords), arrays, on_grads, params)


def _like_torchs(learners: Any, keywords: dict[str, Any], params: dict[str, Tensor]) -> Step:
    own: dict[str, Tensor] = {name: torch.nn.Parameter(param) for name, param in params.items()}
    made = learners(list(own.values()), **keywords)

    def step(grads: dict[str, Any]) -> dict[str, Tensor]:
        for name, param in own.items():
            param.grad = grads[name]
        made.step()
        return own

    return step


def _made_of_keywords(learners: Any, keywords: dict[str, Any], params: dict[str, Tensor]) -> Step:
    made = learners(**keywords)
    if hasattr(made, "init") and hasattr(made, "update"):
        state = [params, made.init(params)]

        def step(grads: dict[str, Any]) -> dict[str, Tensor]:
            state[:] = made.update(state[0], grads, state[1])
            return state[0]

        return step
    if not callable(made) and not hasattr(made, "update") and not hasattr(made, "step"):
        raise TypeError(f"{learners.__name__} is no optimizer: {FORMS}")

    def make() -> Callable:
        made = learners(**keywords)
        return getattr(made, "update", None) or getattr(made, "step", None) or made

    return _of_all(make, uses_numpy(make()) == (True,), True, params)


def _of_all(make: Callable[[], Callable], arrays: bool, on_grads: bool, params: dict[str, Tensor]) -> Step:
    """A function of all parameters, in a dict or in a list, and of their gradients, or with these in ``.grad``."""

    def stepper(as_list: bool) -> Step:
        call, values = make(), {name: _as_theirs(param, arrays) for name, param in params.items()}

        def step(grads: dict[str, Any]) -> dict[str, Tensor]:
            given = {name: _as_theirs(grads[name], arrays) for name in values}
            if not on_grads:
                for name, value in values.items():
                    value.grad = given[name]
            both = ([*values.values()], [*given.values()]) if as_list else (values, given)
            result = call(*both[: 1 + on_grads])
            result = both[0] if result is None else result[0] if isinstance(result, tuple) else result
            values.update(result if isinstance(result, dict) else zip(values, result, strict=True))
            return {name: as_tensor(value, params[name].dtype) for name, value in values.items()}

        return step

    for as_list in (False, True):
        try:
            stepper(as_list)({name: torch.ones_like(param) for name, param in params.items()})  # a rehearsal
        except Exception:
            if as_list:
                raise
            continue
        return stepper(as_list)
    raise AssertionError("the last one raises")


def _of_one(learners: Callable, keywords: dict[str, Any], params: dict[str, Tensor]) -> Step:
    """A function of a parameter and its gradient: ``f(w, dw, lr)``, or CS231n's ``f(w, dw, config)``."""
    arrays = uses_numpy(learners) == (True,)
    config = next((name for name in _arguments(learners) if name in CONFIG), None)
    configs = {name: dict(keywords) for name in params}

    def one(name: str, param: Any, grad: Any) -> Any:
        if config is None:
            result = learners(param, grad, **keywords)
            return param if result is None else result
        result, configs[name] = learners(param, grad, configs[name])
        return result

    def step(grads: dict[str, Any]) -> dict[str, Tensor]:
        for name, param in params.items():
            result = one(name, _as_theirs(param, arrays), _as_theirs(grads[name], arrays))
            params[name] = as_tensor(result, param.dtype)
        return params

    return step


def _as_theirs(value: Any, arrays: bool) -> Any:
    value = value.clone() if isinstance(value, Tensor) else value
    return value.numpy() if arrays and isinstance(value, Tensor) else value
