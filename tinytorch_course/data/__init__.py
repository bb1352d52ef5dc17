"""Where images come from, how they are split, and how they become batches."""

from tinytorch_course.data.loaders import MemoryLoader, StreamLoader, epoch_order
from tinytorch_course.data.sources import default_data_dir, load
from tinytorch_course.data.splits import Dataset, Split

__all__ = ["Dataset", "MemoryLoader", "Split", "StreamLoader", "default_data_dir", "epoch_order", "load"]
