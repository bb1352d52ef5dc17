"""Wrong ops, losses, optimizers and schedules: what is wrong with each, and all else left to the right one.

``inject`` names those that a run can show, and the tests plant more of their kinds. Nothing but public names is used:
of an op its arguments and its results, of an optimizer the fields of its slots.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tinytorch_course.lockstep.planting import Call

if TYPE_CHECKING:  # the list of mistakes does not wait for torch
    from torch import Tensor

    Pair = int | tuple[int, int]


# --- ops -------------------------------------------------------------------------------------------------------------

LOSSES = (
    "mse_loss",
    "l1_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "nll_loss",
    "cross_entropy",
)


def result_of(**changes: Callable[[Call], Any]) -> Callable[[Call], Call]:
    """A forward that computes its results from other arguments, while backward knows the right ones."""
    return lambda call: call.giving(*call.again(**{name: change(call) for name, change in changes.items()}).results)


def changed(number: int, change: Callable[["Tensor", "Tensor", Call], "Tensor"]) -> Callable[["Tensor", Call], tuple]:
    """A backward with one wrong gradient: ``change(gradient, dout, call)``, if there is such a gradient."""

    def backward(dout: "Tensor", call: Call) -> tuple:
        grads = list(call.grads(dout))
        if grads[number] is not None:
            grads[number] = change(grads[number], dout, call)
        return tuple(grads)

    return backward


def rows_of(x: "Tensor") -> int:
    """How many samples a linear layer sees."""
    return x.shape[:-1].numel()


def transposed_in_memory(dweight: "Tensor", dout: "Tensor", call: Call) -> "Tensor":
    """dweight as it is if the product was transposed by a reshape."""
    return dweight.reshape(-1, dweight.shape[-1]).mT.reshape(dweight.shape)


def turned(kernel: "Tensor") -> "Tensor":
    """The kernel turned by 180 degrees."""
    return kernel.flip(2, 3)


def channels_reversed(dweight: "Tensor", dout: "Tensor", call: Call) -> "Tensor":
    """dweight with each group's channels in reverse."""
    return dweight.unflatten(0, (call.groups, -1)).flip(1).flatten(0, 1)


def taps(
    image: Sequence[int], output: Sequence[int], kernel: "Pair", stride: "Pair", padding: "Pair", dilation: "Pair"
) -> Iterator[tuple[tuple[int, ...], tuple, tuple]]:
    """For each tap of a window: the outputs for which it lies inside the image, and the pixels on which it lies.

    Both index their last two axes, one pixel for one output.
    """
    pairs = [(each, each) if isinstance(each, int) else each for each in (kernel, stride, padding, dilation)]
    axes = list(zip(image, output, *pairs[1:], strict=True))
    for tap in itertools.product(*map(range, pairs[0])):
        (outputs, pixels), (output_columns, columns) = (_span(at, *axis) for at, axis in zip(tap, axes, strict=True))
        yield tap, (..., outputs, output_columns), (..., pixels, columns)


def _span(tap: int, size: int, count: int, stride: int, padding: int, dilation: int) -> tuple[slice, slice]:
    """Along one axis: the outputs whose tap is a pixel, and those pixels."""
    offset = tap * dilation - padding
    inside = [at for at in range(count) if 0 <= at * stride + offset < size]
    if not inside:
        return slice(0, 0), slice(0, 0)
    first, last = inside[0], inside[-1]
    return slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)


def pooling_taps(call: Call, out: "Tensor") -> Iterator[tuple[tuple[int, ...], tuple, tuple]]:
    """:func:`taps` of a pooling op."""
    stride = call.kernel_size if call.stride in (None, (), []) else call.stride
    dilation = call.given.get("dilation", 1)
    return taps(call.x.shape[-2:], out.shape[-2:], call.kernel_size, stride, call.padding, dilation)


def every_tie_wins(dout: "Tensor", call: Call) -> "Tensor":
    """dx if each of several equal maxima gets all of the gradient."""
    dx = call.x.new_zeros(call.x.shape)
    for _, outputs, pixels in pooling_taps(call, dout):
        dx[pixels] += (call.x[pixels] == call.out[outputs]) * dout[outputs]
    return dx


