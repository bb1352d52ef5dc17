"""``tinytorch check``: are the hand-written gradients right? Ours, or a learner's own."""

import json as json_module
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinytorch_course.cli.options import DEFAULT, LONGEST, option, setting
from tinytorch_course.errors import InputError
from tinytorch_course.models import Model, find_model
from tinytorch_course.training.config import TrainConfig

if TYPE_CHECKING:
    from tinytorch_course.checking.rows import Row

WHAT, HOW, OUTPUT = "What to check", "How to check it", "What comes out"
DTYPES = ("float64", "float32")


def check(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE:NAME",
            help="Your own code: FILE:FORWARD,BACKWARD, or FILE:NAME for a class, an optimizer, or a function with "
            "NAME_backward beside it.",
            show_default=False,
            rich_help_panel=WHAT,
        ),
    ] = None,
    op: Annotated[str | None, option("--op", "NAME", "Check this alone; --list shows the names.", WHAT)] = None,
    model: Annotated[
        str | None, option("--model", "NAME", "Check this network; FILE:NAME is a function of L of your own.", WHAT)
    ] = None,
    size: Annotated[
        str | None, option("--input", "CxHxW", "With --model: the size of pictures. (default: 1x28x28)", WHAT)
    ] = None,
    like: Annotated[
        str | None, option("--like", "NAME", "The op or optimizer of ours that your code should equal.", WHAT)
    ] = None,
    shapes: Annotated[
        str | None,
        option(
            "--shapes",
            "SHAPES",
            "Shapes of your code's inputs, such as 4x3,3x5. Without --like it is checked against central differences "
            "alone.",
            WHAT,
        ),
    ] = None,
    args: Annotated[
        str | None,
        option("--args", "NAMES", "With --like: your arguments' names in the op's order, such as x,w,b.", WHAT),
    ] = None,
    layout: Annotated[
        str | None,
        option("--layout", "LAYOUT", "With --like linear: out-in, or in-out for weights as (D, M).", WHAT),
    ] = None,
    ops: Annotated[str, setting("ops")] = DEFAULT.ops,
    dtype: Annotated[
        str, option("--dtype", "NAME", "float64, or float32, in which rounding hides mistakes. (default: float64)", HOW)
    ] = "float64",
    device: Annotated[str, option("--device", "NAME", "cpu, cuda, cuda:N or auto. (default: cpu)", HOW)] = "cpu",
    seed: Annotated[int, option("--seed", "N", "Where the random inputs come from. (default: 0)", HOW)] = 0,
    timeout: Annotated[
        float, option("--timeout", "X", "Seconds after which your code is stopped. (default: 60)", HOW)
    ] = 60.0,
    budget: Annotated[
        float,
        option(
            "--budget",
            "X",
            "Seconds of the search for the edit that makes your code right; 0: none. (default: 10)",
            HOW,
        ),
    ] = 10.0,
    hint: Annotated[
        int | None,
        option("--hint", "N", "Say only: 1 what is wrong, 2 also the line, 3 the kind of change, 4 the edit.", OUTPUT),
    ] = None,
    fix: Annotated[
        bool, option("--fix", None, "Show that edit as a diff too. Nothing is ever written.", OUTPUT)
    ] = False,
    list_names: Annotated[bool, option("--list", None, "List everything there is to check, and end.", OUTPUT)] = False,
    explain: Annotated[
        bool, option("--explain", None, "Add the right formula, where it stands, and the best step.", OUTPUT)
    ] = False,
    json: Annotated[bool, option("--json", None, "Print one JSON document; the tables go to stderr.", OUTPUT)] = False,
) -> None:
    """Check hand-written gradients against autograd and central differences, and say what is wrong with a wrong one.

    Without FILE:NAME: every op, loss, layer, optimizer, schedule and network of the from-scratch layer. Ends with exit
    code 1 if anything is wrong.

    Your own code: forward(x, ...) returns (out, cache), whatever cache is, or out alone. backward(dout, cache) returns
    a gradient for each tensor argument, in order or in a dict. Classes with both, autograd.Functions, NumPy: all taken.
    With --like it has to equal that op; with --shapes its backward has to fit its forward.
    For example: tinytorch check my_ops.py:my_relu_forward,my_relu_backward --like relu
    """
    check_options(code, op, ops, like, shapes, args, layout, dtype, device, seed, timeout)
    check_repair_options(code, budget, hint, fix)
    if [code, op, model].count(None) < 2:
        raise InputError("FILE:NAME, --op and --model each say what to check: give one of them")
    if size is not None and model is None:
        raise InputError("--input is for --model: ops are checked on shapes of their own")
    found = None if model is None else find_model(model)
    if list_names:
        list_everything(json)
        return
    settings = {"dtype": dtype, "device": device, "seed": seed}
    rows = (
        check_ours(op, ops, found, size, settings, explain, json)
        if code is None
        else check_code(
            code, like, shapes, timeout, settings | {"args": args, "layout": layout}, explain, json, budget, hint, fix
        )
    )
    if not all(row.ok for row in rows):
        raise typer.Exit(1)


