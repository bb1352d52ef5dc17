"""The site: the lessons as pages, executed, with the other pages around them. ``python -m sphinx docs site``.

MyST-NB runs each lesson as the notebook that ``tinytorch lesson NN --notebook`` writes and keeps text, code, output and
pictures on one page; sphinx-book-theme is made for books of notebooks: search, a dark mode, phones, downloads. Formulas
become MathML while the site is built, so that no page needs a network.
"""

import ast
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).parent.parent))
from tinytorch_course import __version__, lessons

HERE = Path(__file__).parent
PAGES = HERE / "lessons"  # made, and not kept
REPOSITORY = "https://github.com/tinytorch-course/tinytorch-course"
COLAB = "https://colab.research.google.com/github/tinytorch-course/tinytorch-course/blob/site/_static/downloads"

FIGURES = {  # lesson -> what there is to play with: the file in _static/interactive, its height, a title
    "04": ("rate", 560, "Descent by learning rate"),
    "07": ("softmax", 440, "Scores, temperature, probabilities"),
    "08": ("boundary", 860, "A boundary that is learned as you watch"),
    "10": ("optimizers", 620, "Four optimizers in one valley"),
}

project, author, release = "tinytorch_course", "The developers of tinytorch_course", __version__
html_title = "tinytorch_course"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["pictures", "_build"]
html_theme = "sphinx_book_theme"
html_theme_options = {
    "repository_url": REPOSITORY,
    "use_repository_button": True,
    "use_download_button": True,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "navbar_persistent": [],
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
suppress_warnings = ["myst.header", "myst.xref_missing"]  # pages that are read on GitHub too

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
myst_url_schemes = {"http": None, "https": None, "mailto": None}
nb_execution_mode = os.environ.get("TINYTORCH_SITE_RUNS", "cache")  # off: the lessons' text and code alone
nb_execution_timeout = 900  # seconds for one cell, on a machine that has other things to do
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"
autodoc_member_order = "bysource"
autodoc_typehints = "description"

os.environ.update(TINYTORCH_OUT=tempfile.mkdtemp(), MPLBACKEND="Agg")  # of the kernels


def write_lessons() -> None:
    """Each script as a page to be executed, and as a notebook and a script to be downloaded."""
    downloads = HERE / "_static" / "downloads"
    for folder in (PAGES, downloads):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for lesson in lessons.find_lessons():
        name = lesson.path.stem
        shutil.copy(lesson.path, downloads)
        notebook = lessons.to_notebook(lesson)
        (downloads / f"{name}.ipynb").write_text(json.dumps(in_colab(notebook)), encoding="utf-8")
        (PAGES / f"{name}.ipynb").write_text(json.dumps(as_page(notebook, lesson), indent=1), encoding="utf-8")


def in_colab(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook, preceded by a cell that installs the package where it is not."""
    install = f"# In Colab: the package and its data.\n%pip install -q git+{REPOSITORY}"
    return {**notebook, "cells": [code_cell(install, "install"), *notebook["cells"]]}


def as_page(notebook: dict[str, Any], lesson: lessons.Lesson) -> dict[str, Any]:
    """The notebook with a head for readers, its asserts folded away, and each picture below the code that saves it."""
    name = lesson.path.stem
    head = (
        f"# {lesson.number}. {lesson.title}\n\n*What you learn:* {lesson.learn}\n\n"
        f"About {lesson.seconds} s on 2 CPU cores. "
        f"{{download}}`Script <../_static/downloads/{name}.py>` · "
        f"{{download}}`notebook <../_static/downloads/{name}.ipynb>` · "
        f"[open in Colab]({COLAB}/{name}.ipynb) · in a terminal: `tinytorch lesson {lesson.number}`"
    )
    cells = [{**notebook["cells"][0], "source": head}]
    for number, cell in enumerate(notebook["cells"][1:]):
        if cell["cell_type"] != "code":
            cells.append(cell)
            continue
        code, checks = split_asserts("".join(cell["source"]))
        cells += [code_cell(text, f"{number}-{tag}", tag) for text, tag in ((code, ""), (checks, "hide-input")) if text]
        for picture in re.findall(r'"\d\d_\w+\.(?:png|gif)"', code):
            shown = f"from IPython.display import Image\n\nImage(OUT / {picture})"
            cells.append(code_cell(shown, f"{number}-{len(cells)}", "remove-input"))
    if lesson.number in FIGURES:
        last = next(i for i, cell in enumerate(cells) if "".join(cell["source"]).startswith("## What torch does here"))
        cells.insert(last, {**notebook["cells"][0], "id": "figure", "source": figure(*FIGURES[lesson.number])})
    return {**notebook, "cells": cells}


def figure(name: str, height: int, title: str) -> str:
    """An interactive figure as Markdown with a frame in it."""
    page = f"../_static/interactive/{name}.html"
    frame = f'<iframe src="{page}" title="{title}" width="100%" height="{height}" loading="lazy"></iframe>'
    return f"## To play with: {title[0].lower()}{title[1:]}\n\n{frame}"


def split_asserts(code: str) -> tuple[str, str]:
    """A cell's code, and the asserts that end it."""
    lines, body = code.split("\n"), ast.parse(code).body
    while body and isinstance(body[-1], ast.Assert):
        end = body.pop().lineno - 1
    if not body or len(body) == len(ast.parse(code).body):
        return code, ""
    return "\n".join(lines[:end]).rstrip(), "\n".join(lines[end:])


def code_cell(source: str, name: str, tag: str = "") -> dict[str, Any]:
    metadata = {"tags": [tag], "mystnb": {"code_prompt_show": "What is asserted"}} if tag else {}
    cell = {"cell_type": "code", "id": f"page-{name}", "source": source, "execution_count": None, "outputs": []}
    return {**cell, "metadata": metadata}


def visit_math(self: Any, node: nodes.Element) -> None:
    """A formula as MathML, which browsers draw by themselves."""
    block = isinstance(node, nodes.math_block)
    formula = convert(node.astext(), display="block" if block else "inline")
    self.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def mend_docstring(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Docstrings write products as a * b, which is no emphasis, and sources right below the arguments."""
    text = "\n".join(lines).replace("*", "\\*")
    lines[:] = re.sub(r"\n(\S+: )", r"\n\n\1", text).split("\n")


def setup(app: Any) -> None:
    write_lessons()
    app.connect("autodoc-process-docstring", mend_docstring, priority=900)
    renderers = (visit_math, None)
    app.registry.html_inline_math_renderers["mathml"] = renderers
    app.registry.html_block_math_renderers["mathml"] = renderers
    app.config.html_math_renderer = "mathml"
