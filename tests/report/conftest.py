import dataclasses
import json
import shutil
from types import SimpleNamespace

import pytest

from tinytorch_course.training import loop
from tinytorch_course.training.config import TrainConfig


def train(path, **settings):
    """A short training run of the built-in digits, in ``path``."""
    silent = SimpleNamespace(
        **dict.fromkeys(
            ("notice", "start", "epoch_start", "step", "epoch_end", "finish"), lambda *args, **options: None
        )
    )
    config = TrainConfig(**{"data": "digits", "limit": 64, "batch_size": 32, "epochs": 2} | settings)
    loop.train(config, out=str(path), display=silent)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The run folder of a convolutional network, trained from scratch, with its gradients logged."""
    return train(tmp_path_factory.mktemp("runs") / "scratch", model="lenet5", log_gradients=True)


@pytest.fixture(scope="session")
def torch_trained(tmp_path_factory):
    """The run folder of another network, trained by torch, in double precision."""
    return train(tmp_path_factory.mktemp("runs") / "torch", model="mlp-16", impl="torch", dtype="float64", epochs=3)


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of ``trained`` for a test to spoil."""
    return shutil.copytree(trained, tmp_path / "copy")


@pytest.fixture
def stopped(copy):
    """As ``trained``, but stopped: of four epochs it has done two, and there is no result."""
    (copy / "result.json").unlink()
    config = (copy / "config.toml").read_text()
    assert "epochs = 2" in config
    (copy / "config.toml").write_text(config.replace("epochs = 2", "epochs = 4"))
    return copy


@pytest.fixture(scope="session")
def compared(tmp_path_factory):
    """The folder of a comparison step by step, which ended at a planted mistake."""
    from tinytorch_course.cli.app import run

    path = tmp_path_factory.mktemp("runs") / "compared"
    command = (
        "compare --data digits --model softmax --limit 64 --batch-size 32 --steps 3 --inject adam-no-bias-correction"
    )
    assert run([*command.split(), "--out", str(path)]) == 1
    return path


@pytest.fixture
def seeds(tmp_path):
    """The folder of a comparison over three seeds."""
    from tinytorch_course.lockstep.compare import SeedComparison, SeedRun

    runs = [SeedRun(seed, {"scratch": 0.9 + 0.01 * seed, "torch": 0.91}) for seed in range(3)]
    found = SeedComparison(dataclasses.replace(TrainConfig(), data="digits"), "cpu", None, 11, 300, runs)
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "seeds.json").write_text(json.dumps(found.to_dict()))
    return tmp_path / "seeds"
