"""Training images that are never twice the same: moved, turned, bent, mirrored, or with a piece painted over.

Every image of a batch gets numbers of its own. (``torchvision.transforms.v2`` on a batch would give all its images the
same ones, and image by image it takes a good part of a training step.) The numbers are a function of
(seed, epoch, batch), so that a resumed run, and the other implementation, see the very same images.

Source: elastic bending is that of Simard, Steinkraus & Platt (2003), "Best practices for convolutional neural networks
applied to visual document analysis", but smoothed by bicubic interpolation between a few points.

Legend: B batch, C channels, H = W.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tinytorch_course.data.splits import Dataset
from tinytorch_course.errors import InputError
from tinytorch_course.seeds import derive_seed
from tinytorch_course.training.parsing import parse_augment

ERASED_AREA = (0.02, 0.2)  # the smallest and the largest share of the picture
ELASTIC_POINTS = 6  # along each side, that are drawn aside independently; the places between them follow smoothly
ERASED_RATIO = 3.0  # the longer side of the rectangle is at most so many times the shorter


class Change(NamedTuple):
    """What happens to each image of a batch, in this order: flip, elastic, scale, shear, rotate, shift, erase."""

    flip: Tensor  # (B,), bool
    scale: Tensor  # (B,), 1 leaves the size
    shear: Tensor  # (B,), radians along the rows
    angle: Tensor  # (B,), radians clockwise
    shift: Tensor  # (B, 2), whole pixels to the right and down
    elastic: Tensor  # (B, 2, P, P), pixels to the right and down that points are drawn aside; P = 0: none
    erase: Tensor  # (B, 4), rows from, to, columns from, to; equal ones erase nothing


def draw(amounts: dict[str, float], count: int, size: int, generator: torch.Generator) -> Change:
    """Draw a change for each of ``count`` images of ``size`` × ``size``; see ``parsing.AUGMENTATIONS``.

    A name that is not in ``amounts`` changes nothing, and leaves the draws of the others as they are.
    """

    def uniform(name: str, *shape: int) -> Tensor:  # on ± its amount, in float64 whatever the images are
        numbers = torch.rand(count, *shape, generator=generator, dtype=torch.float64)
        return (2 * numbers - 1) * amounts.get(name, 0.0)

    def chance(name: str) -> Tensor:
        return torch.rand(count, generator=generator, dtype=torch.float64) < amounts.get(name, 0.0)

    flip = chance("flip")
    scale = 1 + uniform("scale")
    shear, angle = uniform("shear") * math.pi / 180, uniform("rotate") * math.pi / 180
    reach = amounts.get("shift", 0.0) + 0.5  # the outermost whole pixels must be as likely as the others
    numbers = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    shift = ((2 * numbers - 1) * reach).round().clamp(-reach + 0.5, reach - 0.5)
    rectangles = _draw_rectangles(chance("erase"), size, generator)
    points = ELASTIC_POINTS if "elastic" in amounts else 0  # last, for there are many of them
    return Change(flip, scale, shear, angle, shift, uniform("elastic", 2, points, points), rectangles)


def _draw_rectangles(wanted: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Rectangles (B, 4) of random area, ratio and place; empty where none is wanted."""
    numbers = torch.rand(len(wanted), 4, generator=generator, dtype=torch.float64)
    low, high = ERASED_AREA
    area = (low + (high - low) * numbers[:, 0]) * size**2
    ratio = torch.exp((2 * numbers[:, 1] - 1) * math.log(ERASED_RATIO))
    sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).round().clamp(1, size)  # (B, 2)
    sides = sides * wanted[:, None]
    start = (numbers[:, 2:] * (size - sides + 1)).floor()
    return torch.stack([start, start + sides], dim=2).flatten(1).long()


