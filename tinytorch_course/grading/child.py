"""What runs in the process of its own in which a learner's code is checked. See ``own_code.py``."""

import functools
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.checking.case_tables.optimizers import OPTIMIZERS
from tinytorch_course.checking.cases import Op
from tinytorch_course.checking.explain import explain
from tinytorch_course.checking.gradients import GradientCheck
from tinytorch_course.checking.ops import OPS
from tinytorch_course.checking.rows import Row
from tinytorch_course.checking.step_curve import step_curve
from tinytorch_course.checking.suite import quiet_and_exact, summarise
from tinytorch_course.diagnosis import diagnose
from tinytorch_course.diagnosis.conventions import only_conventions
from tinytorch_course.diagnosis.engine import Finding
from tinytorch_course.diagnosis.facts import facts
from tinytorch_course.errors import InputError
from tinytorch_course.grading.adapters import PairChecks, check_like, check_shapes
from tinytorch_course.grading.forms import understood
from tinytorch_course.grading.optimizers import check_optimizer_like
from tinytorch_course.grading.own_code import Request, answer_and_end, leave
from tinytorch_course.grading.pairs import Pair, pair_of
from tinytorch_course.grading.subjects import subject_of_optimizer, subject_of_pair
from tinytorch_course.repair import Subject, find_repair
from tinytorch_course.repair.sandbox import guarded
from tinytorch_course.training.environment import find_device
from tinytorch_course.user_code import find_in, run_file, saying_where, spell_error


def main() -> None:
    """Check what the request in the first argument asks for, and leave the answer in the folder in the second.

    What is wrong is left there first: should the search for a repair take Python with it, that much is known.
    """
    answer_and_end(answer_to, Request(**json.loads(sys.argv[1])), Path(sys.argv[2]))


def answer_to(request: Request, folder: Path) -> dict[str, Any]:
    """The row, or why there is none, and the repair of what is wrong; ``folder`` is told how far it is."""
    checked = _Checked(request, folder)
    try:
        answer: dict[str, Any] = {"row": checked.row().to_dict()}
    except InputError as refusal:
        answer = {"refused": str(refusal)}
    if request.budget and checked.subject is not None and not answer.get("row", {}).get("ok"):
        leave(answer, folder)
        answer |= {"repair": checked.repair()}
    return answer


