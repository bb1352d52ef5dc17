"""The ops as the papers write them: of each a forward and its backward, and the cache that the one hands the other.

    out, cache = conv2d_forward(x, weight, bias, stride=1, padding=1)
    dx, dweight, dbias = conv2d_backward(dout, cache)

Those of every file beside this one are here, too: ``from tinytorch_course.scratch.ops import conv2d_forward``.
"""

import importlib
import pkgutil
from typing import Any

__all__: list[str] = []

for _file in pkgutil.iter_modules(__path__):
    for _name, _value in vars(importlib.import_module(f"{__name__}.{_file.name}")).items():
        if _name.endswith(("_forward", "_backward", "Cache")) and not _name.startswith("_"):
            globals()[_name] = _value
            __all__ += [_name]


def __getattr__(name: str) -> Any:  # what type checkers go by: they do not run the loop
    raise AttributeError(f"there is no op {name!r}")
