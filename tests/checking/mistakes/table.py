"""Planted mistakes: what people get wrong when they write gradients by hand.

A check that no mistake can fail proves nothing. ``tests/checking/test_mistakes.py`` plants each of these in turn and
demands that the case tables reject it. Each is a function in place of another, and knows public names alone: the
op's, its arguments', and of an optimizer the fields of its slots.
"""

from checking.mistakes import elementwise, embedding, losses, normalization, optimizers, sample_normalization, windows

FAMILIES = (elementwise, embedding, windows, normalization, sample_normalization, losses, optimizers)
MISTAKES = [mistake for family in FAMILIES for mistake in family.MISTAKES]
