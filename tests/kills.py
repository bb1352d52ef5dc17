"""Runs killed at every write and at random moments, then begun again: ``python tests/kills.py 200``.

Every run must end with the bits of one that nobody disturbed, with its whole history, and without a stray file. One
process imports torch and forks the victims. The places to be killed at are before and after every step of every write:
removing what is in the way, opening, forcing to the disk, renaming.
"""

import dataclasses
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch._dynamo  # torch.optim would import it anew in every child
from trials import SMALL, final_state, same

from tinytorch_course import data
from tinytorch_course.errors import InputError
from tinytorch_course.training import loop
from tinytorch_course.training.runs import RunFolder

EVERY = {"checkpoint_every": 1}
RUNS = {  # what is trained
    "softmax": dataclasses.replace(SMALL, model="softmax", **EVERY),
    "mlp, torch": dataclasses.replace(SMALL, model="mlp-16", impl="torch", optimizer="sgd", **EVERY),
    "mini_cnn, average": dataclasses.replace(SMALL, model="mini_cnn", ema=0.9, augment="shift", **EVERY),
    "mnist_cnn": dataclasses.replace(SMALL, log_gradients=True, **EVERY),
    "mnist_cnn, torch": dataclasses.replace(SMALL, impl="torch", schedule="cosine", clip_norm=1.0, **EVERY),
}
FILES = {"config.toml", "data.json", "history.jsonl", "last.pt", "model.pt", "result.json", ".lock"}
LONGEST = 60.0  # seconds that a run may take, or it hangs


class Fuse:
    """Counts the steps of all writes of this process, and kills it at one of them."""

    def __init__(self, at=None):
        self.at, self.count = at, 0

    def spark(self):
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function):
        def wrapped(*args, **options):
            self.spark()
            result = function(*args, **options)
            self.spark()
            return result

        return wrapped

    def install(self):
        for name in ("fsync", "replace", "unlink", "open", "mkdir"):
            setattr(os, name, self.around(getattr(os, name)))
        return self


def in_child(work):
    """Run ``work`` in a process of its own; its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    return child


def wait(child, until=None):
    """Its exit code; killed at ``until`` seconds from now, if it lives so long."""
    deadline = time.monotonic() + (LONGEST if until is None else until)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGKILL if until is not None else "hangs"
        time.sleep(0.001)


def count_steps(config, folder):
    """How many places there are to be killed at in a whole run, and how long one takes."""
    fuse, began = Fuse(), time.monotonic()

    def work():
        fuse.install()
        loop.train(config, out=str(folder))
        folder.with_suffix(".count").write_text(str(fuse.count))

    assert wait(in_child(work)) == 0
    return int(folder.with_suffix(".count").read_text()), time.monotonic() - began


def go_on(config, folder, by_resume):
    """As a person does: with the same command, or with --resume where the folder knows its settings."""
    if by_resume and (folder / "config.toml").exists():
        loop.resume(str(folder))
    else:
        try:
            loop.train(config, out=str(folder))
        except InputError:  # it had ended already
            loop.resume(str(folder))


def problem_of(folder, expected, config):
    """What is wrong with a run that has ended; None if nothing is."""
    found = {path.name for path in folder.iterdir()}
    wanted = FILES | ({"gradients.csv"} if config.log_gradients else set())
    if found != wanted:
        return f"files: {sorted(found ^ wanted)}"
    if not same(final_state(folder), expected):
        return "other bits"
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    if [row["epoch"] for row in rows] != [1, 2]:
        return f"history of {len(rows)} epochs"
    return None


def attack(trials, seed=0, names=tuple(RUNS)):
    """Kill so many runs; what went wrong, in sentences, and at how many writes they were killed."""
    torch.set_num_threads(1)
    dataset = data.load(SMALL.data, limit=SMALL.limit)  # once for all
    data.load = lambda *_, **__: dataset
    RunFolder.plot_curves = lambda *_: None  # takes longer than the run, and writes as the others do
    chance, problems, at_writes = random.Random(seed), [], 0
    with tempfile.TemporaryDirectory() as place:
        known = {}
        for name in names:
            folder = Path(place) / name
            known[name] = (*count_steps(RUNS[name], folder), final_state(folder))
        # Half of the kills go through all places in turn, beginning with those of the first run.
        places = [(name, at) for name in names for at in range(1, known[name][0] + 1)]
        if trials < 2 * len(places):
            places = sorted(chance.sample(places, trials - trials // 2))
        for trial in range(trials):
            name, at = places[trial] if trial < len(places) else (chance.choice(names), None)
            config, folder = RUNS[name], Path(place) / f"trial-{trial}"
            seconds, expected = known[name][1:]
            child = in_child(
                lambda at=at, config=config, folder=folder: (Fuse(at).install(), loop.train(config, out=str(folder)))
            )
            code = wait(child, None if at else chance.uniform(0, seconds))
            at_writes += at is not None and code == -signal.SIGKILL
            code = wait(in_child(lambda: go_on(config, folder, by_resume=trial % 2)))  # noqa: B023, it is run at once
            problem = f"going on ended with {code}" if code else problem_of(folder, expected, config)
            if problem:
                problems.append(f"trial {trial}, {name}, {'at write ' + str(at) if at else 'at random'}: {problem}")
    return problems, at_writes


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    began = time.monotonic()
    failures, writes = attack(count)
    print("\n".join(failures))
    print(f"{count} runs killed, {writes} of them at a write: {count - len(failures)} ended with the same bits, "
          f"whole histories and no stray file ({time.monotonic() - began:.0f} s).")  # fmt: skip
    sys.exit(bool(failures))
