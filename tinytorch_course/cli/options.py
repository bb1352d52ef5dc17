"""What the commands have in common: their options, each with its default at the end of its line, under headings."""

import inspect
import json
import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand

from tinytorch_course.data_names import data_names
from tinytorch_course.errors import InputError
from tinytorch_course.models import require_model_name
from tinytorch_course.pictures import FORM_NAMES
from tinytorch_course.training.config import (
    DTYPE_NAMES,
    IMPL_NAMES,
    INIT_NAMES,
    OPTIMIZER_DEFAULTS,
    SCHEDULE_NAMES,
    TrainConfig,
    flag,
    with_momentum,
)
from tinytorch_course.training.options.presets import PRESETS
from tinytorch_course.training.parsing import AUGMENTATIONS

SPLITS = ("test", "val", "all")
LONGEST = 86_400.0  # seconds that code of one's own may take
Number = TypeVar("Number", int, float)


class GroupedHelp(TyperCommand):
    """A command whose help lists its options under headings; typer itself does so only in rich's boxes."""

    def format_options(self, ctx, formatter) -> None:
        """Write the options, heading by heading."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = getattr(parameter, "rich_help_panel", None) or "Options"
                groups.setdefault(heading, []).append(record)
        width = max(len(name) for records in groups.values() for name, _ in records)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), help) for name, help in records])


def one_of(names: Sequence[str]) -> str:
    """Names as "a, b or c"."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


def option(flag: str, value: str | None, help: str, heading: str | None = None) -> Any:
    """An option whose help ends in its default; ``value`` stands for its value: N an integer, X a number."""
    return typer.Option(
        flag, metavar=value, parser=number_parser(flag, value), help=help, show_default=False, rich_help_panel=heading
    )


def number_parser(typed: str, kind: str | None) -> Callable[[Any], int | float] | None:
    """What reads the value of the flag ``typed``, an integer N or a number X; None for what is neither."""
    if kind == "N":
        return parser(typed, int, "an integer")
    return parser(typed, float, "a number") if kind == "X" else None


def parser(typed: str, convert: Callable[[Any], Number], wanted: str) -> Callable[[Any], Number]:
    """``convert``, which names the flag and the value if that is not what is wanted."""

    def parse(value: Any) -> Number:
        try:
            return convert(value)
        except ValueError:
            raise InputError(f"{typed} must be {wanted}, but it is '{value}'") from None

    return parse


def typed_in(context: typer.Context) -> set[str]:
    """The names of the options that stand on the command line, even with the value that is their default."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2))


def text_width() -> int:
    """The terminal's width, within reason."""
    return max(60, min(shutil.get_terminal_size().columns, 120))


def print_filled(text: str, indent: int = 0, first: str = "") -> None:
    """A paragraph of :func:`text_width`; ``first`` stands in the indent of its first line."""
    lines = textwrap.fill(text, text_width(), initial_indent=" " * indent, subsequent_indent=" " * indent)
    print(first + lines[len(first) :])


# --- what is used: a trained network ---------------------------------------------------------------------------------

CHECKPOINT = typer.Argument(metavar="CHECKPOINT", help="A run folder, or a file of weights.", show_default=False)
IMPL = option("--impl", "NAME", "Who computes: scratch or torch, whichever trained it. (default: the run's own)")
MODEL = option(
    "--model", "NAME", "The network, if a file does not say it; FILE:NAME for your own. (default: the run's own)"
)
OWN_MODEL = option("--model", "FILE:NAME", "The network of runs that were trained with one of your own.")
TRUST = option("--trust", None, "Or run the code that the run folder keeps of such a network, wherever it comes from.")
DATA_DIR = option("--data-dir", "FOLDER", "Where data sets lie. (default: what the run says, else $TINYTORCH_DATA)")
DEVICE = option("--device", "NAME", "auto, cpu, cuda or cuda:N. (default: auto, a GPU where there is one)")


def check_split(split: str, limit: int | None) -> None:
    """Raise InputError unless they name a part of the data and how much of it (None: all)."""
    if split not in SPLITS:
        raise InputError(f"--split must be {one_of(SPLITS)}, but it is '{split}'")
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be at least 1, but it is {limit}")


