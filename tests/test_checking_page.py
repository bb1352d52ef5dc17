"""The examples of docs/checking.md give the answers that stand there."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tinytorch_course.checking.rows import Answer, Row
from tinytorch_course.cli.app import run
from tinytorch_course.grading import own_code
from tinytorch_course.grading.child import _Checked

PAGE = Path(__file__).parents[1] / "docs" / "checking.md"
BLOCK = r"```python\n(# (\S+)\n.+?)```\n\n```\n\$ tinytorch (.+?)\n(.+?)```"
EXAMPLE = re.compile(rf"^### (.+?)\n\n{BLOCK}", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[0])
def test_the_answer_is_as_shown(example, tmp_path, monkeypatch, capsys):
    _, code, file, command, answer = example
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).write_text(code, encoding="utf-8")

    def check_here(request, timeout, progress):
        """In this process, which has torch already."""
        checked = _Checked(request, tmp_path)
        row = checked.row()
        request.budget = min(request.budget, 3.0)
        own_code.with_repair(row, None if row.ok else checked.repair())
        return Answer(Row.from_dict(json.loads(json.dumps(row.to_dict()))), "", 0)

    monkeypatch.setattr(own_code, "check_own_code", check_here)
    assert run(shlex.split(command)) == ("WRONG" in answer)
    shown = "".join(capsys.readouterr())
    for line in answer.splitlines():
        assert line in shown, shown


def test_there_are_ten():
    if not PAGE.exists():
        pytest.skip("the docs are not here")
    assert len(EXAMPLES) == PAGE.read_text(encoding="utf-8").count("\n### ") == 10
