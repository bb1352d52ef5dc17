"""Classic mistakes, to be planted in the from-scratch path alone, so that ``tinytorch compare`` shows what they do.

Most are a wrong op or function in place of the right one, written as a learner would, or as what is wrong about the
right one's result; some are mistakes of the training step around the ops. Which tensor tells each of them first, and in
which step, stands in ``tests/lockstep/test_inject.py``.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_course.errors import InputError, did_you_mean
from tinytorch_course.lockstep.planting import Call, Plant, WrongFunction, WrongOp, planted
from tinytorch_course.models import MODELS, find_model

if TYPE_CHECKING:  # the list of mistakes does not wait for torch
    from torch import Tensor

    Pair = int | tuple[int, int]


class Injection(NamedTuple):
    """A classic mistake, and what a run needs to show it."""

    name: str  # as --inject takes it
    what: str  # in one line
    plant: Plant | Callable[[Any], None]  # what stands in place of the right one, or what changes a learner
    needs: dict[str, tuple[str, ...] | float] = {}  # noqa: RUF012 - settings: one of these, or a number above 0
    layer: str | None = None  # that the network must have

    def active(self) -> contextlib.AbstractContextManager[None]:
        """While this is open, the from-scratch code makes the mistake, if it is one of an op or function."""
        return contextlib.nullcontext() if callable(self.plant) else planted(self.plant)

    def alter(self, learner: Any) -> None:
        """Let ``learner``, from scratch, make the mistake, if it is one of the training step."""
        if callable(self.plant):
            self.plant(learner)

    def requirements(self) -> str:
        """What it needs, as flags; empty if it shows in every run."""
        words = [
            f"--{name.replace('_', '-')} {' or '.join(need) if isinstance(need, tuple) else 'above 0'}"
            for name, need in self.needs.items()
        ]
        return ", ".join([*words, f"a network with {self.layer}"] if self.layer else words)

    def fit(self, settings: Mapping[str, Any], typed: set[str]) -> dict[str, Any]:
        """``settings`` of a run, with those that this mistake needs, unless the user ``typed`` others.

        Raises:
            InputError: if what was typed would hide the mistake.
        """
        settings = dict(settings)
        for name, need in self.needs.items():
            value = settings[name]
            fits = value in need if isinstance(need, tuple) else value is not None and value > 0
            if name in typed and not fits:
                raise InputError(
                    f"--inject {self.name} shows only with {self.requirements()}, "
                    f"but --{name.replace('_', '-')} is {value}"
                )
            if not fits:
                settings[name] = need[0] if isinstance(need, tuple) else need
        if self.layer is not None and self.layer not in layers_of(settings["model"]):
            able = [model for model in MODELS if self.layer in layers_of(model)]
            raise InputError(
                f"--inject {self.name} needs a network with {self.layer}, which {settings['model']} has not: "
                f"choose --model {' or '.join(able)}"
            )
        return settings


def find_injection(name: str) -> Injection:
    """The mistake of that name.

    Raises:
        InputError: if there is none.
    """
    for injection in INJECTIONS:
        if injection.name == name:
            return injection
    names = [injection.name for injection in INJECTIONS]
    hint = did_you_mean(name, names, "`tinytorch compare --list-mistakes` lists them")
    raise InputError(f"there is no mistake {name!r} to inject{hint}")


class _Names:
    """A layer namespace that makes nothing and notes which layers it was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., None]:
        self.asked.add(name)
        return lambda *args, **keywords: None


def layers_of(model: str) -> set[str]:
    """The names of the layers that a network is made of."""
    names = _Names()
    find_model(model).build(names)
    return names.asked


# --- mistakes of the training step -----------------------------------------------------------------------------------


def _keep_old_gradients(learner: Any) -> None:
    backward, total = learner.net.backward, {}

    def accumulating_backward(dout, cache, **options):
        dx, grads = backward(dout, cache, **options)
        for name, grad in grads.items():
            total[name] = total[name] + grad if name in total else grad
        return dx, dict(total)

    learner.net = learner.net._replace(backward=accumulating_backward)


