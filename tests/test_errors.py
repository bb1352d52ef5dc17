"""The sentences of refusals."""

import pytest

import tinytorch_course as tt
from tinytorch_course.cli.app import run
from tinytorch_course.errors import InputError, naming_arguments

REFUSED = {
    "a number": (lambda: tt.train(epochs=0), "epochs must be at least 1"),
    "two at once": (lambda: tt.train(momentum=0.9), "momentum is for optimizer sgd and rmsprop, but optimizer is adam"),
    "two words": (lambda: tt.train(weight_decay=-1), "weight_decay must be"),
    "a word of Python's": (lambda: tt.train(from_=""), "from_ must be"),
    "of compare": (lambda: tt.compare(steps=1, epochs=2), "steps and epochs both say how long to train"),
    "data": (lambda: tt.data.load("mnits"), "data must be one of auto"),
    "of data": (lambda: tt.data.load("digits", val_size=0), "val_size must be at least 1"),
}


@pytest.mark.parametrize(("call", "sentence"), REFUSED.values(), ids=REFUSED)
def test_in_python_an_option_is_called_by_its_argument(call, sentence):
    with pytest.raises(InputError, match=f"^{sentence}") as refusal:
        call()
    assert "--" not in str(refusal.value)


def test_on_the_command_line_it_is_called_as_it_is_typed(capsys):
    assert run(["train", "--val-size", "0"]) == 2
    assert "--val-size must be" in capsys.readouterr().err


def test_what_is_no_argument_stays_an_option():
    @naming_arguments()
    def refuse(batch_size):
        raise InputError("with --batch-size 3 type `tinytorch train --resume runs/x`")

    with pytest.raises(InputError, match="with batch_size 3 type `tinytorch train --resume runs/x`"):
        refuse(3)
