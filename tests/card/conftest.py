import shutil
from types import SimpleNamespace

import pytest

from tinytorch_course.training import loop
from tinytorch_course.training.config import TrainConfig

EVENTS = ("notice", "start", "epoch_start", "step", "epoch_end", "finish")


def train(path, **settings):
    """A short training run of the built-in digits, in ``path``."""
    silent = SimpleNamespace(**dict.fromkeys(EVENTS, lambda *args, **options: None))
    usual = {"data": "digits", "limit": 64, "batch_size": 32, "epochs": 2, "model": "softmax"}
    loop.train(TrainConfig(**usual | settings), out=str(path), display=silent)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with runs from two seeds, and others that do not belong to them."""
    folder = tmp_path_factory.mktemp("runs")
    train(folder / "seed-0")
    train(folder / "seed-1", seed=1)
    train(folder / "slow", seed=2, lr=1e-4)
    train(folder / "few", overfit_batches=1)
    return folder


@pytest.fixture
def runs(trained, tmp_path, monkeypatch):
    """A copy of ``trained`` for a test to spoil, and in its folder's parent."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(trained, tmp_path / "runs")
