"""What the search refuses, what it costs, and that nothing in a candidate can do harm."""

import time

import pytest

from tinytorch_course.grading.own_code import Request, check_own_code

from .planted import LAYER_NORM, MATMUL

SQUARE = """
def forward(x):
    return x * x, x

"""


def test_right_code_has_no_repair(repair):
    forward, backward, shapes = MATMUL
    assert repair(forward + backward, shapes) is None


def test_a_size_that_only_happens_to_fit_is_refused(repair):
    """Without other shapes, 3 would be as good a factor as the length of a row."""
    found = repair(
        """
def forward(x):
    return x.mean(1), x

def backward(dout, x):
    return dout[:, None].expand(x.shape).clone()
""",
        "3x3",
    )
    assert found is not None
    assert "x.shape[1]" in found.after or "x.mean" in found.after


def test_values_that_only_happen_to_agree_are_refused(repair):
    """The gradient of |x| is no x, though both agree where x is 1."""
    found = repair(
        """
def forward(x):
    return x.abs(), x

def backward(dout, x):
    return dout * x
""",
        "4x5",
    )
    assert found is not None
    assert "sign" in found.after


@pytest.mark.slow
def test_two_mistakes_in_two_gradients(repair):
    forward, backward, shapes = LAYER_NORM
    wrong = backward.replace("dout.sum(0)", "dout.mean(0)").replace("(dout * xhat).sum(0)", "(dout + xhat).sum(0)")
    found = repair(forward + wrong, shapes)
    assert [edit.line for edit in found.edits] == [14, 14]
    assert found.complete
    assert "with both all gradients are right" in found.sentence


@pytest.mark.slow
def test_two_mistakes_in_one_gradient(repair):
    found = repair(SQUARE + "def backward(dout, x):\n    return -dout * 3 * x\n", "4x5")
    assert found.complete


def test_a_wrong_forward_is_repaired_by_what_it_returns(repair):
    found = repair(
        """
def forward(x):
    t = torch.tanh(x)
    return -t, t

def backward(dout, t):
    return dout * (1 - t * t)
""",
        like="tanh",
    )
    assert (found.line, found.after) == (5, "return t, t")
    assert found.explains == "out and all gradients are right"


def test_the_budget_is_kept(repair):
    start = time.process_time()
    assert repair(SQUARE + "def backward(dout, x):\n    return dout * torch.erf(x) ** 5\n", "4x5", budget=1.0) is None
    assert time.process_time() - start < 4


@pytest.mark.slow
def test_a_mutation_may_hang_or_leave(repair):
    """``i += 1`` for ``i -= 1`` never ends, and a comparison turned round leaves Python."""
    found = repair(
        SQUARE
        + """
def backward(dout, x):
    i = 3
    while i > 0:
        i -= 1
    if x.dim() > 7:
        raise SystemExit(3)
    return dout * x
""",
        "4x5",
        budget=8.0,
    )
    assert found is not None
    assert found.complete


def test_nothing_is_written(repair, tmp_path):
    """A path in a branch that is not taken is not taken by a candidate either, or at least leaves nothing."""
    found = repair(
        SQUARE
        + f"""
def backward(dout, x):
    if x.dim() > 7:
        open({str(tmp_path / "harm")!r}, "w").write("x")
    return dout * x
""",
        "4x5",
    )
    assert found is not None
    assert not (tmp_path / "harm").exists()


@pytest.mark.slow
def test_a_search_that_takes_python_with_it_leaves_the_check(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "import os\nimport torch\n"
        + SQUARE
        + "def backward(dout, x):\n    if x.dim() > 7:\n        os._exit(5)\n    return dout * x\n"
    )
    request = Request(str(path), ["forward", "backward"], shapes=[[4, 5]], budget=3.0)
    row = check_own_code(request, timeout=60.0).row
    assert not row.ok
    assert row.diagnosis


def test_an_edit_gets_its_word(repair):
    found = repair(
        """
def forward(x):
    return x * (x > 0), x

def backward(dout, x):
    return dout * (dout > 0)
""",
        "4x5",
    )
    assert "`dout > 0` should be `x > 0` (the mask is taken from the wrong tensor)" in found.sentence
    found = repair("def forward(x):\n    return x * x, x\n\n\ndef backward(dout, x):\n    return 2 * x\n", "4x5")
    assert "(the chain rule: dout is what comes from above)" in found.sentence
