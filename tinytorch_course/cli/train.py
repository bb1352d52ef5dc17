"""``tinytorch train``: train a network, or go on with a run that stopped."""

import contextlib
import dataclasses
import json as json_module
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from tinytorch_course.cli.options import DEFAULT, check_trust, setting, was_typed
from tinytorch_course.errors import InputError
from tinytorch_course.models import find_model
from tinytorch_course.own_networks import is_own
from tinytorch_course.training.config import TrainConfig, read_config_under
from tinytorch_course.training.options.presets import settings_under
from tinytorch_course.training.parsing import parse_seeds


def train(
    context: typer.Context,
    preset: Annotated[str | None, setting("preset")] = None,
    impl: Annotated[str, setting("impl")] = DEFAULT.impl,
    ops: Annotated[str, setting("ops")] = DEFAULT.ops,
    model: Annotated[str, setting("model")] = DEFAULT.model,
    init: Annotated[str, setting("init")] = DEFAULT.init,
    from_: Annotated[str | None, setting("from_")] = DEFAULT.from_,
    freeze: Annotated[str | None, setting("freeze")] = DEFAULT.freeze,
    data: Annotated[str, setting("data")] = DEFAULT.data,
    data_dir: Annotated[str | None, setting("data_dir")] = DEFAULT.data_dir,
    val_size: Annotated[int | None, setting("val_size")] = DEFAULT.val_size,
    limit: Annotated[int | None, setting("limit")] = DEFAULT.limit,
    overfit_batches: Annotated[int | None, setting("overfit_batches")] = DEFAULT.overfit_batches,
    epochs: Annotated[int | None, setting("epochs")] = DEFAULT.epochs,
    batch_size: Annotated[int, setting("batch_size")] = DEFAULT.batch_size,
    optimizer: Annotated[str, setting("optimizer")] = DEFAULT.optimizer,
    lr: Annotated[float | None, setting("lr")] = DEFAULT.lr,
    schedule: Annotated[str, setting("schedule")] = DEFAULT.schedule,
    momentum: Annotated[float | None, setting("momentum")] = DEFAULT.momentum,
    weight_decay: Annotated[float | None, setting("weight_decay")] = DEFAULT.weight_decay,
    label_smoothing: Annotated[float, setting("label_smoothing")] = DEFAULT.label_smoothing,
    clip_norm: Annotated[float | None, setting("clip_norm")] = DEFAULT.clip_norm,
    augment: Annotated[str | None, setting("augment")] = DEFAULT.augment,
    class_weights: Annotated[str | None, setting("class_weights")] = DEFAULT.class_weights,
    ema: Annotated[float | None, setting("ema")] = DEFAULT.ema,
    patience: Annotated[int | None, setting("patience")] = DEFAULT.patience,
    seed: Annotated[int, setting("seed")] = DEFAULT.seed,
    device: Annotated[str, setting("device")] = DEFAULT.device,
    dtype: Annotated[str, setting("dtype")] = DEFAULT.dtype,
    precision: Annotated[str, setting("precision")] = DEFAULT.precision,
    compile: Annotated[bool, setting("compile")] = DEFAULT.compile,
    cuda_graph: Annotated[bool, setting("cuda_graph")] = DEFAULT.cuda_graph,
    loader: Annotated[str, setting("loader")] = DEFAULT.loader,
    log_gradients: Annotated[bool, setting("log_gradients")] = DEFAULT.log_gradients,
    tensorboard: Annotated[bool, setting("tensorboard")] = DEFAULT.tensorboard,
    format: Annotated[str, setting("format")] = DEFAULT.format,
    checkpoint_every: Annotated[int | None, setting("checkpoint_every")] = DEFAULT.checkpoint_every,
    detect_anomaly: Annotated[bool, setting("detect_anomaly")] = DEFAULT.detect_anomaly,
    config: Annotated[str | None, setting("config")] = None,
    seeds: Annotated[str | None, setting("seeds")] = None,
    out: Annotated[str | None, setting("out")] = None,
    resume: Annotated[str | None, setting("resume")] = None,
    trust: Annotated[bool, setting("trust")] = False,
    json: Annotated[bool, setting("json")] = False,
) -> None:
    """Train a network, choose its best epoch on validation images, and test it once.

    The run folder keeps settings, history, weights and curves. After Ctrl-C, a kill or a power cut, --resume goes on
    where the run was last saved; so does the same command with the same --out.
    """
    typed = {name for name in context.params if was_typed(context, name)}
    changes = {
        field.name: context.params[field.name] for field in dataclasses.fields(TrainConfig) if field.name in typed
    }
    if resume is not None:
        for name in ("preset", "out", "config", "seeds"):
            if name in typed:
                raise InputError(f"--{name} does not go with --resume: a run goes on in its own folder, as it is set")
        check_trust(changes.get("model"), trust)
        result = go_on(resume, changes, trust, json=json)
    else:
        if trust:
            raise InputError("--trust goes with --resume, for the code of a run folder: here --model names yours")
        if preset is not None and config is not None:
            raise InputError("--preset does not go with --config: both are whole recipes")
        if preset is not None:
            changes = settings_under(preset, changes)
        settings = TrainConfig(**changes) if config is None else read_config_under(config, changes)
        settings.validate()  # before torch is imported, which takes seconds
        if is_own(settings.model):
            if "model" not in typed:
                raise InputError(
                    f"{config} names a network of its own, {settings.model}, and code that a file names is not run "
                    f"unasked, because it can do anything: give --model {settings.model} too"
                )
            find_model(settings.model)
        if seeds is not None and "," in seeds and "seed" in typed:
            raise InputError("--seed does not go with a list of --seeds, which says them all")
        if seeds is None:
            result = begin(settings, out, json=json)
        else:
            result = begin_many(settings, seeds, out, json=json)
    if json:
        print(json_module.dumps(result.to_dict(), indent=2))


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
