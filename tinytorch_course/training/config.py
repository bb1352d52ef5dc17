"""The configuration of a training run: the flags of ``tinytorch train``, checked before anything is started.

Importable without torch, because the command line needs it to answer ``--help``.
"""

import dataclasses
import os
import re
import reprlib
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tinytorch_course.data_names import check_data_name
from tinytorch_course.errors import InputError, did_you_mean
from tinytorch_course.files import read_bounded
from tinytorch_course.models import require_model_name
from tinytorch_course.training.parsing import parse_augment, parse_class_weights, parse_freeze

IMPL_NAMES = ("scratch", "torch")
OPS_NAMES = ("tuned", "textbook")
SCHEDULE_NAMES = ("constant", "step", "cosine", "linear-warmup", "one-cycle")
PRECISION_NAMES = ("float32", "tf32", "bfloat16")
DTYPE_NAMES = ("float32", "float64")
HALF = "; half precision is for training: --precision bfloat16"
FORMAT_NAMES = ("pt", "safetensors")
LOADER_NAMES = ("memory", "stream")
INIT_NAMES = ("default", "zeros", "normal", "xavier-uniform", "xavier-normal", "kaiming-uniform", "kaiming-normal")


class OptimizerDefaults(NamedTuple):
    """What a flag that was not given means for one optimizer."""

    lr: float  # --lr under every schedule but one-cycle
    one_cycle_lr: float  # --lr under one-cycle, where it is the peak and may be larger
    momentum: float | None  # --momentum; None: the optimizer has none
    weight_decay: float  # --weight-decay


# Chosen for images of 28 x 28 in batches of about 128, not torch's: SGD at torch's 1e-3 without momentum hardly learns
# in three epochs. AdamW's weight decay is torch's. This is the list of optimizers that can train, by factory.
OPTIMIZER_DEFAULTS = {
    "sgd": OptimizerDefaults(lr=0.02, one_cycle_lr=0.05, momentum=0.9, weight_decay=0.0),
    "adam": OptimizerDefaults(lr=1e-3, one_cycle_lr=5e-3, momentum=None, weight_decay=0.0),
    "adamw": OptimizerDefaults(lr=1e-3, one_cycle_lr=5e-3, momentum=None, weight_decay=0.01),
    "rmsprop": OptimizerDefaults(lr=1e-3, one_cycle_lr=2e-3, momentum=0.0, weight_decay=0.0),
}


