import torch

from tinytorch_course.evaluation.display import confusion_lines
from tinytorch_course.evaluation.scores import score


def scores():
    """Of three ants one is called a bee; of 120 bees all are right; the cat is called an ant."""
    answers = torch.tensor([0, 0, 1] + [1] * 120 + [0])
    labels = torch.tensor([0, 0, 0] + [1] * 120 + [2])
    return score(torch.eye(3)[answers], labels, ("ant", "bee", "cat"))


def test_rows_are_true_classes_and_columns_answers(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert list(confusion_lines(scores()))[:5] == [
        "Confusion matrix: rows are true classes, columns are answers",
        "     ant bee cat",
        "ant    2   1   .",
        "bee    . 120   .",
        "cat    1   .   .",
    ]


def test_where_the_terminal_is_too_narrow_it_says_so(monkeypatch):
    monkeypatch.setenv("COLUMNS", "16")  # as wide as the matrix
    assert "     ant bee cat" in list(confusion_lines(scores()))
    monkeypatch.setenv("COLUMNS", "15")
    assert next(iter(confusion_lines(scores()))).startswith("Confusion: 3 x 3 is too wide for this terminal")
