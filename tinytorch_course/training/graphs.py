"""A CUDA graph of the from-scratch forward pass, loss and backward pass: sent to the GPU as one piece of work.

The kernels of a small network take less time than it takes to start them one by one. A graph is recorded once for each
batch size; it reads its inputs from tensors of its own and leaves its outputs in others; its next run writes over them.
The optimizer stays outside, for its rates change from step to step, and so does the drawing of dropout's masks.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.scratch.layers import Layer
from tinytorch_course.training.compiling import masks_of

WARM_UPS = 3  # runs before the recording, in which libraries set up what they need

Tensors = dict[str, Tensor]
Recording = tuple[Callable[[], None], Any]  # what runs it again, and its outputs


class GraphedGradients:
    """``gradients(params, state, x, y, generator)`` of the from-scratch learner as a graph for each batch size."""

    def __init__(self, gradients: Callable, net: Layer):
        self._gradients, self._masks = gradients, masks_of(net)
        self._graphs: dict[torch.Size, _Graph] = {}

    def __call__(
        self, params: Tensors, state: Tensors, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensors, Tensors]:
        """Loss, logits, new state and gradients; the last two are written over by the next call."""
        masks = self._masks.draw(generator, x, params, state)
        if x.shape not in self._graphs:
            self._graphs[x.shape] = _Graph(self._gradients, params, state, x, y, masks)
        loss, logits, state, grads = self._graphs[x.shape](params, state, x, y, masks)
        return loss.clone(), logits.clone(), state, grads


class _Graph:
    def __init__(self, gradients: Callable, params: Tensors, state: Tensors, x: Tensor, y: Tensor, masks: list[Tensor]):
        self._inputs = [tensor.clone() for tensor in _listed(params, state, x, y, masks)]
        own = iter(self._inputs)
        params, state = ({name: next(own) for name in tensors} for tensors in (params, state))
        x, y, masks = next(own), next(own), list(own)
        self._replay, self._outputs = record(lambda: gradients(params, state, x, y, iter(masks)), x.device)

    def __call__(self, *inputs: Any) -> Any:
        for own, given in zip(self._inputs, _listed(*inputs), strict=True):
            own.copy_(given)
        self._replay()
        return self._outputs


def record(run: Callable[[], Any], device: torch.device) -> Recording:
    """Record what ``run`` does on a CUDA device; before, as ``torch.cuda.graph`` asks, a few runs on another stream."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()
    return graph.replay, outputs


def _listed(params: Tensors, state: Tensors, x: Tensor, y: Tensor, masks: list[Tensor]) -> list[Tensor]:
    return [*params.values(), *state.values(), x, y, *masks]
