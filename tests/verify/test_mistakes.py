import importlib

import pytest

from tinytorch_course.scratch.ops import activation
from tinytorch_course.verify.cases import check_case
from tinytorch_course.verify.mistakes import MISTAKES, Mistake, planted

pytestmark = pytest.mark.filterwarnings("ignore")


def first_rejection(mistake):
    """The first case of the mistake's table that does not pass, and what it said."""
    family = mistake.module.rpartition(".")[2]
    table = importlib.import_module(f"tinytorch_course.verify.case_tables.{family}").TABLE
    with planted(mistake):
        for case in table.cases:
            try:
                check = check_case(table, case)
            except Exception as error:  # a mistake may also break the code
                return case, repr(error)
            if not check.ok:
                return case, str(check)
    return None


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def test_every_planted_mistake_is_rejected(mistake):
    assert first_rejection(mistake) is not None


def test_there_are_at_least_sixty_and_no_name_twice():
    assert len(MISTAKES) >= 60
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES)


def test_planting_is_undone():
    before = activation.relu_backward
    with planted(Mistake("ops.activation", "relu_backward", "out.sign()", "-out.sign()", "a test")):
        assert activation.relu_backward is not before
    assert activation.relu_backward is before


def test_a_harmless_change_is_not_rejected():
    harmless = Mistake("ops.activation", "tanh_backward", "1 - out * out", "1 - out**2", "the same thing")
    assert first_rejection(harmless) is None


def test_text_that_is_no_longer_there_is_noticed():
    with (
        pytest.raises(LookupError, match=r"'1 \+ 1' stands 0 times in ops.activation.relu_backward, not once"),
        planted(Mistake("ops.activation", "relu_backward", "1 + 1", "2", "a test")),
    ):
        pass
