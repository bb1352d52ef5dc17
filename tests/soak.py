"""An hour of training, evaluating and saving: ``python tests/soak.py 3600``.

Memory and throughput must be flat within 2 % between the first tenth and the last, and no file may be left open. A step
is timed by the processor's time of this process, so that other programs disturb little.
"""

import contextlib
import dataclasses
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from trials import Display

from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.loop import Interrupted, train

CONFIG = TrainConfig(model="mini_cnn", data="digits", epochs=1_000_000, schedule="constant", checkpoint_every=20)
FLAT = 0.02


@dataclasses.dataclass
class Sample:
    """What an epoch took and what it left."""

    memory: int  # bytes that are resident
    files: int  # that are open
    seconds: float  # of processor time


class Watch(Display):
    """Measures after every epoch, and ends the run with a signal when the time is over."""

    def __init__(self, seconds):
        super().__init__()
        self.end, self.cpu, self.samples = time.monotonic() + seconds, time.process_time(), []

    def step(self, step, loss, accuracy, lr):
        pass  # the losses of an hour would be a leak of our own

    def epoch_end(self, row):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        cpu = time.process_time()
        memory = pages * os.sysconf("SC_PAGE_SIZE")
        self.samples.append(Sample(memory, len(os.listdir("/proc/self/fd")), cpu - self.cpu))
        self.cpu = cpu
        if time.monotonic() > self.end:
            os.kill(os.getpid(), signal.SIGTERM)  # SIGINT is ignored in the background of a shell


def soak(seconds, impl):
    """What was seen, as lines, and whether all was flat."""
    watch = Watch(seconds)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Interrupted):
        train(dataclasses.replace(CONFIG, impl=impl), out=str(Path(folder) / "run"), display=watch)
    tenth = max(1, len(watch.samples) // 10)
    first, last = watch.samples[1 : 1 + tenth], watch.samples[-tenth:]
    lines, flat = [f"{impl}: {len(watch.samples)} epochs, each evaluated, saved and drawn, in {seconds:.0f} s"], True
    for name, unit in (("memory", 1e6), ("seconds", 1.0), ("files", 1)):
        before, after = (statistics.median(getattr(one, name) for one in part) / unit for part in (first, last))
        change = after / before - 1
        flat &= change <= (0 if name == "files" else FLAT)
        lines.append(f"  {name}: {before:.4g} in the first tenth, {after:.4g} in the last, {change:+.1%}")
    return lines, flat


if __name__ == "__main__":
    total = float(sys.argv[1]) if len(sys.argv) > 1 else 3600.0
    torch.set_num_threads(1)
    results = [soak(total / 2, impl) for impl in ("scratch", "torch")]
    print("\n".join(line for lines, _ in results for line in lines))
    sys.exit(not all(flat for _, flat in results))