def check_network(
    model: str | None, trust: bool, *, impl: str | None = None, device: str = "auto", form: str | None = None
) -> None:
    """Raise InputError for a name that does not exist, and where it is not clear whose code is to be run."""
    if model is not None:
        require_model_name(model)
    if model is not None and trust:
        raise InputError("--model and --trust each say which code to run: give one of them")
    for typed, name, names in (("--impl", impl, IMPL_NAMES), ("--form", form, FORM_NAMES)):
        if name is not None and name not in names:
            raise InputError(f"{typed} must be {one_of(names)}, but it is '{name}'")
    TrainConfig(device=device).validate()


# --- the settings of `tinytorch train` ------------------------------------------------------------------------------

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
    "ops": Line("NAME", "From scratch by ops tuned for speed, or as a textbook has them: tuned or textbook."),
    "model": Line(
        "NAME", "The network; `tinytorch models` lists them. FILE:NAME is a function of L in a file of your own."
    ),
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
        f"The images: {', '.join(data_names())}, or the path of a folder of images or an .npz file. auto is MNIST "
        "where it is available, else the built-in digits.",
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
    "optimizer": Line("NAME", f"The rule that turns gradients into a step: {one_of([*OPTIMIZER_DEFAULTS])}."),
    "lr": Line("X", "Learning rate: how far a step goes.", f"fits optimizer and schedule, here {USUAL.lr:g}"),
    "schedule": Line("NAME", f"How the learning rate changes on the way: {one_of(SCHEDULE_NAMES)}."),
    "momentum": Line(
        "X", f"How much of the last step goes into the next; {' and '.join(with_momentum())}.", ", ".join(MOMENTA)
    ),
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
    "dtype": Line("NAME", f"The precision of all numbers: {one_of(DTYPE_NAMES)}."),
    "precision": Line(
        "NAME", "What networks compute in, weights staying float32: float32, tf32 (on NVIDIA GPUs) or bfloat16."
    ),
    "compile": Line(None, "Compile forward and backward pass with torch.compile; the first step takes a minute or so."),
    "cuda_graph": Line(None, "Send the from-scratch step to an NVIDIA GPU as one CUDA graph."),
    "loader": Line("NAME", "memory holds all images in memory, stream reads them batch by batch."),
    "log_gradients": Line(None, "Write the norms of all gradients to gradients.csv."),
    "tensorboard": Line(None, "Write curves, images and histograms for TensorBoard, a package of its own."),
    "out": Line("FOLDER", "The run folder to write.", "a new one in runs/"),
    "format": Line("NAME", "The form of the weights: pt, or safetensors, which is safe to share."),
    "checkpoint_every": Line(
        "N", "Save the run every N steps, so that a kill costs no more.", "about every 30 seconds of training"
    ),
    "detect_anomaly": Line(None, "Look at every number, and name the op that makes the first NaN. Slower."),
    "config": Line(
        "FILE", "Take the settings of this file, such as a run's config.toml; options typed beside it come first.", ""
    ),
    "seeds": Line(
        "LIST",
        "Train from several seeds, 0,1,2 or 5 of them, and give mean and deviation; --out holds a run of each.",
        "",
    ),
    "resume": Line("RUN", "Go on with the run in this folder; options typed beside it change its settings.", ""),
    "trust": Line(None, "With --resume: run the code that the run folder keeps of a network of its own.", ""),
    "json": Line(None, "Print the result as one JSON document; the table goes to stderr.", ""),
}
HEADINGS = {"What to train": WHAT, "How to train it": HOW, "Where, and what comes out": WHERE}


def setting(name: str) -> Any:
    """The option of a training setting: its heading, its help line, and its default at the end of it."""
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


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these training settings, as keyword arguments, before its keyword-only ones."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in inspect.signature(command).parameters.values() if one.kind is not one.VAR_KEYWORD]
        types = get_type_hints(TrainConfig)
        settings = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(DEFAULT, name),
                annotation=Annotated[types[name], setting(name)],
            )
            for name in names
        ]
        parameters = sorted([*own, *settings], key=lambda one: (one.kind, one in own))
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return add