def with_momentum() -> list[str]:
    """The optimizers that have one."""
    return [name for name, defaults in OPTIMIZER_DEFAULTS.items() if defaults.momentum is not None]


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One training run. Every field is the flag of the same name (``from_`` is ``--from``), and None is "not given".

    TOML has no None: such a field is left out of ``config.toml``, so a field that may be None must default to it.
    """

    impl: str = "scratch"
    ops: str = "tuned"
    model: str = "mnist_cnn"
    data: str = "auto"
    data_dir: str | None = None
    epochs: int | None = None  # None: the data set's own number
    batch_size: int = 128
    lr: float | None = None  # None: see OPTIMIZER_DEFAULTS
    optimizer: str = "adam"
    momentum: float | None = None  # None: see OPTIMIZER_DEFAULTS
    schedule: str = "one-cycle"
    weight_decay: float | None = None  # None: see OPTIMIZER_DEFAULTS
    label_smoothing: float = 0.0
    clip_norm: float | None = None  # None: gradients are not clipped
    augment: str | None = None  # see parsing.parse_augment; None: images are taken as they are
    class_weights: str | None = None  # "balanced" or numbers with commas; None: all classes count alike
    patience: int | None = None  # None: all epochs are trained
    ema: float | None = None  # None: the network itself is kept, not an average
    init: str = "default"
    from_: str | None = None  # a checkpoint; None: training starts from random numbers
    freeze: str | None = None  # patterns with commas; None: all parameters are trained
    overfit_batches: int | None = None  # None: all training images
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"
    precision: str = "float32"
    compile: bool = False
    cuda_graph: bool = False
    val_size: int | None = None  # None: the data set's own number
    limit: int | None = None  # None: all training images
    loader: str = "memory"
    log_gradients: bool = False
    tensorboard: bool = False
    format: str = "pt"
    checkpoint_every: int | None = None  # steps; None: about every 30 seconds, see saving.py
    detect_anomaly: bool = False

    def validate(self) -> None:
        """Raise :class:`InputError` for the first value that no run can have, naming the flag as it is typed."""
        self._require_name("impl", IMPL_NAMES)
        self._require_name("ops", OPS_NAMES)
        require_model_name(self.model)
        check_data_name(self.data)
        self._require_name("optimizer", OPTIMIZER_DEFAULTS)
        self._require_name("schedule", SCHEDULE_NAMES)
        if self.dtype in ("float16", "bfloat16", "half"):
            self._refuse("dtype", f"one of {', '.join(DTYPE_NAMES)}", HALF)
        self._require_name("dtype", DTYPE_NAMES)
        self._require_name("precision", PRECISION_NAMES)
        self._require_name("loader", LOADER_NAMES)
        self._require_name("format", FORMAT_NAMES)
        self._require_name("init", INIT_NAMES)
        self._require_device()
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, str) and not value.isprintable():  # control characters, names that are not UTF-8
                self._refuse(name, "text that can be printed")
        self._require_text("data_dir", "the path of a folder")
        self._require_text("from_", "a run folder or a file of parameters")
        for name in ("compile", "cuda_graph", "log_gradients", "tensorboard", "detect_anomaly"):
            if not isinstance(getattr(self, name), bool):
                self._refuse(name, "true or false")

        for name in ("epochs", "batch_size", "val_size", "limit", "patience", "overfit_batches", "checkpoint_every"):
            self._require_integer(name, at_least=1)
        self._require_integer("seed", at_least=0)
        self._require_number("lr", "a finite number above 0", lambda value: value > 0)
        self._require_number("clip_norm", "a finite number above 0", lambda value: value > 0)
        self._require_number("weight_decay", "a finite number of at least 0", lambda value: value >= 0)
        self._require_number("momentum", "at least 0 and below 1", lambda value: 0 <= value < 1)
        self._require_number("ema", "at least 0 and below 1", lambda value: 0 <= value < 1)
        self._require_number("label_smoothing", "at least 0 and below 1", lambda value: 0 <= value < 1)
        self._check_lists()
        if self.momentum is not None and OPTIMIZER_DEFAULTS[self.optimizer].momentum is None:
            raise InputError(
                f"--momentum is for --optimizer {' and '.join(with_momentum())}, "
                f"but --optimizer is {self.optimizer}: leave it out"
            )

    def _check_lists(self) -> None:
        if self.augment is not None:
            parse_augment(self.augment)
        if self.class_weights is not None:
            parse_class_weights(self.class_weights)
        if self.freeze is not None:
            parse_freeze(self.freeze)

    def resolved(self) -> "TrainConfig":
        """The same run with the optimizer's defaults written out in place of lr, momentum and weight_decay of None."""
        defaults = OPTIMIZER_DEFAULTS[self.optimizer]
        lr = defaults.one_cycle_lr if self.schedule == "one-cycle" else defaults.lr
        return dataclasses.replace(
            self,
            lr=lr if self.lr is None else self.lr,
            momentum=defaults.momentum if self.momentum is None else self.momentum,
            weight_decay=defaults.weight_decay if self.weight_decay is None else self.weight_decay,
        )

    def words(self) -> list[str]:
        """What is typed after ``tinytorch train`` to get this run: every setting that would be another otherwise."""
        usual = TrainConfig(optimizer=self.optimizer, schedule=self.schedule).resolved()
        words = []
        for field in dataclasses.fields(self):
            value, default = getattr(self, field.name), field.default
            if default is None:  # then the optimizer's own number may stand there, where it has one
                default = getattr(usual, field.name)
            if value != default:
                words += typed(field.name, value)
        return words

    def to_dict(self) -> dict[str, Any]:
        """Every setting by the name it has in ``config.toml``, None included."""
        return {_key(name): value for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The inverse of :meth:`to_dict`. A field that is absent has its default; a name that is no field is refused.

        The values are those of a file that anyone may have edited: call :meth:`validate` on the result.
        """
        fields = {_key(field.name): field.name for field in dataclasses.fields(cls)}
        for name in values:
            if name not in fields:
                raise InputError(f"the configuration has no setting {name!r}{did_you_mean(name, fields)}")
        return cls(**{fields[name]: value for name, value in values.items()})

    def _refuse(self, name: str, wanted: str, hint: str = "") -> None:
        raise InputError(f"{flag(name)} must be {wanted}, but it is {reprlib.repr(getattr(self, name))}{hint}")

    def _require_name(self, name: str, allowed: Collection[str]) -> None:
        value, names = getattr(self, name), list(allowed)
        if not isinstance(value, str) or value not in allowed:  # which knows more than it lists: mlp-256-128
            self._refuse(name, f"one of {', '.join(names)}", did_you_mean(value, names))

    def _require_text(self, name: str, wanted: str) -> None:
        value = getattr(self, name)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            self._refuse(name, wanted)

    def _require_device(self) -> None:
        if not isinstance(self.device, str) or not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", self.device):
            names = ["auto", "cpu", "cuda"]
            hint = "; did you mean cuda?" if self.device == "gpu" else did_you_mean(self.device, names)
            self._refuse("device", "one of auto, cpu, cuda, cuda:N", hint)

    def _require_integer(self, name: str, *, at_least: int) -> None:
        value = getattr(self, name)
        if value is None and _default(name) is None:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            self._refuse(name, "an integer")
        if not at_least <= value < 2**63:
            self._refuse(name, f"at least {at_least}" if value < at_least else "below 2**63")

    def _require_number(self, name: str, wanted: str, holds: Callable[[float], bool]) -> None:
        value = getattr(self, name)
        if value is None and _default(name) is None:
            return
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not abs(value) <= sys.float_info.max or not holds(value):  # the second is False for NaN
            self._refuse(name, wanted)


def read_config(path: str | os.PathLike) -> TrainConfig:
    """The settings in a file such as a run folder's ``config.toml``; also in the run folder itself.

    Raises:
        InputError: if it cannot be read, or no run can have these settings.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    path = Path(path)
    path = path / "config.toml" if path.is_dir() else path
    text = read_bounded(path)
    try:
        config = TrainConfig.from_dict(tomllib.loads(text.decode("utf-8")))
        config.validate()
    except (ValueError, RecursionError) as error:  # the latter: nested beyond all reason
        raise InputError(f"{path} is not valid TOML: {error}") from error
    except InputError as error:
        raise InputError(f"{path} cannot be used: {error}") from error
    return config


def read_config_under(path: str | os.PathLike, changes: Mapping[str, Any]) -> TrainConfig:
    """The settings in a file with ``changes`` (by field) on top; not validated together.

    Learning rate, momentum and weight decay are an optimizer's: with another one, those of the file do not count.
    """
    config = read_config(path)
    if changes.get("optimizer", config.optimizer) != config.optimizer:
        config = dataclasses.replace(config, lr=None, momentum=None, weight_decay=None)
    return dataclasses.replace(config, **changes)


def flag(name: str) -> str:
    """The flag of a field."""
    return "--" + _key(name).replace("_", "-")


def typed(name: str, value: Any) -> list[str]:
    """What is typed to give a field a value: nothing for None and False, the flag alone for True."""
    if value is None or value is False:
        return []
    return [flag(name)] if value is True else [flag(name), str(value)]


def _key(name: str) -> str:
    return name.rstrip("_")  # "from" is a word of Python's, so the field is "from_"


def _default(name: str) -> Any:
    return getattr(TrainConfig, name)  # a dataclass keeps its defaults as class attributes