def per_channel(values: "Tensor", x: "Tensor") -> "Tensor":
    """(C,) in the shape that broadcasts over x, (1, C, 1, ...)."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


def statistics(call: Call) -> tuple[list[int], int, "Tensor", "Tensor"]:
    """What batch norm normalises with: the axes of a mean, how many values share one, mean and variance (C,)."""
    x, axes = call.x, [axis for axis in range(call.x.dim()) if axis != 1]
    count = x.numel() // x.shape[1]
    if call.given.get("training", True):
        return axes, count, x.mean(dim=axes), x.var(dim=axes, correction=0)
    return axes, count, call.running_mean, call.running_var


def normalised_by(std: Callable[["Tensor", int, Call], "Tensor"]) -> Callable[[Call], Call]:
    """Batch norm with another divisor: ``std(variance, count, call)``."""

    def forward(call: Call) -> Call:
        if call.x.numel() == 0:
            return call
        _, count, _, var = statistics(call)
        shift = 0 if call.bias is None else per_channel(call.bias, call.x)
        ratio = (var + call.eps).sqrt() / std(var, count, call)
        return call.giving((call.out - shift) * per_channel(ratio, call.x) + shift)

    return forward


def unbiased(var: "Tensor", count: int, call: Call) -> "Tensor":
    """The deviation from the unbiased variance."""
    return (var * (count / (count - 1) if call.training else 1) + call.eps).sqrt()


def batch_norm_dx(
    mean_term: float = 1, variance_term: float = 1, count: Callable[["Tensor"], int] | None = None, always: bool = False
) -> Callable[["Tensor", "Tensor", Call], "Tensor"]:
    """dx in training with the two paths through the batch's statistics weighed otherwise, or other means over it."""

    def wrong(dx: "Tensor", dout: "Tensor", call: Call) -> "Tensor":
        if call.x.numel() == 0 or not (always or call.given.get("training", True)):
            return dx
        axes, values, mean, var = statistics(call)
        values = values if count is None else count(call.x)
        std = per_channel((var + call.eps).sqrt(), call.x)
        x_hat = (call.x - per_channel(mean, call.x)) / std
        along_mean = dout.sum(dim=axes, keepdim=True) / values
        along_x_hat = x_hat * (dout * x_hat).sum(dim=axes, keepdim=True) / values
        weight = 1 if call.weight is None else per_channel(call.weight, call.x)
        return weight / std * (dout - mean_term * along_mean - variance_term * along_x_hat)

    return wrong


def running(change: Callable[[Call], tuple]) -> Callable[[Call], Call]:
    """Batch norm that keeps other running statistics, if it moves any."""

    def forward(call: Call) -> Call:
        moves = call.training and call.running_mean is not None and call.x.numel()
        return call.giving(call.out, change(call)) if moves else call

    return forward


def biased_variance(call: Call) -> tuple:
    """The running statistics, of the biased variance."""
    _, count, _, _ = statistics(call)
    mean, var = call.results[1]
    kept = (1 - call.momentum) * call.running_var
    return mean, kept + (var - kept) * (count - 1) / count


def momentum_swapped(call: Call) -> tuple:
    """The running statistics, the mean with momentum and 1 − momentum exchanged."""
    return call.again(momentum=1 - call.momentum).results[1][0], call.results[1][1]


def rescaled_dropout(factor: Callable[[float], Any]) -> dict[str, Callable]:
    """Dropout times a ``factor(p)``, both ways, where it drops anything."""

    def of(call: Call) -> Any:
        return factor(call.p) if call.training and (call.p > 0 or call.mask is not None) else 1

    return {
        "forward": lambda call: call.giving(call.out * of(call)),
        "backward": lambda dout, call: call.grads(dout) * of(call),
    }


def class_axis(call: Call) -> int:
    """The axis of the classes."""
    return min(1, call.input.dim() - 1)


def targets_of(call: Call) -> tuple["Tensor", "Tensor", Any]:
    """Of cross-entropy: q, how much each class counts; which samples do; and what the mean divides by."""
    axis, target = class_axis(call), call.target
    classes = call.input.shape[axis]
    weight = call.input.new_ones(classes) if call.weight is None else call.weight
    weight = weight.reshape(-1, *[1] * (call.input.dim() - axis - 1))
    if target.is_floating_point():
        probabilities, kept, count = target, target.new_ones(()).bool(), target.numel() // classes
    else:
        kept = (target != call.ignore_index).unsqueeze(axis)
        index = target.long().unsqueeze(axis) * kept
        probabilities = call.input.new_zeros(call.input.shape).scatter(axis, index, kept.to(call.input.dtype))
        count = (weight * probabilities).sum()
    smoothed = (1 - call.label_smoothing) * probabilities + call.label_smoothing / classes
    return weight * smoothed * kept, kept, count


def cross_entropy_shares(dloss: "Tensor", call: Call, kept: "Tensor", count: Any) -> "Tensor":
    """dloss as each sample's loss gets it, (N, 1, d...)."""
    share = dloss / count if call.reduction == "mean" else dloss
    share = share.unsqueeze(class_axis(call)) if call.reduction == "none" else share
    return (share * kept.new_ones(kept.shape)).masked_fill(~kept, 0)


def dinput_alone(dinput: Callable[["Tensor", Call], "Tensor"]) -> Callable[["Tensor", Call], Any]:
    """Cross-entropy with a wrong dinput, and the right dtarget where target holds probabilities."""

    def backward(dloss: "Tensor", call: Call) -> Any:
        right = call.grads(dloss)
        return (dinput(dloss, call), right[1]) if isinstance(right, tuple) else dinput(dloss, call)

    return backward


def softmax_forgotten(dloss: "Tensor", call: Call) -> "Tensor":
    """dlogits without the softmax."""
    q, kept, count = targets_of(call)
    return -q * cross_entropy_shares(dloss, call, kept, count)


