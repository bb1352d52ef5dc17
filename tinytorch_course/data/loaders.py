"""From a split to batches, in an order that is a function of (seed, epoch) alone.

Both loaders have one face, ``batches(order, batch_size, start=0)``, and give the same bits: ``MemoryLoader`` for what
fits into the device's memory, as everything here does, and ``StreamLoader`` for what does not.
Legend: B batch, C channels, H, W.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data

from tinytorch_course.data.splits import Split
from tinytorch_course.seeds import derive_seed


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """A permutation of ``0 .. count-1``, the same on every device and for both implementations.

    Drawn from a seed of its own and not from a generator's history: a run that is resumed gets the order it would have
    had.
    """
    generator = torch.Generator().manual_seed(derive_seed("order", seed, epoch))
    return torch.randperm(count, generator=generator)


class MemoryLoader:
    """Batches out of tensors that lie on the device: as bytes, an eighth of what float64 would take.

    Args:
        split: images (N, C, H, W) uint8, labels (N,).
        mean, std: one value per channel, of images / 255.
        device, dtype: of the batches.
    """

    def __init__(
        self,
        split: Split,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        self._images = split.images.to(device)
        self._labels = split.labels.to(device)
        self._normalize = _Normalize(mean, std, device, dtype)

    def __len__(self) -> int:
        """The number of images."""
        return len(self._images)

    def batches(self, order: Tensor | None, batch_size: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches from number ``start`` on; the last, smaller one is not dropped.

        Args:
            order: positions of images, such as an epoch_order. None: all, in file order.
            batch_size: images per batch.
            start: the batches to leave out, for a run that is resumed. They cost nothing.

        Yields:
            x (B, C, H, W), normalised; y (B,).
        """
        order = torch.arange(len(self)) if order is None else order
        for indices in order[start * batch_size :].to(self._images.device).split(batch_size):
            if len(indices):  # an empty tensor splits into one empty piece
                yield self._normalize(self._images[indices]), self._labels[indices]


class StreamLoader:
    """The same batches out of a map-style dataset that is read image by image, by a ``DataLoader``.

    Args:
        dataset: gives (image, label) for a position; an image is a PIL image or a uint8 tensor (C, H, W). A split is
            taken too.
        mean, std, device, dtype: as :class:`MemoryLoader`.
        num_workers: processes that read ahead; 0 reads in this one.
    """

    def __init__(
        self,
        dataset: data.Dataset | Split,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        num_workers: int = 0,
    ):
        self._dataset: Any = data.TensorDataset(*dataset) if isinstance(dataset, Split) else dataset
        self._device = torch.device(device)
        self._normalize = _Normalize(mean, std, device, dtype)
        self._num_workers = num_workers

    def __len__(self) -> int:
        """The number of images."""
        return len(self._dataset)

    def batches(self, order: Tensor | None, batch_size: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """As :meth:`MemoryLoader.batches`; images of batches left out are not read."""
        order = torch.arange(len(self)) if order is None else order
        on_cuda = self._device.type == "cuda"
        loader = data.DataLoader(
            self._dataset,
            batch_sampler=[
                indices.tolist() for indices in order[start * batch_size :].split(batch_size) if len(indices)
            ],
            num_workers=self._num_workers,
            collate_fn=_collate,
            pin_memory=on_cuda,
            # A DataLoader draws a seed for its workers; not from the global generator, which is not ours to move.
            generator=torch.Generator().manual_seed(0),
        )
        for images, labels in loader:
            images = images.to(self._device, non_blocking=on_cuda)
            yield self._normalize(images), labels.to(self._device, non_blocking=on_cuda)


class _Normalize:
    """Bytes to ``(x / 255 − mean) / std``, with a mean and a deviation for each channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device | str, dtype: torch.dtype):
        self._dtype = dtype
        self._mean = torch.tensor(mean, dtype=dtype, device=device).view(-1, 1, 1)  # (C, 1, 1)
        self._std = torch.tensor(std, dtype=dtype, device=device).view(-1, 1, 1)  # (C, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        return (images.to(self._dtype) / 255 - self._mean) / self._std


def _collate(samples: list[tuple]) -> tuple[Tensor, Tensor]:
    images, labels = zip(*samples, strict=True)
    return torch.stack([_to_bytes(image) for image in images]), torch.tensor([int(label) for label in labels])


def _to_bytes(image) -> Tensor:
    """A PIL image, or a uint8 tensor, as a uint8 tensor (C, H, W)."""
    if isinstance(image, Tensor):
        return image
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))  # (H, W) or (H, W, C)
    return pixels[None] if pixels.dim() == 2 else pixels.permute(2, 0, 1)
