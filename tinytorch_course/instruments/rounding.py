"""The rounding adversary: another machine, simulated.

Another make of CPU, another number of threads or another library adds up in another order, and its results differ in
the last digit. Nothing that is right may depend on it. While :class:`RoundingAdversary` is open, every floating-point
result of a convolution, a matrix product, a normalisation, a reduction or a fused multiply-add is moved by up to one
unit in the last place, at random. It works below autograd, so that both halves of torch's own step are moved too.

``python -m tinytorch_course.instruments.rounding --seed 3 script.py`` runs a script on such a machine, and
``... --seed 3 -m tinytorch_course compare --dtype float64`` a command.
"""

import argparse
import contextlib
import functools
import os
import runpy
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from tinytorch_course.caches import parts_of

# What two machines may round differently. All else (one operation of IEEE 754 an element, comparisons, copies) is the
# same everywhere. Maxima choose and do not round: they are not among these.
PRODUCTS = "convolution convolution_backward mm addmm addmm_ bmm baddbmm baddbmm_ mv addmv dot vdot addr linear"
NORMALIZATIONS = (
    "native_batch_norm _native_batch_norm_legit _batch_norm_with_update _batch_norm_no_update cudnn_batch_norm "
    "native_layer_norm native_group_norm native_batch_norm_backward batch_norm_backward native_layer_norm_backward "
    "native_group_norm_backward"
)
REDUCTIONS = (
    "sum nansum mean var var_mean std std_mean norm linalg_vector_norm _foreach_norm prod cumsum logsumexp _softmax "
    "_log_softmax _softmax_backward_data _log_softmax_backward_data nll_loss_forward mse_loss smooth_l1_loss "
    "huber_loss binary_cross_entropy avg_pool2d _adaptive_avg_pool2d avg_pool2d_backward _adaptive_avg_pool2d_backward"
)
FUSED = "addcmul addcmul_ addcdiv addcdiv_ lerp lerp_ _foreach_addcmul_ _foreach_addcdiv_ _foreach_lerp_"
MOVED = frozenset(f"{PRODUCTS} {NORMALIZATIONS} {REDUCTIONS} {FUSED}".split())
MOVES = 2**20 + 7  # drawn once, and begun anywhere: drawing them anew for every result would take most of the time
_BITS = {torch.float64: torch.int64, torch.float32: torch.int32}
_LAST_DIGITS = {torch.float64: 2**26 - 1, torch.float32: 2**11 - 1}  # the lower half of the significand


class RoundingAdversary(TorchDispatchMode):
    """While this is open, results that machines round differently are moved by −1, 0 or 1 unit in the last place.

    It is one machine, as real ones are: the same operation on the same numbers always gives the same bits, whatever
    went before. Numbers whose last digits are all zero stay what they are, for a sum of zeros or of small integers is
    exact everywhere; and so do infinities, NaNs and half precisions.

    Args:
        seed: which machine.

    Attributes:
        moved: how many results (tensors) have been moved.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed, self.moved, self._moves = seed, 0, _draw(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "aten":  # torch.export asks for a tensor's device by prim::device, which has no kernel
            with self:  # under inference mode, operations that are made of others come here whole
                results = func.decompose(*args, **kwargs)
            if results is not NotImplemented:
                return results
        results = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name in MOVED:
            for result in parts_of(args[0] if results is None else results, Tensor):  # _foreach_..._ gives None back
                if result.dtype in _BITS and result.numel() and not _is_empty_shell(result):
                    self._move(name, result)
        return results

    def _move(self, name: str, result: Tensor) -> None:
        """Move a result in place. Which way its entries go depends on the operation and on its bits alone."""
        self.moved += 1
        bits = result.view(_BITS[result.dtype])  # of two neighbours of one sign, read as integers: they differ by one
        begin = zlib.crc32(f"{self.seed} {name} {tuple(result.shape)} {int(bits.sum())}".encode()) % MOVES
        moves = self._moves.roll(-begin) if result.numel() > MOVES - begin else self._moves[begin:]
        moves = moves.repeat(-(-result.numel() // len(moves)))[: result.numel()].view(result.shape).to(result.device)
        bits.add_(moves * ((bits & _LAST_DIGITS[result.dtype] != 0) & result.isfinite()))


def _is_empty_shell(tensor: Tensor) -> bool:
    """Whether it has a shape but no numbers, as where a network is exported or compiled."""
    return tensor.is_meta or isinstance(tensor, FakeTensor)


@functools.lru_cache(maxsize=8)
def _draw(seed: int) -> Tensor:
    return torch.randint(-1, 2, (MOVES,), generator=torch.Generator().manual_seed(seed), dtype=torch.int8)


def main() -> None:
    """Run a Python script, or a module with -m, under the adversary."""
    parser = argparse.ArgumentParser(
        prog="python -m tinytorch_course.instruments.rounding",
        usage="%(prog)s [--seed N] (SCRIPT | -m MODULE) [ARGUMENT ...]",
        description=main.__doc__,
    )
    parser.add_argument("--seed", type=int, default=0, help="which machine (default: 0)")
    parser.add_argument("-m", dest="module", action="store_true", help="what follows is the name of a module")
    parser.add_argument("program", help="the script or the module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="that it is given")
    wanted = parser.parse_args()
    sys.argv = [wanted.program, *wanted.arguments]
    with RoundingAdversary(wanted.seed), _children(wanted.seed):
        if wanted.module:
            runpy.run_module(wanted.program, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(wanted.program, run_name="__main__")


@contextlib.contextmanager
def _children(seed: int) -> Iterator[None]:
    """While this is open, Python processes that are started run on the same machine."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        enter = f"from {__spec__.name} import RoundingAdversary\nRoundingAdversary({seed}).__enter__()\n"
        Path(folder, "sitecustomize.py").write_text(enter, encoding="utf-8")  # what Python imports when it starts
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, [before.get("PYTHONPATH")])])
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


if __name__ == "__main__":
    main()
