"""Right answers pass, starting files and typical wrong answers fail, and the learner is told why."""

import collections
import re
from pathlib import Path

import pytest
from exercises.answers import WRONG, answer_to, mistaken_task, start_of, wrong_answer

from tinytorch_course.checking.rows import Answer
from tinytorch_course.errors import InputError
from tinytorch_course.exercises import EXERCISES, Exercise, find_exercise
from tinytorch_course.exercises.grade import grade
from tinytorch_course.grading.child import _Checked

NUMBERS = [exercise.number for exercise in EXERCISES]


@pytest.fixture
def graded(tmp_path):
    """Grades a text, in this process: one of its own for each would take minutes for all."""

    def check(request, timeout):
        return Answer(_Checked(request, tmp_path).row(), "", 0)

    def graded(number, text, tasks=None):
        file = tmp_path / "mine.py"
        file.write_text(text, encoding="utf-8")
        exercise = find_exercise(number)
        return list(grade(Exercise(number, tasks or exercise.tasks), file, 60, check))

    return graded


def told(grades):
    """All that the learner reads."""
    lines = []
    for one in grades:
        findings = one.outcome.row.diagnosis if one.outcome else []
        lines += [one.problem, *(f"{finding['what']}: {finding['sentence']}" for finding in findings), *one.hints]
    return "\n".join(lines)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_answer_passes(graded, number):
    grades = graded(number, answer_to(number))
    assert [one.task for one in grades] == list(find_exercise(number).tasks)
    assert told(grades).strip() == ""
    assert all(one.ok and one.outcome.row.cases > 1 for one in grades)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_starting_file_fails(graded, number):
    grades = graded(number, start_of(number))
    assert not any(one.ok for one in grades)
    for one in grades:
        assert re.match(r"\w+(\.step)? \(line \d+\) is still to be written", one.problem)
        assert one.task.name in one.problem


def test_every_exercise_has_five_wrong_answers():
    assert collections.Counter(wrong.number for wrong in WRONG) == dict.fromkeys(NUMBERS, 5)


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_answer_fails_with_the_right_hint(graded, wrong):
    grades = graded(wrong.number, wrong_answer(wrong), (mistaken_task(wrong),))
    assert not grades[0].ok
    assert re.search(wrong.hint or "it is |sum over|order|shape", told(grades)), told(grades)


def test_only_the_wrong_task_fails(graded):
    text = answer_to("08").replace("1 - out**2", "1 - out")
    assert [one.ok for one in graded("08", text)] == [True, False, True]


def test_a_changed_forward_is_noticed(graded):
    for number, right, wrong in (("15", "+ x).clamp", ").clamp"), ("08", "torch.sigmoid(x)", "torch.tanh(x)")):
        grades = graded(number, answer_to(number).replace(right, wrong))
        assert not grades[0].ok
        assert "out: " in told(grades)


@pytest.mark.parametrize(
    ("body", "used"),
    [
        ("torch.autograd.grad(x.exp().sum(), x)[0]", "autograd"),
        ("torch.func.vjp(torch.relu, x)[1](dout)[0]", "vjp"),
        ("torch.zeros(1, requires_grad=True)", "requires_grad"),
        ("torch.relu(x).backward(dout)", "backward"),
    ],
)
def test_autograd_is_against_the_rules(graded, body, used):
    text = answer_to("08") + f"\n\ndef mine(x, dout):\n    return {body}\n"
    (one, *_) = graded("08", text)
    assert not one.ok
    assert re.fullmatch(rf"line \d+ uses {used}: here gradients and steps are to be written by hand", one.problem)


def test_what_raises_is_named_with_its_line(graded):
    (one, *_) = graded("08", answer_to("08").replace("dout * out * (1 - out)", "dout @ out"))
    assert re.search(r"mine\.py line \d+, in sigmoid_backward: RuntimeError", one.problem)


def test_a_function_that_is_gone(graded):
    (one, *_) = graded("08", answer_to("08").replace("def sigmoid_backward", "def sigmoid_bakward"))
    assert one.problem == "sigmoid_backward is no longer in the file"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"def f(:\n", "line 1: SyntaxError"),
        (b"\x89PNG\x00\x00", "is not a Python file|SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_graded(tmp_path, content, words):
    if content is not None:
        (tmp_path / "mine.py").write_bytes(content)
    with pytest.raises(InputError, match=words):
        list(grade(find_exercise("08"), tmp_path / "mine.py", 60))


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)  # chmod stops no test that runs as root
    with pytest.raises(InputError, match=r"mine\.py' cannot be read \(Permission denied\)"):
        list(grade(find_exercise("08"), tmp_path / "mine.py", 60))


def test_a_folder_cannot_be_graded(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        list(grade(find_exercise("08"), tmp_path, 60))