def _repeat_masks(learner: Any) -> None:
    forward, first = learner.net.forward, []

    def repeating_forward(*args, generator=None, **mode):
        if generator is not None:
            first.append(first[0] if first else generator.get_state())
            generator.set_state(first[0])
        return forward(*args, generator=generator, **mode)

    learner.net = learner.net._replace(forward=repeating_forward)


def _forget_moments(learner: Any) -> None:
    optimizer = learner.optimizer

    def forgetful_update(params, grads, opt_state, **rates):
        return optimizer.update(params, grads, optimizer.init(params), **rates)

    learner.optimizer = optimizer._replace(update=forgetful_update)


def _drop_statistics(learner: Any) -> None:
    forward = learner.net.forward

    def dropping_forward(params, state, x, **mode):
        out, _, cache = forward(params, state, x, **mode)
        return out, state, cache

    learner.net = learner.net._replace(forward=dropping_forward)


# --- wrong ops -------------------------------------------------------------------------------------------------------

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
    return dweight.reshape(-1, dweight.shape[-1]).mT.reshape(dweight.shape)


def turned(kernel: "Tensor") -> "Tensor":
    return kernel.flip(2, 3)


def channels_reversed(dweight: "Tensor", dout: "Tensor", call: Call) -> "Tensor":
    return dweight.unflatten(0, (call.groups, -1)).flip(1).flatten(0, 1)


def taps(
    image: tuple[int, int], output: tuple[int, int], kernel: "Pair", stride: "Pair", padding: "Pair", dilation: "Pair"
) -> Iterator[tuple[tuple[int, int], tuple, tuple]]:
    """For each tap of a window: the outputs for which it lies inside the image, and the pixels on which it lies.

    Both index their last two axes, one pixel for one output.
    """
    pairs = [(each, each) if isinstance(each, int) else each for each in (kernel, stride, padding, dilation)]
    for tap in itertools.product(*map(range, pairs[0])):
        outputs, pixels = [], []
        for axis, (_, step, before, apart) in enumerate(zip(*pairs, strict=True)):
            offset = tap[axis] * apart - before
            inside = [at for at in range(output[axis]) if 0 <= at * step + offset < image[axis]] or [0]
            stop = inside[-1] + (0 <= inside[-1] * step + offset < image[axis])  # none inside: an empty slice
            outputs.append(slice(inside[0], stop))
            first = inside[0] * step + offset
            pixels.append(slice(first, first + step * (stop - inside[0]), step) if stop > inside[0] else slice(0, 0))
        yield tap, (..., *outputs), (..., *pixels)


def pooling_taps(call: Call, out: "Tensor") -> Iterator[tuple[tuple[int, int], tuple, tuple]]:
    """:func:`taps` of a pooling op."""
    stride = call.kernel_size if call.stride in (None, (), []) else call.stride
    dilation = call.given.get("dilation", 1)
    return taps(call.x.shape[-2:], out.shape[-2:], call.kernel_size, stride, call.padding, dilation)


def every_tie_wins(dout: "Tensor", call: Call) -> "Tensor":
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
    _, count, _, _ = statistics(call)
    mean, var = call.results[1]
    kept = (1 - call.momentum) * call.running_var
    return mean, kept + (var - kept) * (count - 1) / count


def momentum_swapped(call: Call) -> tuple:
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
    return (call.again(reduction="sum") if call.reduction == "mean" else call).grads(dloss)


# --- wrong optimizers, and what stands around them -------------------------------------------------------------------


def other(**changes: Callable[[dict[str, Any]], Any]) -> Callable[..., tuple]:
    """An optimizer's step with other hyper-parameters."""

    def step(right: Callable, param: "Tensor", grad: "Tensor", slot: Any, **hyper: Any) -> tuple:
        return right(param, grad, slot, **hyper | {name: change(hyper) for name, change in changes.items()})

    return step


def uphill(right: Callable, param: "Tensor", grad: "Tensor", slot: Any, **hyper: Any) -> tuple:
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
        velocity = hyper["momentum"] * slot.momentum_buffer + velocity
        new = new._replace(momentum_buffer=velocity)
    return param - hyper["lr"] * velocity, new


def clipped_by_value(right: Callable, grads: dict[str, Any], max_norm: float, *args: Any, **options: Any) -> tuple:
    _, norm = right(grads, max_norm, *args, **options)
    return {name: grad if grad is None else grad.clamp(-max_norm, max_norm) for name, grad in grads.items()}, norm


