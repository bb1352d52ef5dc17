"""What is added in its few places is known to every command; and everything of ours has all that belongs to it."""

import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checking.mistakes.table import MISTAKES

from tinytorch_course import reference, scratch
from tinytorch_course.checking.case_tables.optimizers import OPTIMIZERS
from tinytorch_course.checking.explain import explain
from tinytorch_course.checking.ops import OPS, layer_cases
from tinytorch_course.checking.suite import subjects
from tinytorch_course.training.config import OPTIMIZER_DEFAULTS, SCHEDULE_NAMES

TESTS = Path(__file__).parent
RUN = "run"
# What is typed, one after the other in one process; and what must be in the answer.
COMMANDS = {
    "--help": ["hello  ", "Say hello."],
    "hello": ["Hello from a toy."],
    "train --help": ["stripes", "heavy_sgd"],
    "check --list": ["stretch", "fourth_power", "heavy_sgd", "toy_net"],
    "check --op stretch --explain": ["stretch", "out = limits[1]", "toys.py"],
    "check --op fourth_power --explain": ["fourth_power", "loss = mean"],
    "check --op heavy_sgd --explain": ["heavy_sgd", "SGD with half"],
    "check --op toy_net": ["toy_net"],
    "bench --op stretch --repeat 1": ["stretch"],
    "bench --model toy_net --repeat 1": ["toy_net", " 4 "],
    "models": ["toy_net"],
    "summary toy_net": ["stretch"],
    "data list": ["stripes", "tests/toys.py"],
    "data show stripes": ["toy stripes", "across", "down"],
    f"train --model toy_net --data stripes --optimizer heavy_sgd --epochs 1 --out {RUN}": ["toy_net", "stripes"],
    "compare --model toy_net --data stripes --optimizer heavy_sgd --steps 3": ["toy_net"],
    f"evaluate {RUN}": ["across", "down"],
}
REFUSED = {
    "bench --op stretched": ["stretch"],
    "train --optimizer heavysgd": ["did you mean heavy_sgd?"],
    "train --data stripe": ["did you mean stripes?"],
    "train --model toy_nets": ["did you mean toy_net?"],
    "helo": ["hello"],
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each command says, and its exit code: all in one process, for importing torch takes seconds."""
    done = subprocess.run(
        [sys.executable, __file__],
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path_factory.mktemp("toys"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("command", [*COMMANDS, *REFUSED])
def test_every_command_knows_the_toys(answers, command):
    code, said = answers[command]
    assert code == (2 if command in REFUSED else 0), said
    for words in (COMMANDS | REFUSED)[command]:
        assert words in said


@pytest.mark.slow
def test_code_is_checked_like_a_toy_and_its_mistake_is_called_by_its_name(answers):
    assert answers["like"] == {
        "right": [3, []],
        "wrong": [3, ["never-more"]],
        "a wrong sign": [1, ["sign"]],  # which any op may have, without a word in its row; one case has the usual axes
        "another optimizer": [8, ["unrecognised"]],
    }


def main():
    """In the process of the toys: run everything, and print the answers as JSON."""
    import toys  # first: the help's lists are put together when the commands are imported

    from tinytorch_course.diagnosis import diagnose
    from tinytorch_course.grading.adapters import check_like
    from tinytorch_course.grading.optimizers import check_optimizer_like
    from tinytorch_course.grading.pairs import pair_of_functions

    answers = {}
    for command in (*COMMANDS, *REFUSED):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            code = toys.run(command.split())
        answers[command] = [code, out.getvalue()]

    def like(op, forward, backward):
        return found(check_like(pair_of_functions("mine", forward, backward), op).plain)

    def found(checks):
        return len(checks), [finding.key for finding in diagnose(checks)]

    def wrong(x, limits=(1.0, 2.0)):
        return x * limits[0], torch.full_like(x, limits[0])

    def climbs(dloss, cache):
        dinput, dtarget = toys.fourth_power_backward(dloss, cache)
        return -dinput, -dtarget

    answers["like"] = {
        "right": like("stretch", toys.stretch_forward, toys.stretch_backward),
        "wrong": like("stretch", wrong, toys.stretch_backward),
        "a wrong sign": like("fourth_power", toys.fourth_power_forward, climbs),
        "another optimizer": found(check_optimizer_like("mine", torch.optim.Adagrad, "heavy_sgd").plain),
    }
    print(json.dumps(answers))


def test_a_new_file_of_ops_is_found(tmp_path, monkeypatch):
    package = tmp_path / "toy_ops"
    package.mkdir()
    (package / "__init__.py").write_text(Path(scratch.ops.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    (package / "stretching.py").write_text("def stretch_forward(x): return 2 * x, None\ndef _help(x): return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    toy_ops = importlib.import_module("toy_ops")
    assert toy_ops.stretch_forward(3) == (6, None)
    assert toy_ops.__all__ == ["stretch_forward"]
    with pytest.raises(ImportError, match="stretch_backward"):
        from toy_ops import stretch_backward  # noqa: F401


# --- everything has everything ----------------------------------------------------------------------------------------

FACTORIES = {case.layer for case in layer_cases()}


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_op_has_everything(op):
    assert op.kind in ("op", "loss")
    assert op.cases
    assert {case.op for case in op.cases} == {op.name}
    assert callable(op.twin)
    assert op.forward.__doc__ or op.name.endswith(("_naive", "_long"))
    assert op.backward.__doc__
    formula = " ".join(explain(op.kind, op.name).formula)
    assert formula
    assert bool(op.layers) == bool(op.timed)  # whatever is a layer is timed, in its usual size
    assert {case.layer for case in op.layers} <= {name.partition("-")[0] for name in op.timed}
    if op.kind == "op" and hasattr(scratch.layers, op.name):
        assert op.layers, f"the layer {op.name} has no case in its op's row"


def test_every_op_has_a_planted_mistake():
    spoiled = {subject for mistake in MISTAKES for subject in mistake.subjects}
    assert {name for name in (*OPS, *OPTIMIZERS) if not name.endswith(("_naive", "_long"))} <= spoiled


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_every_layer_has_its_twin_and_a_start(name):
    ours, theirs = getattr(scratch.layers, name), getattr(reference.layers, name)
    assert ours.__doc__
    assert callable(theirs)
    for case in layer_cases():
        if case.layer == name:
            reference.initializers.reset_parameters(case.build(reference.layers), torch.Generator())


def test_every_factory_of_a_layer_is_in_the_list():
    public = [
        name
        for name, value in vars(scratch.layers).items()
        if getattr(value, "__module__", "") == "tinytorch_course.scratch.layers"
    ]
    composed = {"own"}  # of the user's own functions
    assert {name for name in public if name.islower() and not name.startswith("_")} - composed == FACTORIES


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_everything(name):
    assert name in OPTIMIZER_DEFAULTS
    for optimizers in (scratch.optimizers, reference.optimizers):
        assert callable(getattr(optimizers, name))
    assert OPTIMIZERS[name].own
    assert any("θ" in paragraph for paragraph in explain("optimizer", name).formula)


def test_no_optimizer_trains_that_is_not_checked():
    assert list(OPTIMIZER_DEFAULTS) == list(OPTIMIZERS)


def test_every_schedule_that_trains_is_checked():
    checked = {subject.name for subject in subjects() if subject.kind == "schedule"}
    assert {name.replace("-", "_") for name in SCHEDULE_NAMES} == checked
    assert all(hasattr(module.schedules, name) for name in checked for module in (scratch, reference))


# --- the page ---------------------------------------------------------------------------------------------------------

PAGE = (TESTS.parent / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:<!-- from (?P<file>\S+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
BLOCKS = list(BLOCK.finditer(PAGE))


@pytest.mark.parametrize("block", [block for block in BLOCKS if block["file"]], ids=lambda block: block["text"][:30])
def test_what_the_page_quotes_stands_in_the_file(block):
    source = without_indents((TESTS.parent / block["file"]).read_text(encoding="utf-8"))
    for piece in block["text"].split("...\n"):
        assert without_indents(piece) in source


def without_indents(text):
    return "\n".join(line.strip() for line in text.splitlines())


@pytest.mark.slow
def test_the_pages_code_runs_and_its_commands_know_what_it_adds(tmp_path):
    """All of it in one process, as one file, but for the module that has a file of its own."""
    code = [block["text"] for block in BLOCKS if block["language"] == "python" and not block["file"]]
    own = [text for text in code if text.startswith("# stripes.py")]
    (tmp_path / "stripes.py").write_text(own[0], encoding="utf-8")
    typed = [line for block in BLOCKS if block["language"] == "console" for line in block["text"].splitlines()]
    commands = [line.removeprefix("$ tinytorch ").split() for line in typed]
    runner = f"""
from tinytorch_course.cli.app import run
codes = {{" ".join(words): run(words) for words in {commands!r}}}
assert not any(codes.values()), codes
"""
    (tmp_path / "mine.py").write_text(
        "\n".join([*(text for text in code if text not in own), runner]), encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "mine.py"],
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    for words in ("θ ← θ − γ (sign(g) + λθ)", "stripes", "25,514", "parameters  "):
        assert words in done.stdout


if __name__ == "__main__":
    main()
