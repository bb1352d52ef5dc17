"""docs/api.md is what docs/make_api.py makes of the docstrings."""

import importlib.util
from pathlib import Path

import pytest

import tinytorch_course as tt

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def maker():
    if not DOCS.exists():
        pytest.skip("the docs are not here")
    spec = importlib.util.spec_from_file_location("make_api", DOCS / "make_api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_in_step(maker):
    assert (DOCS / "api.md").read_text(encoding="utf-8") == maker.page(), "run: python docs/make_api.py"


def test_every_line_says_something(maker):
    for line in maker.page().splitlines():
        if not line.startswith("- `tt.reference"):  # the twins are named like ours, which have the docstrings
            assert not line.endswith(")`"), f"{line} has no docstring"


def test_every_name_of_the_face_is_on_it(maker):
    page = maker.page()
    for name in tt.__all__:
        assert f"tt.{name}" in page


def test_a_line_is_the_call_and_the_first_sentence(maker):
    def toy(x, *, size: int = 3, notify=print):
        """Plays with :func:`x`, and no more: really. A second sentence.

        And a paragraph.
        """

    assert maker.entry("tt.toy", toy) == "- `tt.toy(x, *, size=3, notify=...)`: Plays with `x`, and no more: really."