def smoothed(kept: Callable[[float], float], spread: Callable[[float, int], float]) -> dict[str, Callable]:
    """Label smoothing in which the right class keeps another part, and another one is spread over all classes."""

    def wrong(call: Call) -> tuple[Call, float]:
        stays = kept(call.label_smoothing)
        goes = spread(call.label_smoothing, call.input.shape[class_axis(call)])
        return call.again(label_smoothing=goes / (stays + goes)), stays + goes

    def forward(call: Call) -> Call:
        other, factor = wrong(call)
        return call.giving(other.out * factor)

    def backward(dloss: "Tensor", call: Call) -> Any:
        other, factor = wrong(call)
        return other.grads(dloss * factor)

    return {"forward": forward, "backward": backward}


def with_epsilon(call: Call) -> Call:
    """The loss of log(p + 1e-8). (All p + 1e-8 do not sum to one, but the right op makes them: that is taken back.)"""
    axis = class_axis(call)
    shifted = (call.input.softmax(axis) + 1e-8).log()
    wrong, (q, _, count) = call.again(input=shifted), targets_of(call)
    too_much = q.sum(axis) * shifted.logsumexp(axis)
    if call.reduction != "none":
        too_much = too_much.sum() / (count if call.reduction == "mean" else 1)
    return wrong.giving(wrong.out - too_much)


def not_averaged(dloss: "Tensor", call: Call) -> Any:
    """The gradient of the sum in place of the mean's."""
    return (call.again(reduction="sum") if call.reduction == "mean" else call).grads(dloss)


# --- optimizers, and what stands around them -------------------------------------------------------------------------


def other(**changes: Callable[[dict[str, Any]], Any]) -> Callable[..., tuple]:
    """An optimizer's step with other hyper-parameters."""

    def step(right: Callable, param: "Tensor", grad: "Tensor", slot: Any, **hyper: Any) -> tuple:
        return right(param, grad, slot, **hyper | {name: change(hyper) for name, change in changes.items()})

    return step


def uphill(right: Callable, param: "Tensor", grad: "Tensor", slot: Any, **hyper: Any) -> tuple:
    """A step in the gradient's direction."""
    new, slot = right(param, grad, slot, **hyper)
    return param + (param - new), slot


def decayed_directly(rate: Callable[[dict[str, Any]], Any]) -> Callable[..., tuple]:
    """Weight decay that shrinks the parameter by ``rate`` times the decay, and never enters the gradient."""

    def step(right: Callable, param: "Tensor", grad: "Tensor", slot: Any, **hyper: Any) -> tuple:
        return right(param - rate(hyper) * hyper["weight_decay"] * param, grad, slot, **hyper | {"weight_decay": 0})

    return step


def adam_along(direction: Callable[..., "Tensor"]) -> Callable[..., tuple]:
    """Adam with the right moments, which steps along ``direction(m, v, t, beta1, beta2, eps)``."""

    def step(right: Callable, param: "Tensor", grad: "Tensor", slot: Any, **hyper: Any) -> tuple:
        lr, weight_decay = hyper["lr"], hyper["weight_decay"]
        _, new = right(param, grad, slot, **hyper)
        v = new.max_exp_avg_sq if hyper["amsgrad"] else new.exp_avg_sq
        if hyper["decoupled_weight_decay"]:
            param = param - lr * weight_decay * param
        return param - lr * direction(new.exp_avg, v, new.step, *hyper["betas"], hyper["eps"]), new

    return step


def rmsprop_inside(right: Callable, param: "Tensor", grad: "Tensor", slot: Any, **hyper: Any) -> tuple:
    """RMSprop with eps inside the root."""
    _, new = right(param, grad, slot, **hyper)
    grad = (-grad if hyper["maximize"] else grad) + hyper["weight_decay"] * param
    mean_square = new.square_avg - new.grad_avg * new.grad_avg if hyper["centered"] else new.square_avg
    velocity = grad / (mean_square + hyper["eps"]).sqrt()
    if hyper["momentum"] > 0:
        velocity = velocity if slot.momentum_buffer is None else hyper["momentum"] * slot.momentum_buffer + velocity
        new = new._replace(momentum_buffer=velocity)
    return param - hyper["lr"] * velocity, new


def clipped_by_value(right: Callable, grads: dict[str, Any], max_norm: float, *args: Any, **options: Any) -> tuple:
    """Gradients clipped number by number."""
    _, norm = right(grads, max_norm, *args, **options)
    return {name: grad if grad is None else grad.clamp(-max_norm, max_norm) for name, grad in grads.items()}, norm


def clipped_each_alone(right: Callable, grads: dict[str, Any], *args: Any, **options: Any) -> tuple:
    """Gradients clipped each by its own norm."""
    _, norm = right(grads, *args, **options)
    return {name: right({name: grad}, *args, **options)[0][name] for name, grad in grads.items()}, norm


def a_step_ahead(right: Callable, *args: Any, **options: Any) -> Callable[[int], dict[str, float]]:
    """The schedule, one step early."""
    schedule = right(*args, **options)
    return lambda step: schedule(step + 1)


def peak_a_step_late(right: Callable, max_lr: float, total_steps: int, pct_start: float = 0.3, **options: Any) -> Any:
    """The schedule, its peak one step late."""
    return right(max_lr, total_steps, min(pct_start + 1 / total_steps, 1.0), **options)