def check_options(code, op, ops, like, shapes, args, layout, dtype, device, seed, timeout) -> None:
    """Refuse what does not go together, before torch is imported."""
    if code is not None and op is not None:
        raise InputError("--op is for our own ops: to compare your code with one of them, say --like")
    if code is not None and ops != DEFAULT.ops:
        raise InputError("--ops is for our own ops: your code is checked as it is")
    TrainConfig(ops=ops, device=device, seed=seed).validate()
    if code is None and (like or shapes):
        raise InputError(
            f"{'--like' if like else '--shapes'} is for code of your own: name it, as in my_ops.py:my_relu"
        )
    if (args or layout) and not like:
        raise InputError(f"{'--args' if args else '--layout'} goes with --like, the op that your code should equal")
    if layout not in (None, "out-in", "in-out"):
        raise InputError(f"--layout must be out-in or in-out, but it is '{layout}'")
    if dtype not in DTYPES:
        raise InputError(f"--dtype must be one of {', '.join(DTYPES)}, but it is '{dtype}'")
    if not 0 < timeout <= LONGEST:
        raise InputError(f"--timeout must be above 0 and at most {LONGEST:g} seconds, but it is {timeout:g}")


def check_repair_options(code: str | None, budget: float, hint: int | None, fix: bool) -> None:
    """Refuse options of the repair that have nothing to do or are out of range."""
    if code is None and (hint is not None or fix):
        raise InputError(f"{'--fix' if fix else '--hint'} is for code of your own: name it, as in my_ops.py:my_relu")
    if not 0 <= budget <= LONGEST:
        raise InputError(f"--budget must be from 0 to {LONGEST:g} seconds, but it is {budget:g}")
    if hint is not None and not 1 <= hint <= 4:
        raise InputError(f"--hint must be from 1 to 4, but it is {hint}")
    if fix and (not budget or hint is not None):
        raise InputError(
            f"--fix shows the edit that a search finds: it does not go with {'--hint' if hint else '--budget 0'}"
        )


def check_ours(
    op: str | None,
    ops: str,
    model: Model | None,
    size: str | None,
    settings: dict[str, Any],
    explain: bool,
    json: bool,
) -> "list[Row]":
    """Check ours, or a network of the user's own, a table for each kind."""
    from tinytorch_course.checking.display import Display

    with Display(json) as display:
        import torch

        from tinytorch_course.checking import suite
        from tinytorch_course.diagnosis import diagnose
        from tinytorch_course.scratch.tuned import using
        from tinytorch_course.training.environment import find_device

        start = time.monotonic()
        chosen = suite.select(op) if model is None else [suite.network(model, size)]
        options = settings | {
            "dtype": getattr(torch, settings["dtype"]),
            "device": str(find_device(settings["device"])),
        }
        rows: list[Row] = []
        for number, subject in enumerate(chosen, start=1):
            display.working_on(subject.name, number, len(chosen))
            with using(ops):
                rows.append(suite.check_subject(subject, diagnose, explained=explain, **options))
            if number == len(chosen) or chosen[number].kind != subject.kind:
                display.group(suite.KINDS[subject.kind], [row for row in rows if row.kind == subject.kind])
        for row in rows:
            if explain or not row.ok:
                display.details(row, explained=explain)
        seconds = time.monotonic() - start
        display.summary(rows, seconds, suite.tolerances(options["dtype"]))
    if json:
        print_document({"seconds": seconds, "ops": ops, **settings}, rows)
    return rows


def check_code(
    code: str,
    like: str | None,
    shapes: str | None,
    timeout: float,
    settings: dict[str, Any],
    explain: bool,
    json: bool,
    budget: float,
    hint: int | None,
    fix: bool,
) -> "list[Row]":
    """Check a learner's code in a process of its own; there too, search for the edit that makes it right."""
    from tinytorch_course.checking.display import Display
    from tinytorch_course.grading.own_code import Request, check_own_code, parse_code, parse_shapes

    path, names = parse_code(code)
    sizes = parse_shapes(shapes) if shapes is not None else None
    request = Request(path, names, like, sizes, explain=explain, budget=0.0 if hint == 1 else budget, **settings)
    request.args = settings["args"] and [name.strip() for name in settings["args"].split(",")]
    with Display(json) as display:
        display.working_on(code, 1, 1)
        outcome = check_own_code(request, timeout, display.repairing)
        display.own_code(outcome, explained=explain, hint=hint, fix=fix)
    if json:
        print_document({"code": code, **settings}, [outcome.row])
    return [outcome.row]


def print_document(about: dict[str, Any], rows: "list[Row]") -> None:
    """One JSON document of all rows."""
    document = {"ok": all(row.ok for row in rows), **about, "results": [row.to_dict() for row in rows]}
    print(json_module.dumps(document, indent=2))


def list_everything(json: bool) -> None:
    """The names of everything that can be checked; of ops and optimizers also what they are called with."""
    from tinytorch_course.checking import suite
    from tinytorch_course.checking.display import Display

    groups = suite.listing()
    if json:
        print(json_module.dumps({title: dict(entries) for title, entries in groups.items()}, indent=2))
    else:
        Display().listing(groups)
