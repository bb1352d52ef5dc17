"""The proof holds on other machines: other rounding, threads, instruction sets, libraries and memory formats.

A short form, on few images. ``python tests/machines.py`` runs whole rooms of tests and all lessons on each machine.
"""

import os
import subprocess
import sys

import pytest
import torch
from lockstep.comparing import Listener, tiny

from tinytorch_course.instruments.rounding import RoundingAdversary
from tinytorch_course.lockstep.compare import compare
from tinytorch_course.lockstep.display import findings
from tinytorch_course.models import MODELS
from tinytorch_course.training.learners import TorchLearner


def assert_the_same(config, steps):
    found = compare(config, steps=steps, tolerance=1e-9, display=Listener())
    assert found.divergence is None, "\n".join(map(str, findings(found)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("model", [name for name in MODELS if not name.startswith("resnet")])
def test_every_network_under_the_adversary(model):
    with RoundingAdversary(1):
        assert_the_same(tiny(model=model, limit=8, batch_size=8), steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("model", [name for name in MODELS if name.startswith("resnet")])
def test_residual_networks_under_the_adversary(model):
    """Adam divides their smallest gradients, which are nothing but rounding: 1e-13 apart becomes 1e-8 apart."""
    with RoundingAdversary(1):
        assert_the_same(tiny(model=model, limit=4, batch_size=4), steps=1)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8])
def test_any_number_of_threads(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert_the_same(tiny(model="mnist_cnn", limit=16, batch_size=8), steps=2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_without_onednn():
    with torch.backends.mkldnn.flags(enabled=False):
        assert_the_same(tiny(model="mnist_cnn", limit=16, batch_size=8), steps=2)


@pytest.mark.slow
def test_a_twin_whose_channels_lie_last(monkeypatch):
    train_step = TorchLearner.train_step

    def channels_last(self, x, *args):
        self.net.to(memory_format=torch.channels_last)
        return train_step(self, x.contiguous(memory_format=torch.channels_last), *args)

    monkeypatch.setattr(TorchLearner, "train_step", channels_last)
    assert_the_same(tiny(model="mnist_cnn", limit=16, batch_size=8), steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_other_instruction_sets(capability):
    """torch reads the variable once, when it is imported; where it knows no such set it takes the best it has."""
    command = "compare --model mnist_cnn --dtype float64 --data digits --limit 16 --batch-size 8 --steps 2 --device cpu"
    done = subprocess.run(
        [sys.executable, "-m", "tinytorch_course", *command.split()],
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
