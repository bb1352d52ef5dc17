"""The README stays true: its example prints what it says, and its commands exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="the tests run without the repository around them")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_example_prints_what_its_comments_say():
    (example,) = blocks("python")
    expected = re.findall(r"print\(.*\)  # (.*)", example)
    assert len(expected) == 3
    assert len([line for line in example.splitlines() if line]) <= 12
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    assert printed.getvalue().splitlines() == expected


def test_the_two_commands_stand_as_the_ci_expects_them():
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    assert "pip install . && tinytorch train --impl scratch" in commands
    assert 'pip install ".[test]" && pytest' in commands


def test_every_command_shown_is_understood():
    """All lines beginning with tinytorch, up to their options' names, are accepted by the command line."""
    import typer

    from tinytorch_course.cli.app import app

    group = typer.main.get_command(app)
    lines = re.findall(r"tinytorch ([a-z]+)((?: --[a-z-]+)?[^\n`|&]*)", "\n".join(blocks("bash")))
    assert lines
    for name, rest in lines:
        options = {option for parameter in group.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, (name, rest)
