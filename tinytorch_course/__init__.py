"""A hand-written twin of PyTorch: raw tensors and gradients by hand beside ``nn.Module`` and autograd.

    import tinytorch_course as tt

``tt.layers``, ``tt.ops``, ``tt.losses``, ``tt.optimizers`` and ``tt.schedules`` are the from-scratch ones,
``tt.reference`` holds their twins, ``tt.models`` the networks, ``tt.data`` the images. ``tt.train``, ``tt.compare``,
``tt.check_gradient`` and ``tt.load_run`` are the commands' counterparts. docs/python.md shows them all.

Nothing is imported before it is asked for, so that ``tinytorch --help`` answers at once.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytorch_course import data, models, reference
    from tinytorch_course.api import compare, load_run, train
    from tinytorch_course.errors import InputError
    from tinytorch_course.grading.check import check_gradient
    from tinytorch_course.scratch import layers, losses, ops, optimizers, schedules

__version__ = "0.2.0"
__all__ = [
    "InputError",
    "check_gradient",
    "compare",
    "data",
    "layers",
    "load_run",
    "losses",
    "models",
    "ops",
    "optimizers",
    "reference",
    "schedules",
    "train",
]

_ATTRIBUTES = {  # where they lie; those that are not here are modules of the package
    "InputError": "errors",
    "check_gradient": "grading.check",
    "compare": "api",
    "load_run": "api",
    "train": "api",
    "layers": "scratch",
    "losses": "scratch",
    "ops": "scratch",
    "optimizers": "scratch",
    "schedules": "scratch",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    if name in _ATTRIBUTES:
        found = getattr(importlib.import_module(f"{__name__}.{_ATTRIBUTES[name]}"), name)
    else:
        found = importlib.import_module(f"{__name__}.{name}")
    if name in _ATTRIBUTES and isinstance(found, ModuleType):
        _hide_imports(found)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)


def _hide_imports(module: ModuleType) -> None:
    """Let ``dir`` and tab completion show what the module defines, without what it imports."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", None) or [name for name in own if not name.startswith("_")]
    vars(module)["__dir__"] = lambda: sorted(names)
