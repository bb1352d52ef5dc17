"""``tinytorch train``: train a network, or go on with a run that stopped."""

import contextlib
import dataclasses
import json as json_module
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import typer

from tinytorch_course.cli.options import one_of
from tinytorch_course.data_names import DATA_NAMES
from tinytorch_course.errors import InputError
from tinytorch_course.training.config import (
    DTYPE_NAMES,
    INIT_NAMES,
    OPTIMIZER_DEFAULTS,
    OPTIMIZER_NAMES,
    SCHEDULE_NAMES,
    TrainConfig,
    flag,
    read_config_under,
)
from tinytorch_course.training.options.presets import PRESETS, settings_under
from tinytorch_course.training.parsing import AUGMENTATIONS, parse_seeds

DEFAULT = TrainConfig()
USUAL = DEFAULT.resolved()  # with the optimizer's own numbers in place of None
MOMENTA = [f"{own.momentum:g} for {name}" for name, own in OPTIMIZER_DEFAULTS.items() if own.momentum is not None]
DECAYS = [f"{own.weight_decay:g} for {name}" for name, own in OPTIMIZER_DEFAULTS.items() if own.weight_decay]


class Line(NamedTuple):
    """One option's line in the help."""

    value: str | None  # what stands for its value: N an integer, X a number; None: it takes none
    help: str
    default: str | None = None  # in words; None: the field of TrainConfig says it


WHAT = {
    "preset": Line(
        "NAME",
        "Take a recipe's settings: "
        + "; ".join(f"{name}, {preset.purpose}" for name, preset in PRESETS.items())
        + ". Options typed beside it come first.",
        "",
    ),
    "impl": Line("NAME", "Whose gradients: scratch has them written by hand, torch uses nn.Module and autograd."),
    "model": Line("NAME", "The network; `tinytorch models` lists them."),
    "init": Line("NAME", f"How the first weights are drawn: {one_of(INIT_NAMES)}; default is as torch's layers do."),
    "from_": Line(
        "CHECKPOINT",
        "Start from the network in a run folder or file; a head for other classes starts anew.",
        "random numbers",
    ),
    "freeze": Line(
        "PATTERNS",
        "Leave these layers or parameters as they are: conv*,norm1 and the like. Batch norm's statistics still follow.",
        "none",
    ),
    "data": Line(
        "NAME",
        f"The images: {', '.join(DATA_NAMES)}, or the path of a folder of images or an .npz file. auto is MNIST where "
        "it can be had, else the built-in digits.",
    ),
    "data_dir": Line(
        "FOLDER", "Where data sets lie, or are downloaded to.", "$TINYTORCH_DATA, else the user's cache folder"
    ),
    "val_size": Line("N", "Training images set aside to choose the best epoch.", "the data set's own number"),
    "limit": Line("N", "Take no more than N images each to train, choose and test, for a quick look.", "all"),
    "overfit_batches": Line(
        "N", "Train on the first N batches of images only, to see whether they can be learned by heart.", "all"
    ),
}
HOW = {
    "epochs": Line("N", "How often to go through all training images.", "the data set's own number"),
    "batch_size": Line("N", "Images in one step."),
    "optimizer": Line("NAME", f"The rule that turns gradients into a step: {one_of(OPTIMIZER_NAMES)}."),
    "lr": Line("X", "Learning rate: how far a step goes.", f"fits optimizer and schedule, here {USUAL.lr:g}"),
    "schedule": Line("NAME", f"How the learning rate changes on the way: {one_of(SCHEDULE_NAMES)}."),
    "momentum": Line("X", "How much of the last step goes into the next; sgd and rmsprop.", ", ".join(MOMENTA)),
    "weight_decay": Line("X", "How strongly weights are pulled towards zero.", ", ".join([*DECAYS, "else 0"])),
    "label_smoothing": Line("X", "The share of each label that is spread over all classes."),
    "clip_norm": Line("X", "Scale gradients down to this norm where they are longer.", "no clipping"),
    "augment": Line(
        "LIST",
        f"Change training images at random, each time anew: any of {', '.join(AUGMENTATIONS)}, with commas; "
        "rotate=15 and the like set how far.",
        "images as they are",
    ),
    "class_weights": Line(
        "LIST", "How much each class counts: balanced, by how rare it is, or numbers with commas.", "all alike"
    ),
    "ema": Line(
        "X", "Keep a running average of the network, which forgets with this factor: 0.999 and the like.", "no average"
    ),
    "patience": Line("N", "Stop after N epochs that were no better on the validation images.", "never"),
    "seed": Line("N", "Where all randomness comes from: first weights, order of images, dropout."),
}
WHERE = {
    "device": Line("NAME", "auto, cpu, cuda or cuda:N. auto is a GPU where there is one."),
    "precision": Line(
        "NAME",
        "What networks compute in, weights staying float32: float32, tf32 (on NVIDIA GPUs) or bfloat16.",
    ),
    "compile": Line(None, "Compile forward and backward pass with torch.compile; the first step takes a minute or so."),
    "cuda_graph": Line(None, "Send the from-scratch step to an NVIDIA GPU as one CUDA graph."),
    "dtype": Line("NAME", f"The precision of all numbers: {one_of(DTYPE_NAMES)}."),
    "loader": Line("NAME", "memory holds all images in memory, stream reads them batch by batch."),
    "log_gradients": Line(None, "Write the norms of all gradients to gradients.csv."),
    "out": Line("FOLDER", "The run folder to write.", "a new one in runs/"),
    "tensorboard": Line(None, "Write curves, images and histograms for TensorBoard, a package of its own."),
    "config": Line(
        "FILE", "Take the settings of this file, such as a run's config.toml; options typed beside it come first.", ""
    ),
    "seeds": Line(
        "LIST",
        "Train from several seeds, 0,1,2 or 5 of them, and give mean and deviation; --out holds a run of each.",
        "",
    ),
    "resume": Line("RUN", "Go on with the run in this folder; options typed beside it change its settings.", ""),
    "json": Line(None, "Print the result as one JSON document; the table goes to stderr.", ""),
}
HEADINGS = {"What to train": WHAT, "How to train it": HOW, "Where, and what comes out": WHERE}


