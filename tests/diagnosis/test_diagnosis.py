"""The diagnosis itself: what decides between two mistakes that look alike, and what it says when it knows none."""

import contextlib
import dataclasses

import pytest
import torch

from tinytorch_course.checking.cases import draw
from tinytorch_course.checking.suite import quiet_and_exact, subjects
from tinytorch_course.diagnosis import diagnose, engine
from tinytorch_course.diagnosis.hypotheses import DOES_NOT_FIT, Hypothesis, predictions_of
from tinytorch_course.grading.check import check_gradient
from tinytorch_course.scratch.ops.linear import linear_backward, linear_forward


def check(change, shape=(5, 3), **options):
    """linear with its gradients (dx, dweight, dbias) changed, on a batch of that shape."""
    inputs = draw((shape, (4, shape[-1]), (4,)))
    return check_gradient(
        linear_forward,
        lambda dout, cache: change(*linear_backward(dout, cache)),
        inputs,
        **({"like": "linear"} | options),
    )


def keys(*checks):
    return [finding.key for finding in diagnose(checks)]


def doubled_batch(dx, dw, db):
    return dx, dw * len(dx), db


def test_a_second_shape_tells_the_batch_size_from_two():
    assert keys(check(doubled_batch, (2, 3))) == ["factor-2"]
    assert keys(check(doubled_batch, (2, 3)), check(doubled_batch, (5, 3))) == ["missing-mean"]
    assert "factor N, the size of the batch" in str(diagnose([check(doubled_batch, (5, 3))])[0])


def test_a_sign_and_a_size_at_once():
    (finding,) = diagnose([check(lambda dx, dw, db: (dx, -dw * len(dx), db), shape) for shape in ((2, 3), (5, 3))])
    assert finding.sentence.startswith(
        "the sign is flipped, and it is too large by the factor N, the size of the batch"
    )


def test_another_gradients_value():
    (finding,) = diagnose([check(lambda dx, dw, db: (dx, dw, dw[:, 0]), (5, 3))])
    assert finding.key == "unrecognised"
    pair = check_gradient(
        lambda x, y: (x * y, (x, y)), lambda dout, cache: (dout * cache[0], dout * cache[1]), draw(((4, 3), (4, 3)))
    )
    assert [str(one).partition(" (")[0] for one in diagnose([pair])] == [
        "dx: it is what dy should be",
        "dy: it is what dx should be",
    ]


def test_a_case_that_passes_speaks_against_what_would_have_spoiled_it():
    """A factor of two would spoil a batch of one, the batch's size would not."""
    assert keys(check(doubled_batch, (2, 3))) == ["factor-2"]
    of_one = check(doubled_batch, (1, 3))
    assert of_one.ok
    assert keys(check(doubled_batch, (2, 3)), of_one) == ["missing-mean"]


def test_where_nothing_fits_the_best_guess_is_given():
    """Wrong by a sign in one case and right in another: no flipped sign, but nothing else is known either."""
    wrong, right = check(lambda dx, dw, db: (dx, -dw, db)), check(lambda *grads: grads, (6, 3))
    assert keys(wrong, right) == ["sign"]


def test_every_gradient_has_its_own_diagnosis():
    findings = diagnose([check(lambda dx, dw, db: (-dx, dw, db / 5))])
    assert [(finding.what, finding.key) for finding in findings] == [("dx", "sign"), ("dbias", "extra-mean")]


def test_one_mistake_in_two_gradients_is_one_finding():
    (finding,) = diagnose([check(lambda dx, dw, db: (-dx, -dw, db))])
    assert finding.what == "dx and dweight"


def test_the_entry_that_shows_it():
    (finding,) = diagnose([check(lambda dx, dw, db: (dx, -dw, db))])
    assert finding.entry.got == pytest.approx(-finding.entry.expected)
    assert f"at {finding.entry.index} it is" in str(finding)


def test_what_is_not_known_is_not_given_a_name():
    (finding,) = diagnose([check(lambda dx, dw, db: (dx, dw.sin() + 3, db))])
    assert finding.key == "unrecognised"
    assert "12 of 12 entries are wrong" in finding.sentence


def test_without_a_twin_the_differences_say_what_is_right():
    assert keys(check(lambda dx, dw, db: (dx, -dw, db / 5), like=None)) == ["sign", "extra-mean"]
    assert keys(check(lambda *grads: grads, like=None)) == []


def test_one_sample_only():
    def change(dx, dw, db):
        return torch.cat([dx[:1] * 3 + 1, dx[1:]]), dw, db

    (finding,) = diagnose([check(change), check(change, (7, 3))])
    assert "it is wrong only in the first sample" in finding.sentence


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        (lambda dx, dw, db: (dw, dx, db), "order", "another order than forward's arguments: return dx, dweight, dbias"),
        (lambda dx, dw, db: (dx, dw), "count", "there are 3 to return: dx, dweight, dbias"),
        (lambda dx, dw, db: (dx, dw.T, db), "transposed", "it is transposed"),
        (lambda dx, dw, db: (dx, dw, db.expand(5, 4) / 5), "missing-sum", "sum over axis 0 (of size 5)"),
        (lambda dx, dw, db: (dx, dw, db[None]), "shape", "look at keepdim"),
        (lambda dx, dw, db: (dx, dw, db.sum()), "extra-sum", "a sum too much"),
        (lambda dx, dw, db: (dx, dw, None), "no-gradient", "detached"),
        (lambda dx, dw, db: (dx, dw, db.float()), "dtype", "torch.zeros_like"),
    ],
)
def test_what_is_wrong_with_the_form(change, key, words):
    (finding,) = diagnose([check(change)])
    assert finding.key == key
    assert words in str(finding)


def test_nothing_is_said_of_what_is_right():
    assert diagnose([check(lambda *grads: grads)]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "subject",
    [subject for subject in subjects() if subject.kind in ("op", "loss", "optimizer") and "_naive" not in subject.name],
    ids=lambda subject: subject.name,
)
def test_no_rule_is_broken(subject):
    """Where a rule cannot be computed it may say so, by what DOES_NOT_FIT lists. All else is a mistake in the rule."""
    with quiet_and_exact():
        checks = subject.check(dtype=torch.float64, device="cpu", seed=0)
        evidences = [check.evidence for check in checks if engine._size(check.evidence) <= engine.HANDY]
        for evidence in [*evidences, *map(with_noise, evidences)]:
            for hypothesis in hypotheses_of(evidences):
                with contextlib.suppress(DOES_NOT_FIT):
                    hypothesis.predict(evidence)


def hypotheses_of(evidences):
    known = engine._Hypotheses(evidences)
    return [*known.of_op, *known.of_any]


def with_noise(evidence):
    """The same case, in which everything is wrong."""
    generator = torch.Generator().manual_seed(0)
    got = {
        quantity: torch.randn(tensor.shape, dtype=torch.float64, generator=generator).to(tensor.dtype)
        for quantity, tensor in evidence.got.items()
    }
    return dataclasses.replace(evidence, got=got, wrong=set(got))


def test_a_broken_rule_does_not_end_the_diagnosis():
    evidence = check(lambda *grads: grads).evidence
    assert predictions_of(Hypothesis("sign", (), lambda evidence: evidence.no_such_field, "a test"), evidence) == {}
