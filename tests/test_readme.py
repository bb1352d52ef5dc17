"""The README stays true: its example prints what it says, and its commands exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
PAGES = [README, *sorted((README.parent / "docs").glob("*.md")), README.parent / "examples" / "README.md"]
pytestmark = pytest.mark.skipif(not README.exists(), reason="the tests run without the repository around them")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_example_prints_what_its_comments_say():
    example, _ = blocks("python")
    expected = re.findall(r"print\(.*\)  # (.*)", example)
    assert len(expected) == 3
    assert len([line for line in example.splitlines() if line]) <= 12
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    assert printed.getvalue().splitlines() == expected


def test_the_weights_in_plain_pytorch(tmp_path, capsys, monkeypatch):
    """The five lines give the run's own figure."""
    import json

    import torch

    import tinytorch_course as tt

    monkeypatch.chdir(tmp_path)
    options = {"data": "digits", "epochs": 3, "batch_size": 32}
    result = tt.train("mlp-32", out="runs/NAME", **options)
    images, labels = tt.data.load("digits").test
    module = tt.models.find_model("mlp-32").build(tt.reference.layers)
    five = blocks("python")[1]
    assert len(five.splitlines()) == 5
    exec(five, {"torch": torch, "json": json, "module": module, "images": images, "labels": labels})
    printed = float(re.search(r"[\d.]+", capsys.readouterr().out)[0])
    assert abs(printed - result.test_accuracy) < 1e-4
    assert printed > 0.8


def test_the_two_commands_stand_as_the_ci_expects_them():
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    assert "pip install . && tinytorch train --impl scratch" in commands
    assert 'pip install ".[test]" && pytest' in commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_is_understood(page):
    """All lines beginning with tinytorch, up to their options' names, are accepted by the command line."""
    import typer

    from tinytorch_course.cli.app import app

    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"(?:^ *|&& )tinytorch ([a-z]+[^\n`|&#]*)", text, flags=re.MULTILINE)
    assert lines or page.name not in ("README.md", "workbench.md")
    for line in lines:
        command, words = typer.main.get_command(app), line.split()
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
