"""Data for small training loops: classes that can be told apart, in tensors."""

import torch
from torch.utils.data import TensorDataset


def blobs(n=640, features=20, classes=4, seed=0):
    """x (n, features) about unit scale, y (n,) classes; in random order."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, features, generator=torch.Generator().manual_seed(99))
    y = torch.randint(classes, (n,), generator=generator)
    return 0.8 * centres[y] + 0.6 * torch.randn(n, features, generator=generator), y


def pictures(n=640, seed=0):
    """Pixels from 0 to 255 (n, 1, 8, 8), float, whose brighter half is the class of four."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (n,), generator=generator)
    x = torch.randint(0, 160, (n, 1, 8, 8), generator=generator).float()
    for number, where in enumerate(
        [(slice(4), slice(8)), (slice(4, 8), slice(8)), (slice(8), slice(4)), (slice(8), slice(4, 8))]
    ):
        x[y == number, 0, where[0], where[1]] += 95
    return x, y


def line(n=640, features=5, seed=0):
    """x (n, features) and a real number of each, y (n, 1)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=generator)
    return x, x @ torch.linspace(-1, 1, features)[:, None] + 0.5 + 0.1 * torch.randn(n, 1, generator=generator)


def dataset(maker=blobs, **options):
    return TensorDataset(*maker(**options))
