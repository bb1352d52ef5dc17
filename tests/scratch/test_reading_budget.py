"""How much there is to read behind one training step: the lines of every function that it calls."""

import inspect
import sys
from pathlib import Path

import pytest
import torch

import tinytorch_course
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import make_learner

PACKAGE = str(Path(tinytorch_course.__file__).parent)


@pytest.mark.parametrize(("model", "budget"), [("softmax", 200), ("mlp", 300), ("mnist_cnn", 500)])
def test_a_step_of_the_textbook_can_be_read(model, budget):
    """Every line counts: docstrings, comments, and those that only close a bracket."""
    step = steps_of(model)
    step()  # in which a run's arguments are checked, once
    lines = {code: len(inspect.getsourcelines(code)[0]) for code in codes_called(step)}
    assert 0 < sum(lines.values()) <= budget, "\n".join(
        f"{count} {code.co_filename} {code.co_name}" for code, count in sorted(lines.items(), key=lambda one: -one[1])
    )


def steps_of(model):
    learner = make_learner(TrainConfig(model=model, ops="textbook"))
    x, y = torch.randn(4, 1, 28, 28), torch.arange(4)
    return lambda: learner.train_step(x, y, torch.Generator(), {"lr": 1e-3})


def codes_called(run):
    """The functions of the package that are called."""
    codes = set()

    def trace(frame, event, argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<"):
            codes.add(code)

    before = sys.getprofile()
    sys.setprofile(trace)
    try:
        run()
    finally:
        sys.setprofile(before)
    return codes
