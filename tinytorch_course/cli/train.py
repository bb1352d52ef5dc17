"""``tinytorch train``: train a network, or go on with a run that stopped."""

import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from tinytorch_course.cli.options import DEFAULT, HEADINGS, check_network, print_json, setting, typed_in, with_settings
from tinytorch_course.errors import InputError
from tinytorch_course.models import find_model
from tinytorch_course.own_networks import is_own
from tinytorch_course.training.config import TrainConfig, read_config_under
from tinytorch_course.training.options.presets import settings_under
from tinytorch_course.training.parsing import parse_seeds


@with_settings(*(name for lines in HEADINGS.values() for name in lines if hasattr(DEFAULT, name)))
def train(
    context: typer.Context,
    preset: Annotated[str | None, setting("preset")] = None,
    *,
    config: Annotated[str | None, setting("config")] = None,
    seeds: Annotated[str | None, setting("seeds")] = None,
    out: Annotated[str | None, setting("out")] = None,
    resume: Annotated[str | None, setting("resume")] = None,
    trust: Annotated[bool, setting("trust")] = False,
    json: Annotated[bool, setting("json")] = False,
    **settings: Any,
) -> None:
    """Train a network, choose its best epoch on validation images, and test it once.

    The run folder keeps settings, history, weights and curves. After Ctrl-C, a kill or a power cut, --resume goes on
    where the run was last saved; so does the same command with the same --out.
    """
    typed = typed_in(context)
    changes = {name: value for name, value in settings.items() if name in typed}
    if resume is not None:
        for name in ("preset", "out", "config", "seeds"):
            if name in typed:
                raise InputError(f"--{name} does not go with --resume: a run goes on in its own folder, as it is set")
        check_network(changes.get("model"), trust)
        result = go_on(resume, changes, trust, json=json)
    else:
        if trust:
            raise InputError("--trust goes with --resume, for the code of a run folder: here --model names yours")
        if preset is not None and config is not None:
            raise InputError("--preset does not go with --config: both are whole recipes")
        if preset is not None:
            changes = settings_under(preset, changes)
        wanted = TrainConfig(**changes) if config is None else read_config_under(config, changes)
        wanted.validate()  # before torch is imported, which takes seconds
        if is_own(wanted.model):
            if "model" not in typed:
                raise InputError(
                    f"{config} names a network of its own, {wanted.model}, and code that a file names is not run "
                    f"unasked, because it can do anything: give --model {wanted.model} too"
                )
            find_model(wanted.model)
        if seeds is not None and "," in seeds and "seed" in typed:
            raise InputError("--seed does not go with a list of --seeds, which names them all")
        if seeds is None:
            result = begin(wanted, out, json=json)
        else:
            result = begin_many(wanted, seeds, out, json=json)
    if json:
        print_json(result.to_dict())


def begin(config: TrainConfig, out: str | None, *, json: bool) -> Any:
    """Train one network."""
    from tinytorch_course.training import loop
    from tinytorch_course.training.display import make_display

    code = ["--model", config.model] if is_own(config.model) else []
    with saying_how_to_go_on(code=code), make_display(json=json) as display:
        return loop.train(config, out=out, display=display)


def go_on(run: str, changes: dict[str, Any], trust: bool, *, json: bool) -> Any:
    """Train on where a run stopped."""
    from tinytorch_course.training import loop
    from tinytorch_course.training.display import make_display

    code = ["--trust"] if trust else ["--model", changes["model"]] if "model" in changes else []
    with saying_how_to_go_on(code=code), make_display(json=json) as display:
        return loop.resume(run, changes, display=display, trust=trust)


def begin_many(config: TrainConfig, seeds: str, out: str | None, *, json: bool) -> Any:
    """Train from several seeds, or go on with that."""
    chosen = parse_seeds(seeds, config.seed)

    from tinytorch_course.training.display import make_display, print_seed_runs
    from tinytorch_course.training.many import choose_folder, train_seeds

    folder = choose_folder(out, config)
    common = dataclasses.replace(config, seed=DEFAULT.seed) if "," in seeds else config
    again = [*common.words(), "--seeds", seeds, "--out", str(folder)]
    with saying_how_to_go_on(again):
        runs = train_seeds(config, chosen, folder, make_display=lambda name: make_display(json, name))
    print_seed_runs(runs, sys.stderr if json else sys.stdout)
    return runs


@contextlib.contextmanager
def saying_how_to_go_on(words: list[str] | None = None, *, code: Sequence[str] = ()) -> Iterator[None]:
    """After Ctrl-C, print the command that goes on: ``train`` with ``words``, or else with --resume and ``code``."""
    from tinytorch_course.training import loop

    try:
        yield
    except loop.Interrupted as stop:
        command = shlex.join(["tinytorch", "train", *(words or ["--resume", str(stop.run_folder), *code])])
        with contextlib.suppress(OSError):  # the terminal may have been closed
            print(f"Stopped and saved; go on with: {command}", file=sys.stderr)
        raise typer.Exit(128 + stop.signal_number) from None
