"""Writes api.md from the docstrings: ``python docs/make_api.py``. A test asserts that the page is as this makes it."""

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import tinytorch_course as tt

PAGE = Path(__file__).with_name("api.md")
HEAD = """# Every name of `tinytorch_course`

One line each, from the docstrings: `help(tt.layers.conv2d)` says more. Made by `python docs/make_api.py`.
[What they are for](python.md) is a page of its own.

`import tinytorch_course as tt` gives:
"""
MODULES = {
    "tt.layers": tt.layers,
    "tt.ops": tt.ops,
    "tt.losses": tt.losses,
    "tt.optimizers": tt.optimizers,
    "tt.schedules": tt.schedules,
    "tt.models": tt.models,
    "tt.data": tt.data,
    **{f"tt.reference.{name}": getattr(tt.reference, name) for name in ("layers", "losses", "optimizers", "schedules")},
}


def page() -> str:
    """The whole page."""
    functions = [name for name in tt.__all__ if not inspect.ismodule(getattr(tt, name))]
    parts = [HEAD, *(entry(f"tt.{name}", getattr(tt, name)) for name in functions)]
    from tinytorch_course.api import TrainedRun

    parts += ["\n`tt.load_run(...)` gives:\n", *members("run", TrainedRun)]
    for title, module in MODULES.items():
        parts += [f"\n## {title}\n\n{first_sentence(module)}\n", *members(title, module)]
    return "\n".join(parts) + "\n"


def members(title: str, owner: ModuleType | type) -> list[str]:
    """A line for each public function and class of a module, or member of a class."""
    names = getattr(owner, "__all__", None) or [name for name in vars(owner) if not name.startswith("_")]
    names = [name for name in names if not name.endswith(("Cache", "Slot"))]  # what a forward or a step remembers
    found = [(name, inspect.getattr_static(owner, name)) for name in names]
    return [entry(f"{title}.{name}", value) for name, value in found if is_public(value, owner)]


def is_public(value: object, owner: ModuleType | type) -> bool:
    if isinstance(value, property):
        return True
    if not callable(value) or inspect.ismodule(value):
        return False
    ours = str(getattr(value, "__module__", "")).startswith(("tinytorch_course", "torch.nn"))
    foreign = inspect.ismodule(owner) and not hasattr(owner, "__all__") and not belongs(value, owner)
    return ours and not foreign


def belongs(value: object, module: ModuleType) -> bool:
    """Whether it is defined there, or one of torch's modules under another name, as in ``reference.layers``."""
    return value.__module__ == module.__name__ or value.__module__.startswith("torch.nn.modules")


def entry(name: str, value: object) -> str:
    """A name's line: how it is called, and the first sentence about it."""
    if isinstance(value, property):
        return f"- `{name}`: {first_sentence(value)}"
    if str(getattr(value, "__module__", "")).startswith("torch."):
        return f"- `{name}`: `torch.nn.{value.__name__}`."
    sentence = first_sentence(value)
    return f"- `{name}{signature(value)}`" + (f": {sentence}" if sentence else "")


def signature(value: object) -> str:
    """Its parameters and their defaults, without types."""
    if inspect.isclass(value):
        return ""
    parameters = []
    for one in inspect.signature(value).parameters.values():
        if one.name != "self":
            plain = one.default is one.empty or isinstance(one.default, (int, float, str, tuple, type(None)))
            parameters.append(one.replace(annotation=one.empty, default=one.default if plain else ...))
    return str(inspect.Signature(parameters)).replace("=Ellipsis", "=...")


def first_sentence(value: object) -> str:
    text = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].replace("``", "`").split())
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text)
    sentence = re.match(r"(.*?[.:])(?: [A-Z]|$)", text)
    return (sentence[1] if sentence else text).removesuffix(":")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {len(page().splitlines())} lines", file=sys.stderr)
