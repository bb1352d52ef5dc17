"""examples/README.md lists the lessons as they are: every one, in order, with the time that its header says."""

import re
from pathlib import Path

import pytest

from tinytorch_course.lessons import find_lessons

PAGE = Path(__file__).parents[2] / "examples" / "README.md"
LESSONS = find_lessons()
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the tests run without the repository around them")


def test_the_table_holds_every_lesson():
    rows = re.findall(r"^\| \[(\d\d) [^]]+\]\((\S+)\) \| .+ \| (\d+) s \|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert rows == [(lesson.number, lesson.path.name, str(lesson.seconds)) for lesson in LESSONS]


def test_what_it_links_to_is_there():
    targets = re.findall(r"\]\(([^)\s]+)\)", PAGE.read_text(encoding="utf-8"))
    pictures = [PAGE.parent / target for target in targets if target.endswith(".png")]
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []
    assert len(pictures) >= 4
    assert all(picture.stat().st_size < 100_000 for picture in pictures)


def test_its_commands_are_understood():
    """Each command exists and has the options shown."""
    import typer

    from tinytorch_course.cli.app import app

    group = typer.main.get_command(app)
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    lines = re.findall(r"^tinytorch ([a-z]+)([^#\n]*)", "\n".join(blocks), re.M)
    assert len(lines) >= 10
    for name, rest in lines:
        options = {option for parameter in group.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, (name, rest)
