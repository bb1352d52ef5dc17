"""Tuned forms and their textbook: one face, one cache, and the choice between them."""

import inspect

import pytest
import torch

from tinytorch_course.scratch import layers, ops, optimizers
from tinytorch_course.scratch.tuned import FAMILIES, chosen, convolution, using

TEXTBOOK = vars(ops) | vars(optimizers)
TUNED = [(family, name) for family in FAMILIES for name in family.__all__]


@pytest.mark.parametrize(("family", "name"), TUNED, ids=[name for _, name in TUNED])
def test_the_face_is_the_textbooks(family, name):
    face, textbook = (inspect.signature(function) for function in (vars(family)[name], TEXTBOOK[name]))
    assert [str(parameter) for parameter in face.parameters.values()] == [
        str(parameter).replace("tinytorch_course.scratch.optimizers.AdamSlot", "'AdamSlot'")
        for parameter in textbook.parameters.values()
    ]
    assert vars(family)[name] is not TEXTBOOK[name]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.rpartition(".")[2])
def test_the_first_line_says_what_is_gained(family):
    assert family.__doc__.startswith(("Gains ", "Without this "))


def test_a_form_is_chosen_when_a_layer_is_built():
    with using("textbook"):
        assert chosen(ops.conv2d_forward) is ops.conv2d_forward
        textbook = layers.conv2d(1, 2, 3)
    tuned = layers.conv2d(1, 2, 3)
    assert inspect.getclosurevars(textbook.forward).nonlocals["forward_op"] is ops.conv2d_forward
    assert inspect.getclosurevars(tuned.forward).nonlocals["forward_op"] is convolution.conv2d_forward
    assert chosen(ops.conv2d_forward) is not ops.conv2d_forward
    assert chosen(ops.relu_forward) is ops.relu_forward  # which has no other form
    params, _ = tuned.init(torch.Generator().manual_seed(0))
    x = torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    out, _, cache = textbook.forward(params, {}, x, training=True)
    same, _, same_cache = tuned.forward(params, {}, x, training=True)
    torch.testing.assert_close(out, same)
    # One's cache fits the other's backward.
    dout = torch.randn_like(out)
    for got, expected in zip(
        tuned.backward(dout, cache)[1].values(),
        textbook.backward(dout, same_cache)[1].values(),
        strict=True,
    ):
        torch.testing.assert_close(got, expected)
