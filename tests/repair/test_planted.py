"""Each kind of edit repairs a mistake that was planted, and what it says can be pasted in."""

import pytest

from .planted import LAYER_NORM, PLANTED


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "op", "right", "wrong"), PLANTED, ids=[row[0] for row in PLANTED])
def test_a_planted_mistake_is_repaired(repair, kind, op, right, wrong):
    forward, backward, shapes = op
    assert right in backward
    source = forward + backward.replace(right, wrong)
    found = repair(source, shapes)
    assert found is not None
    assert found.complete
    assert found.explains.startswith("all gradients are right")


def test_the_answer_speaks_the_learners_words(repair):
    forward, backward, shapes = LAYER_NORM
    found = repair(forward + backward.replace("keepdim=True) - xhat", "keepdim=True) + xhat"), shapes)
    assert (found.line, found.before, found.after) == (
        13,
        "g - g.mean(-1, keepdim=True) + xhat * (g * xhat).mean(-1, keepdim=True)",
        "g - g.mean(-1, keepdim=True) - xhat * (g * xhat).mean(-1, keepdim=True)",
    )
    assert found.sentence.startswith("line 13: `g - g.mean")
    assert found.sentence.endswith("; with that all gradients are right")
    assert found.hints[0] == "look at line 13"
    assert found.hints[1] == "line 13: a sign"
    assert "-    dx = istd * (g - g.mean(-1, keepdim=True) + xhat" in found.diff
    assert "+    dx = istd * (g - g.mean(-1, keepdim=True) - xhat" in found.diff