class _Checked:
    """One request, carried out."""

    def __init__(self, request: Request, folder: Path):
        self.request, self.stages, self.progress = request, (folder / "stage").resolve(), folder / "progress"
        self.stage = ""
        self.subject: Subject | None = None  # to be repaired
        self.file = Path(request.path).resolve()
        device = str(find_device(request.device))
        self.options = {"dtype": getattr(torch, request.dtype), "device": device, "seed": request.seed}

    def row(self) -> Row:
        self._say("it was being imported")
        with quiet_and_exact():
            module = run_file(self.file)
        name, code = self._find(module)
        shapes, like = self.request.shapes, self.request.like or (None if self.request.shapes else _guess(name))
        folder, seed = self.file.parent, self.request.seed
        if like is not None and like in OPTIMIZERS:
            self.subject = subject_of_optimizer(code, folder, like, seed)
            outcome = self._running(functools.partial(check_optimizer_like, name, code, like, **self.options))
            return self._summary(name, like, outcome)
        pair, assumed = self._running(lambda: self._pair(name, code, module, OPS.get(like or ""))), []
        if like == "batch_norm" and len(pair.signature.parameters) < 5 and "training" not in pair.signature.parameters:
            like = "batch_norm_long"  # by the batch's own mean and variance alone
        if like is None and shapes is None:
            raise InputError(
                f"which op {name} should equal is not clear from its name: say --like OP (`tinytorch check --list` "
                "shows them), or --shapes 4x3,3x5 to check it against central differences alone"
            )
        if like is not None and like not in OPS:
            raise InputError(f"--like must be an op, a loss or an optimizer of `tinytorch check --list`, not '{like}'")
        if like is not None:
            pair, assumed = self._running(lambda: understood(pair, OPS[like], self.request.args, self.request.layout))
        twin = _twin(self.request.twin, name) if self.request.twin else None
        roots = self._roots(code, module)
        self.subject = subject_of_pair(pair, roots, folder, like=like, shapes=shapes, twin=twin, seed=seed)
        pair = pair._replace(
            forward=self._staged(pair.forward, name), backward=self._staged(pair.backward, self.backward_name)
        )
        if shapes is not None:
            outcome = self._running(lambda: check_shapes(pair, shapes, like, twin=twin, **self.options))
        else:
            spell = functools.partial(spell_error, file=self.file)
            outcome = self._running(lambda: check_like(pair, str(like), spell=spell, **self.options))
        if not outcome.plain:
            reason = next(iter(outcome.left_out), "it takes other arguments")
            raise InputError(f"no case of {like} fits {name}: {reason}; name its arguments as `{like}` names them")
        row = self._summary(name, like, outcome, pair)
        row.notes[:0] = assumed
        return row

    # --- the learner's file ------------------------------------------------------------------------------------------

    def _find(self, module: ModuleType) -> tuple[str, Any]:
        """The name, and what it stands for; for a pair, the forward."""
        name = self.request.names[0]
        if len(self.request.names) == 1 and not hasattr(module, name) and hasattr(module, f"{name}_forward"):
            name = f"{name}_forward"
        for wanted in (*self.request.names[1:], name):
            code = find_in(module, wanted, self.request.path)
        return name, code

    @property
    def backward_name(self) -> str:
        """Of the function that the request names, or that belongs to the forward it names."""
        forward, *backward = self.request.names
        return backward[0] if backward else f"{forward.removesuffix('_forward')}_backward"

    def _has_both_halves(self, code: Any) -> bool:
        """Whether it is a class that was named alone, with a backward of its own."""
        return isinstance(code, type) and len(self.request.names) == 1 and hasattr(code, "backward")

    def _pair(self, name: str, code: Any, module: ModuleType, op: Op | None) -> Pair:
        halves = self._has_both_halves(code)
        backward = None if halves else getattr(module, self.backward_name, None)
        if not halves and not callable(backward) and next(iter(inspect.signature(code).parameters), None) == "L":
            raise InputError(
                f"{name} in {self.request.path} is a function of L, so it is a network: check it by --model "
                f"{self.request.path}:{name}"
            )
        return pair_of(code, backward, op)

    def _roots(self, code: Any, module: ModuleType) -> tuple[list[Any], list[Any]]:
        """What forward and backward are made of, as the learner wrote them."""
        if self._has_both_halves(code):
            parts = [getattr(code, name, None) for name in ("setup_context", "forward", "__call__")]
            return [vars(code).get("__init__"), *filter(inspect.isfunction, parts)], [code.backward]
        backward = getattr(module, self.backward_name, None)
        return [code], [backward or code]

    def repair(self) -> dict[str, Any] | None:
        """The smallest edit that makes the code right, if there is one within the budget."""

        def tell(part: float, tried: int) -> None:
            self.progress.write_text(json.dumps([part, tried]), encoding="utf-8")

        if self.subject is None:
            return None
        try:
            with quiet_and_exact(), guarded():
                found = find_repair(self.subject, self.request.budget, tell)
        except (Exception, SystemExit):  # whatever the code does on probes: the check has said what there is to say
            return None
        return None if found is None else found.to_dict()

    # --- running it --------------------------------------------------------------------------------------------------

    def _say(self, stage: str) -> None:
        if stage != self.stage:  # not anew for each of many calls
            self.stages.write_text(stage, encoding="utf-8")
        self.stage = stage

    def _staged(self, function: Callable, name: str) -> Callable:
        """The function, announcing itself, so that it can be named if it never returns."""

        @functools.wraps(function)
        def announcing(*args: Any, **kwargs: Any) -> Any:
            self._say(f"it was in {name}")
            return function(*args, **kwargs)

        return announcing

    def _running(self, run: Callable[[], Any]) -> Any:
        """Run the learner's code; whatever it raises becomes one sentence with its own line."""
        with saying_where(self.file), quiet_and_exact():
            return run()

    # --- what came out -----------------------------------------------------------------------------------------------

    def _summary(self, name: str, like: str | None, outcome: PairChecks, pair: Pair | None = None) -> Row:
        with quiet_and_exact():  # what is suspected is run beside it, and may warn
            findings = diagnose(outcome.plain)
            row = summarise("own code", name.removesuffix("_forward"), outcome.plain, lambda checks: findings)
            if not self.request.strict and (but := _right_but(outcome.plain, findings)):
                row.notes.append(f"right, but {but}: {row.diagnosis[0]['text']}")
                row.failed, row.problems, row.diagnosis = 0, [], []
        row.notes = [*_about(like, self.request), *row.notes, *_beyond(outcome, self.request.explain)]
        row.facts = facts([check.evidence for check in outcome.plain])
        if like is not None:
            kind = "optimizer" if like in OPTIMIZERS else "op"
            row.explanation = explain(kind, like)._asdict() | {"like": like}
        if pair is not None and (self.request.explain or _about_differences(outcome.plain)):
            known = (check.evidence for check in outcome.plain if check.difference_errors and check.evidence.positions)
            evidence = next(known, None)
            if evidence is not None:
                row.step_curve = self._running(lambda: step_curve(pair.forward, evidence, self.request.seed))
        return row


