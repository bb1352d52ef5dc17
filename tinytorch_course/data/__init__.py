"""Where images come from, how they are split, and how they become batches.

The package itself loads by ``sources.load``, whose refusals name the options of the command line.
"""

from tinytorch_course.data import sources
from tinytorch_course.data.loaders import MemoryLoader, StreamLoader, epoch_order
from tinytorch_course.data.sources import default_data_dir
from tinytorch_course.data.splits import Dataset, Split
from tinytorch_course.errors import naming_arguments

__all__ = ["Dataset", "MemoryLoader", "Split", "StreamLoader", "default_data_dir", "epoch_order", "load"]


def __dir__() -> list[str]:
    return __all__


load = naming_arguments("data")(sources.load)
