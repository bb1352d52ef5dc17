"""The site's pages, without building it: what is made of each lesson."""

import ast
import importlib.util
from pathlib import Path

import pytest

from tinytorch_course import lessons

DOCS = Path(__file__).parent.parent / "docs"
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="the tests run without the repository around them")


@pytest.fixture(scope="module")
def conf():
    for name in ("docutils", "latex2mathml", "sphinx"):
        pytest.importorskip(name, reason=f"{name}, of the extra docs, is not installed")
    spec = importlib.util.spec_from_file_location("site_conf", DOCS / "conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("lesson", lessons.find_lessons(), ids=lambda lesson: lesson.number)
def test_a_page_has_all_that_the_script_has(conf, lesson):
    """Nothing of the code is lost by folding the asserts away, and every picture is shown once."""
    notebook = lessons.to_notebook(lesson)
    page = conf.as_page(notebook, lesson)
    shown = [cell for cell in page["cells"] if cell["cell_type"] == "code"]
    ours = [cell for cell in shown if "remove-input" not in cell["metadata"].get("tags", [])]
    joined = ast.parse("\n".join(text_of(cell) for cell in ours))
    script = ast.parse("\n".join(text_of(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"))
    assert ast.dump(joined) == ast.dump(script)
    pictures = [text_of(cell) for cell in shown if cell not in ours]
    drawn = [word for word in lesson.path.read_text("utf-8").split('"') if word.startswith(f"{lesson.number}_")]
    assert len(pictures) == len({name for name in drawn if name.endswith(".png")})
    assert text_of(page["cells"][0]).startswith(f"# {lesson.number}. {lesson.title}\n")
    assert len({cell["id"] for cell in page["cells"]}) == len(page["cells"])


def test_asserts_at_the_end_are_folded_away(conf):
    code = "x = 1\nassert x\ny = 2\nassert y == 2, (\n    'two'\n)\nassert x\n"
    assert conf.split_asserts(code) == ("x = 1\nassert x\ny = 2", "assert y == 2, (\n    'two'\n)\nassert x\n")
    assert conf.split_asserts("assert True") == ("assert True", "")
    assert conf.split_asserts("x = 1") == ("x = 1", "")


@pytest.mark.parametrize("name", ["rate", "softmax", "boundary", "optimizers"])
def test_interactive_figures_need_no_network(conf, name):
    assert name in {figure[0] for figure in conf.FIGURES.values()}
    page = (DOCS / "_static" / "interactive" / f"{name}.html").read_text(encoding="utf-8")
    assert "http" not in page
    assert 'src="common.js"' in page
