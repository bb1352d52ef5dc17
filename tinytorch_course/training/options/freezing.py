"""``--freeze``: which parameters are trained."""

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase

from torch import Tensor

from tinytorch_course.errors import InputError
from tinytorch_course.training.parsing import parse_freeze


def trainable(names: Iterable[str], freeze: str | None) -> tuple[str, ...]:
    """The parameters that are trained, in order: all that ``freeze`` does not match.

    A frozen parameter keeps its value to the last bit: it gets no step, no weight decay, and no state of the optimizer.
    Batch norm's running statistics are no parameters: as in torch they go on following the images, frozen or not.

    Args:
        names: of all parameters, such as "conv1.weight".
        freeze: shell-style patterns with commas, of parameters or of whole layers: "conv*,norm1". None: all train.

    Raises:
        InputError: if a pattern matches nothing, or nothing is left to train.
    """
    names = tuple(names)
    if freeze is None:
        return names
    frozen: set[str] = set()
    for pattern in parse_freeze(freeze):
        matched = [name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")]
        if not matched:
            layers = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
            shown = ", ".join(layers[:12]) + (", ..." if len(layers) > 12 else "")
            raise InputError(f"--freeze {pattern} matches no parameter; the layers are {shown}")
        frozen.update(matched)
    if len(frozen) == len(names):
        raise InputError(f"--freeze {freeze} leaves nothing to train")
    return tuple(name for name in names if name not in frozen)


def describe(names: Collection[str], tensors: Mapping[str, Tensor]) -> str:
    """A sentence about what ``--freeze`` leaves to train: the parameters ``names`` of a network's ``tensors``."""
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    numbers = sum(tensors[name].numel() for name in names)
    shown = ", ".join(layers[:8]) + (f" and {len(layers) - 8} more layers" if len(layers) > 8 else "")
    return f"--freeze leaves {numbers:,} parameters to train, in {shown}."
