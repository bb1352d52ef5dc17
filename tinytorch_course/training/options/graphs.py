"""A CUDA graph of the from-scratch training step, from the batch to the new parameters: the GPU gets it as one piece.

The kernels of a small network take less time than it takes to start them one by one. A graph is recorded once for each
batch size; a run of it reads tensors that stay where they are and writes over others. So parameters, state and the
optimizer's state lie in tensors that every run writes anew, and what changes from step to step comes in as tensors,
too: the batch, the rate, the count of steps. Only dropout's masks are drawn outside, on the CPU, as always.

It has not been run on a GPU yet. What is tested without one: that the step which is recorded is the plain one, bit for
bit, whatever the rates, and that nothing in it makes Python wait.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.layers import Layer
from tinytorch_course.training.options.compiling import masks_of

WARM_UPS = 3  # runs before the recording, in which libraries set up what they need

Tensors = dict[str, Tensor]
Slots = dict[str, NamedTuple]  # the optimizer's state
Values = Sequence[Tensor | int | None]


class GraphedStep:
    """The from-scratch learner's ``step`` as a graph for each batch size.

    Args:
        step: ``(params, state, opt_state, x, y, generator, lr=) -> (loss, logits, grads, params, state, opt_state)``.
        net: whose masks are to be drawn.
    """

    def __init__(self, step: Callable, net: Layer):
        self._step, self._masks = step, masks_of(net)
        self._held: tuple[Tensors, Tensors, Slots] | None = None
        self._graphs: dict[torch.Size, _Graph] = {}

    def __call__(
        self, params: Tensors, state: Tensors, opt_state: Slots, x: Tensor, y: Tensor, generator: Any, *, lr: float
    ) -> tuple[Tensor, Tensor, Tensors, Tensors, Tensors, Slots]:
        """As ``step``; all but loss and logits is written over by the next call."""
        if self._held is None or not _alike(self._held, (params, state, opt_state)):
            # SGD's velocity is there only after a step, so the first is taken as it stands.
            loss, logits, grads, *new = self._step(params, state, opt_state, x, y, generator, lr=lr)
            self._held, self._graphs = _held(*new), {}
            return loss, logits, grads, *self._held
        _write(_values(*self._held), _values(params, state, opt_state))  # what was loaded meanwhile
        masks = self._masks.draw(generator, x, params, state)
        if x.shape not in self._graphs:
            self._graphs[x.shape] = _Graph(self._step, self._held, x, y, masks)
        loss, logits, grads = self._graphs[x.shape](x, y, masks, lr)
        return loss.clone(), logits.clone(), grads, *self._held


class _Graph:
    def __init__(self, step: Callable, held: tuple[Tensors, Tensors, Slots], x: Tensor, y: Tensor, masks: list[Tensor]):
        self._inputs = x, y, *masks = [tensor.clone() for tensor in (x, y, *masks)]
        self._lr = lr = torch.zeros((), dtype=torch.float64, device=x.device)

        def run() -> Any:
            return step(*held, x, y, iter(masks), lr=lr)

        def keep(outputs: Any) -> None:
            _write(_values(*held), _values(*outputs[3:]))

        self._replay, self._outputs = record(run, keep, x.device)

    def __call__(self, x: Tensor, y: Tensor, masks: list[Tensor], lr: float) -> tuple[Tensor, Tensor, Tensors]:
        _write(self._inputs, [x, y, *masks])
        self._lr.fill_(lr)
        self._replay()
        return self._outputs[:3]


def record(run: Callable[[], Any], keep: Callable[[Any], None], device: torch.device) -> tuple[Callable[[], None], Any]:
    """Record on a CUDA device what ``run`` does, and then ``keep`` with its outputs.

    Before that, as ``torch.cuda.graph`` asks, a few runs on another stream, of which nothing is kept.

    Returns:
        What runs it again, and the outputs, which each run writes over.
    """
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()
        keep(outputs)
    return graph.replay, outputs


def _held(params: Tensors, state: Tensors, opt_state: Slots) -> tuple[Tensors, Tensors, Slots]:
    """Copies that stay where they are; the counts of steps become tensors beside their parameters."""

    def copied(value: Tensor | int | None, device: torch.device) -> Tensor | None:
        if isinstance(value, int):
            return torch.full((), value, dtype=torch.float64, device=device)
        return None if value is None else value.clone()

    params, state = ({name: tensor.clone() for name, tensor in tensors.items()} for tensors in (params, state))
    slots = {name: slot._make(copied(value, params[name].device) for value in slot) for name, slot in opt_state.items()}
    return params, state, slots


def _values(params: Tensors, state: Tensors, opt_state: Slots) -> Values:
    """All of them in one order, whatever the order of the dicts."""
    tensors = [held[name] for held in (params, state) for name in sorted(held)]
    return [*tensors, *(value for name in sorted(opt_state) for value in opt_state[name])]


def _alike(held: tuple[Tensors, Tensors, Slots], given: tuple[Tensors, Tensors, Slots]) -> bool:
    """Whether both lack the same: a state that was loaded may be one from before the first step."""
    return all((own is None) == (value is None) for own, value in zip(_values(*held), _values(*given), strict=True))


def _write(held: Values, given: Values) -> None:
    for own, value in zip(held, given, strict=True):
        if not isinstance(own, Tensor) or value is own:
            continue
        if isinstance(value, Tensor):
            own.copy_(value, non_blocking=True)
        elif value is not None:
            own.fill_(value)
