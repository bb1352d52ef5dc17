import dataclasses
import json

import pytest
from trials import SMALL

from tinytorch_course.cli.app import run
from tinytorch_course.training.loop import train


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    for seed, lr in ((1, 0.1), (2, 1e-9)):
        train(dataclasses.replace(SMALL, model="softmax", seed=seed, lr=lr), out=str(folder / f"run-{seed}"))
    (folder / "damaged").mkdir()
    (folder / "damaged" / "config.toml").write_text("epochs = [")
    return folder


def test_the_best_comes_first_and_what_differs_is_told(several, capsys):
    assert run(["runs", str(several), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)["runs"]
    assert sorted(one["differs"]["seed"] for one in found) == [1, 2]
    assert all(set(one["differs"]) == {"seed", "lr"} for one in found)
    accuracies = [one["test_accuracy"] for one in found]
    assert accuracies == sorted(accuracies, reverse=True)
    assert "damaged" in err
    assert run(["runs", str(several)]) == 0
    assert "lr 1e-09" in capsys.readouterr().out


def test_no_run_is_told(tmp_path, capsys):
    assert run(["runs", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert run(["runs", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err