def apply(x: Tensor, change: Change, black: Tensor) -> Tensor:
    """The changed images.

    Args:
        x: (B, C, H, H).
        change: of B images, on the CPU.
        black: (C, 1, 1), what black is in ``x``: it comes in where an image is moved away.

    Returns:
        As ``x``, a new tensor. A piece that is painted over is 0, the mean of the training images where ``x`` is
        normalised.
    """
    # All that decides is asked of the numbers on the CPU: nothing waits for the device.
    moved = any((part != still).any() for part, still in ((change.scale, 1), *((p, 0) for p in change[2:6])))
    if change.flip.any():
        flip = change.flip.to(x.device, non_blocking=True)
        x = torch.where(flip[:, None, None, None], x.flip(-1), x)
    if moved:
        inverse = _inverse(change, x.shape[-1]).to(x, non_blocking=True)
        grid = F.affine_grid(inverse, list(x.shape), align_corners=False)
        if change.elastic.numel():
            points = change.elastic.to(x, non_blocking=True)
            aside = F.interpolate(points, x.shape[-1], mode="bicubic", align_corners=True)  # (B, 2, H, H)
            grid = grid - aside.permute(0, 2, 3, 1) * 2 / x.shape[-1]
        x = F.grid_sample(x - black, grid, padding_mode="zeros", align_corners=False) + black
    if change.erase.any():
        erase = change.erase.to(x.device, non_blocking=True)
        place = torch.arange(x.shape[-1], device=x.device)
        inside = (place >= erase[:, 0::2, None]) & (place < erase[:, 1::2, None])  # (B, 2, H): rows and columns
        x = x.masked_fill(inside[:, None, 0, :, None] & inside[:, None, 1, None, :], 0)
    return x


def _inverse(change: Change, size: int) -> Tensor:
    """(B, 2, 3): where in the old image, from −1 to 1, each place of the new one comes from.

    Forwards, a place is mapped to ``scale · rotation · shear · place + shift``; sampling needs the way back.
    """
    cos, sin, tan = change.angle.cos(), change.angle.sin(), change.shear.tan()
    rows = [torch.stack([cos - sin * tan, sin + cos * tan], dim=1), torch.stack([-sin, cos], dim=1)]
    matrix = torch.stack(rows, dim=1) / change.scale[:, None, None]  # (B, 2, 2)
    offset = matrix @ (change.shift * 2 / size)[:, :, None]  # (B, 2, 1): a pixel is 2 / size of the range
    return torch.cat([matrix, -offset], dim=2)


class Augment:
    """The augmentations of a run, as a function of the batch and its place in the run.

    Args:
        text: as ``--augment`` takes it; None: nothing is changed.
        seed: the run's.
        dataset: whose mean and deviation the images were normalised by.

    Raises:
        InputError: if they do not suit the data.
    """

    def __init__(self, text: str | None, seed: int, dataset: Dataset):
        self.amounts = parse_augment(text) if text is not None else {}
        self.seed = seed
        check_augment(self.amounts, dataset, dataset.train.images.shape[-1])
        mean, std = (torch.tensor(numbers, dtype=torch.float64) for numbers in (dataset.mean, dataset.std))
        self.black = -(mean / std)[:, None, None]

    def __call__(self, x: Tensor, epoch: int, batch: int) -> Tensor:
        """The images ``x`` (B, C, H, H), changed; ``x`` itself if there is nothing to change."""
        if not self.amounts:
            return x
        generator = torch.Generator().manual_seed(derive_seed("augment", self.seed, epoch, batch))
        return apply(x, draw(self.amounts, len(x), x.shape[-1], generator), self.black.to(x, non_blocking=True))


def check_augment(amounts: dict[str, float], dataset: Dataset, image_size: int) -> None:
    """Raise :class:`InputError` if ``amounts`` do not suit the data."""
    if "flip" in amounts and not dataset.flips:
        raise InputError(
            f"--augment flip does not suit {dataset.title}: mirrored, its pictures would mean something else; "
            "leave flip out"
        )
    if amounts.get("shift", 0) > image_size / 2:
        raise InputError(
            f"--augment shift={amounts['shift']:g} would move pictures of {image_size} x {image_size} pixels out of "
            f"sight: at most {image_size // 2}"
        )