def _right_but(checks: list[GradientCheck], findings: list[Finding]) -> str:
    """What is all that there is to say against code that is right."""
    if only_conventions(checks, findings):
        return "not torch's convention"
    failed = [check.evidence for check in checks if not check.ok]
    if failed and all(one.wrong == {"out"} and not one.got["out"].isfinite().all() for one in failed):
        return "it overflows for large numbers, where its gradients are right still"
    return ""


def _twin(file: str, name: str) -> Callable[..., Tensor]:
    """The right forward, through which autograd goes."""
    forward = getattr(run_file(Path(file), "tinytorch_twin"), name)
    return lambda *inputs: forward(*inputs)[0]


def _about(like: str | None, request: Request) -> list[str]:
    if like is None and not request.twin:
        return ["compared with central differences alone, which say whether a gradient fits its forward"]
    if like is None or request.like:
        return []
    return [f"compared with {like}, as its name says; --like would say otherwise"]


def _beyond(outcome: PairChecks, explain: bool) -> list[str]:
    """What was not counted, in a line each."""
    failed = [check.name for check in outcome.beyond if not check.ok]
    names = "; ".join(failed[:3]) + ("; ..." if len(failed) > 3 else "")
    unusual = f"of {len(outcome.beyond)} unusual cases, which are not counted, {len(failed)} fail: {names}"
    count, reasons = sum(outcome.left_out.values()), "; ".join(_joined(list(outcome.left_out)))
    cases = "1 case" if count == 1 else f"{count} cases"
    left = f"could not be told: {reasons}" if reasons.startswith("inputs ") else f"left out: {cases}; {reasons}"
    return [*([unusual] if failed and explain else []), *([left] if outcome.left_out else [])]


def _joined(reasons: list[str]) -> list[str]:
    """Of "f has no argument a" and "f has no argument b and c" one."""
    split = [reason.partition(" has no argument ") for reason in reasons]
    missing = dict.fromkeys(name for _, found, names in split if found for name in names.split(" and "))
    said = [f"{split[0][0]} has no argument {', '.join(missing)}"] if missing else []
    return said + [reason for reason, (_, found, _) in zip(reasons, split, strict=True) if not found]


def _about_differences(checks: list[GradientCheck]) -> bool:
    """Whether it is the differences that complain, and not the comparison with torch."""
    keys = {problem.key for check in checks if check.evidence.twin for problem in check.problems}
    return keys == {"difference"} or any(check.in_double is not None for check in checks)


def _guess(name: str) -> str | None:
    """The op that a name speaks of: MyReLU, my_conv2d_forward."""

    def plain(text: str) -> str:
        return re.sub("^my|(loss)?(forward|function)?$", "", text.lower().replace("_", ""))

    names = {plain(op): op for op in (*OPS, *OPTIMIZERS)}
    return names.get(plain(name))