def clipped_each_alone(right: Callable, grads: dict[str, Any], *args: Any, **options: Any) -> tuple:
    _, norm = right(grads, *args, **options)
    return {name: right({name: grad}, *args, **options)[0][name] for name, grad in grads.items()}, norm


def a_step_ahead(right: Callable, *args: Any, **options: Any) -> Callable[[int], dict[str, float]]:
    schedule = right(*args, **options)
    return lambda step: schedule(step + 1)


def peak_a_step_late(right: Callable, max_lr: float, total_steps: int, pct_start: float = 0.3, **options: Any) -> Any:
    return right(max_lr, total_steps, min(pct_start + 1 / total_steps, 1.0), **options)


# --- the list --------------------------------------------------------------------------------------------------------

_ADAM = {"optimizer": ("adam", "adamw")}
_MOMENTUM = {"optimizer": ("sgd",), "momentum": 0.9}

INJECTIONS = [
    # --- forward
    Injection(
        "bias-forgotten",
        "a linear layer does not add its bias",
        WrongOp("linear", forward=result_of(bias=lambda call: None)),
        layer="linear",
    ),
    Injection(
        "flatten-channels-last",
        "flatten takes the channels last, as TensorFlow lays out images, not first",
        WrongOp("flatten", forward=result_of(x=lambda call: call.x.movedim(1, -1))),
        layer="conv2d",
    ),
    Injection(
        "conv-flipped",
        "the kernel is rotated by 180 degrees in forward: a mathematician's convolution, not a library's",
        WrongOp("conv2d", forward=result_of(weight=lambda call: turned(call.weight))),
        layer="conv2d",
    ),
    Injection(
        "batch-norm-n-1",
        "batch norm normalises with the unbiased variance, n - 1 for n",
        WrongOp("batch_norm", forward=normalised_by(unbiased)),
        layer="batch_norm2d",
    ),
    Injection(
        "batch-norm-eps-outside",
        "batch norm adds eps outside the square root",
        WrongOp("batch_norm", forward=normalised_by(lambda var, count, call: var.sqrt() + call.eps)),
        layer="batch_norm2d",
    ),
    Injection(
        "dropout-scale-forgotten",
        "dropout does not divide what it keeps by 1 - p",
        WrongOp("dropout", **rescaled_dropout(lambda p: 1 - p)),
        layer="dropout",
    ),
    Injection(
        "dropout-same-mask",
        "dropout uses the first step's masks again in every step",
        _repeat_masks,
        layer="dropout",
    ),
    # --- the loss
    Injection(
        "softmax-twice",
        "the logits go through a softmax before the cross-entropy, which takes one of its own",
        WrongOp("cross_entropy", forward=lambda call: call.again(input=call.input.softmax(class_axis(call)))),
    ),
    Injection(
        "log-epsilon",
        "the loss takes log(p + 1e-8), so that no logarithm of 0 is taken",
        WrongOp("cross_entropy", forward=with_epsilon),
    ),
    Injection(
        "label-smoothing-added",
        "label smoothing gives every class its share without taking it from the right one",
        WrongOp("cross_entropy", **smoothed(lambda e: 1, lambda e, classes: e)),
        needs={"label_smoothing": 0.1},
    ),
    Injection(
        "label-smoothing-others",
        "label smoothing spreads the share as if over the C - 1 wrong classes, and gives it to all C",
        WrongOp("cross_entropy", **smoothed(lambda e: 1 - e, lambda e, classes: e * classes / (classes - 1 or 1))),
        needs={"label_smoothing": 0.1},
    ),
    Injection(
        "loss-not-averaged",
        "the gradient of the loss lacks the mean's 1/N",
        WrongOp(LOSSES, backward=not_averaged),
    ),
    Injection(
        "softmax-gradient-forgotten",
        "the gradient of the loss is -q, without the softmax's own derivative",
        WrongOp("cross_entropy", backward=dinput_alone(softmax_forgotten)),
    ),
    # --- backward
    Injection(
        "relu-mask-from-dout",
        "the mask of relu's gradient is taken from dout, not from the output",
        WrongOp("relu", backward=lambda dout, call: dout.masked_fill(dout <= 0, 0)),
        layer="relu",
    ),
    Injection(
        "linear-weight-transposed",
        "the gradient of a linear weight is computed transposed and only reshaped",
        WrongOp("linear", backward=changed(1, transposed_in_memory)),
        layer="linear",
    ),
    Injection(
        "linear-bias-averaged",
        "the gradient of a linear bias is a mean over the batch, not a sum",
        WrongOp("linear", backward=changed(2, lambda dbias, dout, call: dbias / rows_of(call.x))),
        layer="linear",
    ),
    Injection(
        "linear-sign",
        "the gradient of a linear weight has the wrong sign",
        WrongOp("linear", backward=changed(1, lambda dweight, dout, call: -dweight)),
        layer="linear",
    ),
    Injection(
        "conv-kernel-not-rotated",
        "the gradient of a convolution's input meets the kernel the wrong way round",
        WrongOp(
            "conv2d", backward=changed(0, lambda dx, dout, call: call.again(weight=turned(call.weight)).grads(dout)[0])
        ),
        layer="conv2d",
    ),
    Injection(
        "conv-weight-turned",
        "the gradient of a convolution's weight is turned by 180 degrees, which only that of its input's kernel is",
        WrongOp("conv2d", backward=changed(1, lambda dweight, dout, call: turned(dweight))),
        layer="conv2d",
    ),
    Injection(
        "conv-weight-flipped",
        "the gradient of a convolution's weight has its output channels in reverse order",
        WrongOp("conv2d", backward=changed(1, channels_reversed)),
        layer="conv2d",
    ),
    Injection(
        "max-pool-ties",
        "max-pooling gives the gradient to every pixel that ties for the maximum, not to the first",
        WrongOp("max_pool2d", backward=every_tie_wins),
        layer="max_pool2d",
    ),
    Injection(
        "batch-norm-mean-constant",
        "batch norm's gradient takes the batch's mean as a constant",
        WrongOp("batch_norm", backward=changed(0, batch_norm_dx(mean_term=0))),
        layer="batch_norm2d",
    ),
    Injection(
        "batch-norm-variance-constant",
        "batch norm's gradient takes the batch's variance as a constant",
        WrongOp("batch_norm", backward=changed(0, batch_norm_dx(variance_term=0))),
        layer="batch_norm2d",
    ),
    Injection(
        "batch-norm-count",
        "batch norm's gradient divides by the images, not by the images' pixels",
        WrongOp("batch_norm", backward=changed(0, batch_norm_dx(count=len))),
        layer="batch_norm2d",
    ),
    Injection(
        "dropout-mask-forgotten",
        "dropout's gradient passes everything, also what was dropped",
        WrongOp("dropout", backward=lambda dout, call: dout),
        layer="dropout",
    ),
    # --- the gradients' way to the optimizer
    Injection(
        "no-zero-grad",
        "gradients are added to those of all steps before: zero_grad forgotten",
        _keep_old_gradients,
    ),
    Injection(
        "clip-by-value",
        "gradients are cut entry by entry, which turns them, instead of shortened by their norm",
        WrongFunction("clip_grad_norm", clipped_by_value),
        needs={"clip_norm": 0.1},
    ),
    Injection(
        "clip-each-alone",
        "each gradient is shortened by its own norm, not all by their common one",
        WrongFunction("clip_grad_norm", clipped_each_alone),
        needs={"clip_norm": 0.1},
    ),
    # --- the schedule
    Injection(
        "cosine-one-step-ahead",
        "the cosine schedule counts its steps from 1",
        WrongFunction("cosine", a_step_ahead),
        needs={"schedule": ("cosine",)},
    ),
    Injection(
        "warmup-one-step-ahead",
        "the linear warm-up counts its steps from 1",
        WrongFunction("linear_warmup", a_step_ahead),
        needs={"schedule": ("linear-warmup",)},
    ),
    Injection(
        "one-cycle-peak-late",
        "the one-cycle schedule reaches its peak a step late",
        WrongFunction("one_cycle", peak_a_step_late),
        needs={"schedule": ("one-cycle",)},
    ),
    # --- the optimizer
    Injection(
        "uphill",
        "SGD adds the gradient instead of subtracting it",
        WrongFunction("sgd_step", uphill),
        needs={"optimizer": ("sgd",)},
    ),
    Injection(
        "momentum-as-mean",
        "SGD's velocity is a running mean, with (1 - momentum) before the gradient",
        WrongFunction("sgd_step", other(dampening=lambda hyper: hyper["momentum"])),
        needs=_MOMENTUM,
    ),
    Injection(
        "optimizer-forgets",
        "the optimizer starts afresh in every step: its moments are not kept",
        _forget_moments,
        needs={"optimizer": ("adam", "adamw", "rmsprop")},
    ),
    Injection(
        "sgd-decay-without-rate",
        "SGD's weight decay shrinks the weights directly, and without the learning rate",
        WrongFunction("sgd_step", decayed_directly(lambda hyper: 1)),
        needs={"optimizer": ("sgd",), "weight_decay": 0.01},
    ),
    Injection(
        "adam-no-bias-correction",
        "Adam's running means, which start at 0, are not corrected for it",
        WrongFunction(
            "adam_step", adam_along(lambda m, v, t, beta1, beta2, eps: m / ((v / (1 - beta2**t)).sqrt() + eps))
        ),
        needs=_ADAM,
    ),
    Injection(
        "adam-correction-late",
        "Adam's bias correction counts one step too many",
        WrongFunction(
            "adam_step",
            adam_along(
                lambda m, v, t, beta1, beta2, eps: (
                    m / (1 - beta1 ** (t + 1)) / ((v / (1 - beta2 ** (t + 1))).sqrt() + eps)
                )
            ),
        ),
        needs=_ADAM,
    ),
    Injection(
        "adam-eps-inside",
        "Adam adds eps inside the square root",
        WrongFunction(
            "adam_step",
            adam_along(lambda m, v, t, beta1, beta2, eps: m / (1 - beta1**t) / (v / (1 - beta2**t) + eps).sqrt()),
        ),
        needs=_ADAM,
    ),
    Injection(
        "adam-betas-swapped",
        "Adam's two betas are swapped",
        WrongFunction("adam_step", other(betas=lambda hyper: hyper["betas"][::-1])),
        needs=_ADAM,
    ),
    Injection(
        "adamw-decay-coupled",
        "AdamW's weight decay goes into the gradient, as Adam's does",
        WrongFunction("adam_step", other(decoupled_weight_decay=lambda hyper: False)),
        needs={"optimizer": ("adamw",), "weight_decay": 0.01},
    ),
    Injection(
        "adam-decay-decoupled",
        "Adam's weight decay stays out of the gradient, as AdamW's does",
        WrongFunction("adam_step", other(decoupled_weight_decay=lambda hyper: True)),
        needs={"optimizer": ("adam",), "weight_decay": 0.01},
    ),
    Injection(
        "rmsprop-eps-inside",
        "RMSprop adds eps inside the square root",
        WrongFunction("rmsprop_step", rmsprop_inside),
        needs={"optimizer": ("rmsprop",)},
    ),
    # --- running statistics and evaluation
    Injection(
        "running-variance-biased",
        "batch norm keeps the biased variance, divided by n, for evaluation",
        WrongOp("batch_norm", forward=running(biased_variance)),
        layer="batch_norm2d",
    ),
    Injection(
        "running-momentum-swapped",
        "batch norm's running mean moves by 1 - momentum",
        WrongOp("batch_norm", forward=running(momentum_swapped)),
        layer="batch_norm2d",
    ),
    Injection(
        "running-statistics-dropped",
        "batch norm's new running statistics are thrown away",
        _drop_statistics,
        layer="batch_norm2d",
    ),
    Injection(
        "batch-norm-batch-in-evaluation",
        "batch norm uses the batch's own statistics in evaluation, too",
        WrongOp("batch_norm", forward=lambda call: call.again(training=True)),
        layer="batch_norm2d",
    ),
    Injection(
        "dropout-in-evaluation",
        "dropout drops in evaluation, too: the network was not switched over",
        WrongOp("dropout", forward=lambda call: call.again(training=True)),
        layer="dropout",
    ),
]
