import csv

import pytest
import torch

from tinytorch_course.errors import InputError
from tinytorch_course.training.options.gradient_log import GradientLog

GRADS = {"fc.weight": torch.tensor([[3.0, 4.0]]), "fc.bias": torch.tensor([-2.0])}


def log_steps(log, first, last, steps_per_epoch):
    for step in range(first, last):
        log.step(*divmod(step, steps_per_epoch), torch.empty(0))
        log.gradients(GRADS)


def rows(folder):
    with open(folder / "gradients.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_parameter_has_a_row_for_each_logged_step(tmp_path):
    log = GradientLog(tmp_path, 2, 0)
    log_steps(log, 0, 3, 2)
    log.save()
    assert [(row["epoch"], row["step"]) for row in rows(tmp_path)[::2]] == [("1", "1"), ("1", "2"), ("2", "3")]
    assert [(row["name"], float(row["norm"])) for row in rows(tmp_path)[:2]] == [("fc.weight", 5), ("fc.bias", 2)]


def test_long_epochs_are_logged_at_about_fifty_steps(tmp_path):
    log = GradientLog(tmp_path, 430, 0)
    log_steps(log, 0, 860, 430)
    log.save()
    steps = [int(row["step"]) for row in rows(tmp_path)[::2]]
    assert steps[:3] == [1, 10, 19]
    assert 431 in steps
    assert len(steps) == 96


@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_a_log_goes_on_where_the_run_does(tmp_path, done):
    """Steps that are repeated, because the process was killed before it saved, are not logged twice."""
    log = GradientLog(tmp_path, 2, 0)
    log_steps(log, 0, 4, 2)
    log.save()
    again = GradientLog(tmp_path, 2, done)
    log_steps(again, done, 6, 2)
    again.save()
    assert [row["step"] for row in rows(tmp_path)[::2]] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("text", ["", "a,b\n", "epoch,step,name,norm\n1,one,w,2\n", "epoch,step,name,norm\n1,1,w\n"])
def test_another_file_of_that_name_is_not_lost(tmp_path, text):
    (tmp_path / "gradients.csv").write_text(text)
    with pytest.raises(InputError, match=r"gradients.csv was not written by --log-gradients"):
        GradientLog(tmp_path, 2, 0)
