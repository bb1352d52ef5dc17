"""Mistakes in embedding: of rows that are looked up more than once, or not to learn."""

import torch
from checking.mistakes.mistake import backward


def overwritten(dweight, dout, call):
    """``dweight[input] += dout``, which adds one of the gradients that a row has."""
    return learning(call, torch.zeros_like(dweight).index_put((call.input,), dout))


def learning(call, dweight):
    if call.padding_idx is not None:
        dweight[call.padding_idx] = 0
    return dweight


def summed(dout, call):
    return torch.zeros_like(call.weight).index_put((call.input,), dout, accumulate=True)


MISTAKES = [
    backward(
        "embedding",
        "rows looked up twice have one gradient",
        "repeats-overwritten",
        lambda dout, call: overwritten(call.grads(dout), dout, call),
    ),
    backward("embedding", "padding_idx ignored", "padding-learns", lambda dout, call: summed(dout, call)),
]
