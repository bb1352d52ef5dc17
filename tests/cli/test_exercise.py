import json
import subprocess
import sys

import pytest
from exercises.answers import answer_to

from tinytorch_course.cli.app import run
from tinytorch_course.exercises import EXERCISES


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_list(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["exercise"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines if line[0] != " "] == [exercise.number for exercise in EXERCISES]
    assert "08  Shallow networks: sigmoid_backward, tanh_backward, relu_backward" in lines


def test_list_as_json(capsys):
    assert run(["exercise", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["number"] for one in listed] == [exercise.number for exercise in EXERCISES]
    assert set(listed[0]) == {"number", "title", "purpose", "tasks"}
    assert next(one for one in listed if one["number"] == "10")["tasks"] == ["SGD", "Adam"]


@pytest.mark.slow
def test_from_start_to_answer(here, capsys):
    """In processes of their own, as a learner's code runs."""
    assert run(["exercise", "5"]) == 0
    out = capsys.readouterr().out
    assert out == ("Exercise 05 is in exercise_05.py; check it with: tinytorch exercise 05 --check exercise_05.py\n")
    file = here / "exercise_05.py"
    assert run(["exercise", "05", "--check", "exercise_05.py"]) == 1
    out = capsys.readouterr().out
    assert "TO DO: SGD.step (line 23) is still to be written" in out
    assert out.splitlines()[-1] == "Exercise 05: 0 of 1 right."
    assert run(["exercise", "05", "--check", "exercise_05.py", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (task,) = document["tasks"]
    assert (document["ok"], task["task"], task["ok"], task["row"]) == (False, "SGD", False, None)
    assert task["problem"].startswith("SGD.step (line 23) is still to be written")

    file.write_text(answer_to("05"), encoding="utf-8")
    assert run(["exercise", "05", "--check", "exercise_05.py", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"]
    assert document["tasks"][0]["row"]["cases"] > 1


@pytest.mark.usefixtures("same_process")
def test_a_wrong_answer(here, capsys):
    (here / "mine.py").write_text(answer_to("15").replace(" + dsum, dweight1", ", dweight1"), encoding="utf-8")
    assert run(["exercise", "15", "--check", "mine.py"]) == 1
    out, err = capsys.readouterr()
    assert "Hint: dx: x reaches out along two paths" in out
    assert "central differences alone" not in out + err
    assert out.splitlines()[-1] == "Exercise 15: 0 of 1 right."


@pytest.mark.slow
def test_an_endless_answer_is_stopped(here, capsys):
    text = answer_to("05").replace(
        "for p in self.params:", "while True:\n            pass\n        for p in self.params:"
    )
    (here / "mine.py").write_text(text, encoding="utf-8")
    assert run(["exercise", "05", "--check", "mine.py", "--timeout", "0.5"]) == 1
    assert "did not end within 0.5 seconds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["99"], "there is no exercise '99'"),
        (["--out", "x"], "need an exercise's number"),
        (["--check", "x.py"], "need an exercise's number"),
        (["8", "--json"], "--json is for the list and for --check"),
        (["8", "--out", "nowhere"], "there is no folder 'nowhere"),
        (["8", "--out", "there.py"], "'there.py' already exists, and may be your work"),
        (["8", "--out", "x" * 300 + ".py"], "cannot be written"),
        (["8", "--check", "bytes.py"], "'bytes.py' is not a Python file"),
        (["8", "--check", "nowhere.py"], "the file 'nowhere.py' does not exist"),
        (["8", "--check", "there.py", "--out", "x"], "leave out one"),
        (["8", "--check", "there.py", "--timeout", "0"], "--timeout must be above 0"),
        (["8", "--check", "there.py", "--timeout", "soon"], "--timeout must be a number"),
    ],
    ids=" ".join,
)
def test_refusals(here, capsys, arguments, words):
    (here / "there.py").write_text("mine = 1\n")
    (here / "bytes.py").write_bytes(b"\xff\xfe\x00")
    assert run(["exercise", *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert len(err.splitlines()) == 1
    assert (here / "there.py").read_text() == "mine = 1\n"


def test_listing_and_writing_need_no_torch():
    code = (
        "import sys; from tinytorch_course.cli.app import run; "
        "run(['exercise']), run(['exercise', '8']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)
