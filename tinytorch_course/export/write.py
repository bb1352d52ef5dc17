"""Exporting: written down, read again, compared with the from-scratch forward, and only then kept."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import entry_errors
from tinytorch_course.errors import InputError
from tinytorch_course.export.forms import EXAMPLES, Form, Run
from tinytorch_course.files import write_atomically
from tinytorch_course.seeds import derive_seed
from tinytorch_course.training.networks import Network, open_network

TOLERANCE = 1e-4  # of |got − expected| / (1 + |expected|): float32, with sums in another order
BATCHES = (1, 2, 7)  # of other sizes than the one that was exported by: the batch must have stayed free


class Exported(NamedTuple):
    """What came of one form."""

    form: Form
    file: Path
    size: int  # bytes
    error: float  # the largest, beside the from-scratch forward

    @property
    def ok(self) -> bool:
        """Whether it computes what the from-scratch forward does."""
        return self.error <= TOLERANCE  # False for NaN

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        error = self.error if self.error < float("inf") else None
        return {"ok": self.ok, "form": self.form.title, "file": str(self.file), "bytes": self.size, "error": error}


def open_both(checkpoint: str, **options: Any) -> tuple[Network, Network]:
    """The network as the twin, to be exported, and from scratch, to be compared with."""
    twin = open_network(checkpoint, impl="torch", **options)
    return twin, open_network(checkpoint, impl="scratch", **options)


def export(twin: Network, scratch: Network, form: Form, file: Path) -> Exported:
    """Write one form, if it agrees with the from-scratch forward.

    Raises:
        InputError: if the form cannot be made of this network, or the file cannot be written.
    """
    images = pictures(twin, EXAMPLES)
    try:
        data = form.make(twin, images / 255)
        run = form.read(data, twin)
        exported = Exported(form, file, len(data), worst_error(run, scratch))
    except InputError:
        raise
    except Exception as error:  # exporters fail in any way at all
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"torch {torch.__version__} cannot write {twin.model} as {form.title}: {first}") from error
    if exported.ok:
        write_atomically(file, data)
    return exported


def worst_error(run: Run, scratch: Network) -> float:
    """The largest error of ``run`` beside the from-scratch forward, over batches of several sizes."""
    errors = []
    for count in BATCHES:
        images = pictures(scratch, count)
        expected = scratch.logits(images)
        with torch.no_grad():
            got = run(images / 255)
        if got.shape != expected.shape:
            return float("inf")
        errors.append(entry_errors(got, expected).max().item())
    return max(errors)


def pictures(network: Network, count: int) -> Tensor:
    """Noise, with a black and a white picture where there is room: uint8 (N, C, H, W)."""
    shape = (count, network.channels, network.image_size, network.image_size)
    generator = torch.Generator().manual_seed(derive_seed("export", count))
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    if count > 2:
        images[0], images[1] = 0, 255
    return images
