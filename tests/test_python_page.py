"""The examples of docs/python.md, run one after the other."""

import doctest
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


@pytest.mark.slow
def test_the_examples_do_what_the_page_says(tmp_path, monkeypatch):
    if not PAGE.exists():
        pytest.skip("the docs are not here")
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report = []
    runner.run(examples, out=report.append)
    assert runner.failures == 0, "".join(report)
    assert runner.tries > 40


def test_the_loop_is_of_fifteen_lines_at_most():
    loop = PAGE.read_text(encoding="utf-8").partition("A training loop from its parts")[2].partition("value.item()")[0]
    lines = [line for line in loop.splitlines() if line.startswith((">>>", "..."))]
    assert 10 < len(lines) <= 15
