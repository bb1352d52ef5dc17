"""The rules that rewrite an expression: what they make of it, and that all of them can be used."""

import ast

import pytest

from tinytorch_course.repair.edits import KINDS, SAID_AS, VARIABLES
from tinytorch_course.repair.rules import inserted, plain_rules, rewritten, scoped_rules


def expression(text):
    return ast.parse(text, mode="eval").body


def texts(news):
    return [ast.unparse(ast.fix_missing_locations(node)) for _, _, node in news]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("a - b", "a + b"),
        ("x - y", "y - x"),
        ("torch.sqrt(v) + eps", "torch.sqrt(v + eps)"),
        ("torch.sqrt(v + eps)", "torch.sqrt(v) + eps"),
        ("v.sqrt() + eps", "(v + eps).sqrt()"),
        ("dout * 1 - t ** 2", "dout * (1 - t ** 2)"),
        ("(1 - t) ** 2", "1 - t ** 2"),
        ("s + x * s * 1 - s", "s + x * s * (1 - s)"),
        ("b * m + (1 - b) * g", "(1 - b) * m + b * g"),
        ("a.T", "a"),
        ("x > 0", "x >= 0"),
        ("g / n", "g"),
    ],
)
def test_what_a_rule_makes(wrong, right):
    assert right in texts(rewritten(expression(wrong)))


def test_a_letter_that_stands_twice_must_be_the_same():
    assert "(1 - b) * m + b * g" not in texts(rewritten(expression("a * m + (1 - b) * g")))


def test_texts_are_not_put_in_order():
    made = texts(rewritten(expression("reduction != 'none'")))
    assert "reduction == 'none'" in made
    assert not any("<" in text or ">" in text for text in made)


def test_what_is_put_in_comes_from_scope():
    scope = {"m": [(0.0, expression("mask"))], "t": [(0.0, expression("x"))], "n": [(0.5, expression("len(y)"))]}
    found = list(inserted(expression("d"), {"factor"}, lambda letter: scope.get(letter, [])))
    assert {"2 * d", "d * mask", "d * ~mask", "d * x", "d / len(y)"} <= set(texts(found))
    costs = {text: cost for (cost, _, _), text in zip(found, texts(found), strict=True)}
    assert costs["d / len(y)"] == costs["d * mask"] + 0.5


def test_every_rule_can_be_used():
    rules = [rule for rules in plain_rules().values() for rule in rules] + scoped_rules()
    assert {SAID_AS.get(rule.kind, rule.kind) for rule in rules} <= KINDS.keys()
    assert {letter for rule in rules for letter in rule.variables} == {*VARIABLES, "d", "s"}
    assert not any(rule.variables for rules in plain_rules().values() for rule in rules)