def option(name: str) -> Any:
    """The option of that name: its heading, its help line, and its default at the end of it."""
    heading, line = next((heading, lines[name]) for heading, lines in HEADINGS.items() if name in lines)
    # typer's own "[default: ...]" cannot say what None means, and some versions of it print a stray backslash.
    default = getattr(DEFAULT, name) if line.default is None else line.default
    default = "" if default is False else default  # a flag that is off is not typed
    return typer.Option(
        flag(name),
        metavar=line.value,
        parser=number_parser(flag(name), line.value),
        help=line.help + (f" (default: {default})" if default != "" else ""),
        show_default=False,
        rich_help_panel=heading,
    )


def number_parser(typed: str, kind: str | None) -> Callable[[Any], int | float] | None:
    """What reads the value of the flag ``typed`` if that is a number, and names both if it is none."""
    if kind not in ("N", "X"):
        return None
    convert, wanted = (int, "an integer") if kind == "N" else (float, "a number")

    def parse(value: Any) -> int | float:
        try:
            return convert(value)
        except ValueError:
            raise InputError(f"{typed} must be {wanted}, but it is '{value}'") from None

    return parse


def train(
    context: typer.Context,
    preset: Annotated[str | None, option("preset")] = None,
    impl: Annotated[str, option("impl")] = DEFAULT.impl,
    model: Annotated[str, option("model")] = DEFAULT.model,
    init: Annotated[str, option("init")] = DEFAULT.init,
    from_: Annotated[str | None, option("from_")] = DEFAULT.from_,
    freeze: Annotated[str | None, option("freeze")] = DEFAULT.freeze,
    data: Annotated[str, option("data")] = DEFAULT.data,
    data_dir: Annotated[str | None, option("data_dir")] = DEFAULT.data_dir,
    val_size: Annotated[int | None, option("val_size")] = DEFAULT.val_size,
    limit: Annotated[int | None, option("limit")] = DEFAULT.limit,
    overfit_batches: Annotated[int | None, option("overfit_batches")] = DEFAULT.overfit_batches,
    epochs: Annotated[int | None, option("epochs")] = DEFAULT.epochs,
    batch_size: Annotated[int, option("batch_size")] = DEFAULT.batch_size,
    optimizer: Annotated[str, option("optimizer")] = DEFAULT.optimizer,
    lr: Annotated[float | None, option("lr")] = DEFAULT.lr,
    schedule: Annotated[str, option("schedule")] = DEFAULT.schedule,
    momentum: Annotated[float | None, option("momentum")] = DEFAULT.momentum,
    weight_decay: Annotated[float | None, option("weight_decay")] = DEFAULT.weight_decay,
    label_smoothing: Annotated[float, option("label_smoothing")] = DEFAULT.label_smoothing,
    clip_norm: Annotated[float | None, option("clip_norm")] = DEFAULT.clip_norm,
    augment: Annotated[str | None, option("augment")] = DEFAULT.augment,
    class_weights: Annotated[str | None, option("class_weights")] = DEFAULT.class_weights,
    ema: Annotated[float | None, option("ema")] = DEFAULT.ema,
    patience: Annotated[int | None, option("patience")] = DEFAULT.patience,
    seed: Annotated[int, option("seed")] = DEFAULT.seed,
    device: Annotated[str, option("device")] = DEFAULT.device,
    dtype: Annotated[str, option("dtype")] = DEFAULT.dtype,
    precision: Annotated[str, option("precision")] = DEFAULT.precision,
    compile: Annotated[bool, option("compile")] = DEFAULT.compile,
    cuda_graph: Annotated[bool, option("cuda_graph")] = DEFAULT.cuda_graph,
    loader: Annotated[str, option("loader")] = DEFAULT.loader,
    log_gradients: Annotated[bool, option("log_gradients")] = DEFAULT.log_gradients,
    tensorboard: Annotated[bool, option("tensorboard")] = DEFAULT.tensorboard,
    config: Annotated[str | None, option("config")] = None,
    seeds: Annotated[str | None, option("seeds")] = None,
    out: Annotated[str | None, option("out")] = None,
    resume: Annotated[str | None, option("resume")] = None,
    json: Annotated[bool, option("json")] = False,
) -> None:
    """Train a network, choose its best epoch on validation images, and test it once.

    The run folder keeps settings, history, weights and curves. After Ctrl-C, --resume goes on where the run stopped.
    """
    typed = {name for name in context.params if was_typed(context, name)}
    changes = {
        field.name: context.params[field.name] for field in dataclasses.fields(TrainConfig) if field.name in typed
    }
    if resume is not None:
        for name in ("preset", "out", "config", "seeds"):
            if name in typed:
                raise InputError(f"--{name} does not go with --resume: a run goes on in its own folder, as it is set")
        result = go_on(resume, changes, json=json)
    else:
        if preset is not None and config is not None:
            raise InputError("--preset does not go with --config: both are whole recipes")
        if preset is not None:
            changes = settings_under(preset, changes)
        settings = TrainConfig(**changes) if config is None else read_config_under(config, changes)
        settings.validate()  # before torch is imported, which takes seconds
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

    with saying_how_to_go_on(), make_display(json=json) as display:
        return loop.train(config, out=out, display=display)


