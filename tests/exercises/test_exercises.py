import ast
import re

import pytest
from exercises.answers import ANSWERS, answer_to, start_of

from tinytorch_course import lessons
from tinytorch_course.errors import InputError
from tinytorch_course.exercises import EXERCISES, START, find_exercise, write_start

NUMBERS = [exercise.number for exercise in EXERCISES]


def definitions(text):
    """name -> source, with docstring, of every function, methods included."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return {node.name: (ast.get_docstring(node), ast.unparse(node.args), ast.unparse(node)) for node in functions}


def test_every_starting_file_is_listed():
    assert sorted(START.glob("exercise_*.py")) == [exercise.start for exercise in EXERCISES]
    assert sorted(NUMBERS) == NUMBERS == list(ANSWERS)


@pytest.mark.parametrize("exercise", EXERCISES, ids=NUMBERS)
def test_headers(exercise):
    first, _, last = exercise.header
    assert first == f"Exercise {exercise.number}. {exercise.title}"
    assert last == f"Check it with: tinytorch exercise {exercise.number} --check {exercise.start.name}"
    assert exercise.title
    assert exercise.purpose.endswith(".")


def test_titles_are_those_of_the_lessons():
    titles = {lesson.number: lesson.title for lesson in lessons.find_lessons()}
    assert {"04", "08"} <= set(titles)
    for exercise in EXERCISES:
        if exercise.number in ("04", "06", "07", "08"):
            assert exercise.title == titles[exercise.number]


@pytest.mark.parametrize("exercise", EXERCISES, ids=NUMBERS)
def test_what_is_to_be_written(exercise):
    """Each task has one raise, and every function in the file says what its shapes are."""
    text = start_of(exercise.number)
    raised = re.findall(r'raise NotImplementedError\("(.*)"\)', text)
    assert raised == [f"{task.name}.step" if task.name[0].isupper() else task.names[1] for task in exercise.tasks]
    for name, (docstring, *_) in definitions(text).items():
        assert docstring, f"{name} of exercise {exercise.number} has no docstring"


@pytest.mark.parametrize("number", NUMBERS)
def test_answers_change_nothing_else(number):
    start, answer = definitions(start_of(number)), definitions(answer_to(number))
    assert list(start) == list(answer)
    changed = {name for name in start if start[name] != answer[name]}
    assert changed == {name.rpartition(".")[2] for name in ANSWERS[number]}
    assert all(start[name][:2] == answer[name][:2] for name in start)
    assert "NotImplementedError" not in answer_to(number)


@pytest.mark.parametrize(("typed", "number"), [("8", "08"), ("08", "08"), ("13", "13")])
def test_finding(typed, number):
    assert find_exercise(typed).number == number


@pytest.mark.parametrize("typed", ["1", "99", "", "x", "008"])
def test_there_is_no_such_exercise(typed):
    with pytest.raises(InputError, match=f"there is no exercise '{typed}'; there are 02, 04, "):
        find_exercise(typed)


def test_writing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exercise = find_exercise("08")
    (tmp_path / "folder").mkdir()
    for out, file in ((None, "exercise_08.py"), ("folder", "folder/exercise_08.py"), ("folder/my.py", "folder/my.py")):
        path = write_start(exercise, out and tmp_path / out)
        assert path.resolve() == tmp_path / file
        assert path.read_text(encoding="utf-8") == start_of("08")
        with pytest.raises(InputError, match="already exists"):
            write_start(exercise, out and tmp_path / out)


@pytest.mark.parametrize("out", ["nowhere", "nowhere/my.py", "file/my.py"])
def test_no_such_folder(tmp_path, out):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"there is no folder '.*'; create it first"):
        write_start(find_exercise("08"), tmp_path / out)
