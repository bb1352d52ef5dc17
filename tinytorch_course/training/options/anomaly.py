"""``--detect-anomaly``: which op made the first NaN, and in which line of the code, whoever computes."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import tinytorch_course

PACKAGE = str(Path(tinytorch_course.__file__).parent)
OWN = str(Path(__file__))


class AnomalyDetector(TorchDispatchMode):
    """While this is entered, looks at every number that is computed.

    ``finding`` says which op made the first NaN out of numbers that were none, and which made the first infinity before
    that; it is "" until then. What is given an infinity and keeps it has made none, nor has what fills in a constant.
    """

    def __init__(self) -> None:
        super().__init__()
        self.nan, self.infinity = "", ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [_state(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        out = func(*args, **kwargs)
        if self.nan or not given:
            return out
        made = max((_state(leaf) for leaf in tree_leaves(out) if isinstance(leaf, Tensor)), default=0)
        if made == 2 and max(given) < 2:
            self.nan = _where(func)
        elif made == 1 and max(given) < 1 and not self.infinity:
            self.infinity = _where(func)
        return out

    @property
    def finding(self) -> str:
        """In words."""
        before = f", after the first infinity came out of {self.infinity}" if self.infinity else ""
        return f"the first NaN came out of {self.nan}{before}" if self.nan else ""


def _state(tensor: Tensor) -> int:
    """0 for finite numbers, 1 where there is an infinity, 2 where there is NaN."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return 0
    return 2 if tensor.isnan().any() else 1 if tensor.isinf().any() else 0


def _where(func: Any) -> str:
    """The op, its node of autograd's graph in a backward pass, and the innermost line of this package's."""
    node = torch._C._current_autograd_node()
    frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(PACKAGE)]
    frame = next((frame for frame in reversed(frames) if frame.filename != OWN), None)
    line = f" ({Path(frame.filename).relative_to(PACKAGE)}, line {frame.lineno}: {frame.line})" if frame else ""
    return f"{func.__name__.split('.')[0]}{f' in {node.name()}' if node is not None else ''}{line}"


def watched(step: Callable[..., Any], detector: AnomalyDetector) -> Callable[..., Any]:
    """``step``, looked at."""

    def watched_step(*args: Any) -> Any:
        with detector:
            return step(*args)

    return watched_step