def go_on(run: str, changes: dict[str, Any], *, json: bool) -> Any:
    """Train on where a run stopped."""
    from tinytorch_course.training import loop
    from tinytorch_course.training.display import make_display

    with saying_how_to_go_on(), make_display(json=json) as display:
        return loop.resume(run, changes, display=display)


def begin_many(config: TrainConfig, seeds: str, out: str | None, *, json: bool) -> Any:
    """Train from several seeds, or go on with that."""
    chosen = parse_seeds(seeds, config.seed)

    from tinytorch_course.training.display import OneOfMany, make_display, print_outcome
    from tinytorch_course.training.many import choose_folder, train_seeds

    folder = choose_folder(out, config)
    common = dataclasses.replace(config, seed=DEFAULT.seed) if "," in seeds else config
    again = [*common.words(), "--seeds", seeds, "--out", str(folder)]
    with saying_how_to_go_on(again):
        outcome = train_seeds(
            config, chosen, folder, make_display=lambda name: OneOfMany(make_display(json=json), name)
        )
    print_outcome(outcome, sys.stderr if json else sys.stdout)
    return outcome


@contextlib.contextmanager
def saying_how_to_go_on(words: list[str] | None = None) -> Iterator[None]:
    """After Ctrl-C, print the command that goes on: ``train`` with ``words``, or else with --resume."""
    from tinytorch_course.training import loop

    try:
        yield
    except loop.Interrupted as stop:
        command = shlex.join(["tinytorch", "train", *(words or ["--resume", str(stop.run_folder)])])
        print(f"Stopped and saved; go on with: {command}", file=sys.stderr)
        raise typer.Exit(128 + stop.signal_number) from None


def was_typed(context: typer.Context, name: str) -> bool:
    """Whether the option stood on the command line, even with the value that is its default."""
    return context.get_parameter_source(name).name == "COMMANDLINE"
