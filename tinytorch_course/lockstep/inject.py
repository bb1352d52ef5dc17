"""Classic mistakes, to be planted in the from-scratch path alone, so that ``tinytorch compare`` shows what they do.

Most are a wrong op or function in place of the right one, written as a learner would, or as what is wrong about the
right one's result; some are mistakes of the training step around the ops. Which tensor tells each of them first, and in
which step, stands in ``tests/lockstep/test_inject.py``.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tinytorch_course.errors import InputError, did_you_mean
from tinytorch_course.lockstep import wrong
from tinytorch_course.lockstep.planting import Plant, WrongFunction, WrongOp, planted
from tinytorch_course.models import MODELS, find_model

Needs = Mapping[str, tuple[str, ...] | float]  # settings: one of these, or a number above 0


class Injection(NamedTuple):
    """A classic mistake, and what a run needs to show it."""

    name: str  # as --inject takes it
    what: str  # in one line
    plant: Plant | Callable[[Any], None]  # what stands in place of the right one, or what changes a learner
    needs: Needs = {}  # noqa: RUF012 - settings: one of these, or a number above 0
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
    if name in MISTAKES:
        return MISTAKES[name]._replace(name=name)
    hint = did_you_mean(name, MISTAKES, "`tinytorch compare --list-mistakes` lists them")
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
    backward, total = learner.net.backward, dict[str, Any]()

    def accumulating_backward(dout, cache, **options):
        dx, grads = backward(dout, cache, **options)
        for name, grad in grads.items():
            total[name] = total[name] + grad if name in total else grad
        return dx, dict(total)

    learner.net = learner.net._replace(backward=accumulating_backward)


def _repeat_masks(learner: Any) -> None:
    forward, first = learner.net.forward, list[Any]()

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


# --- the list --------------------------------------------------------------------------------------------------------


def _op(ops: str | tuple[str, ...], what: str, forward: Any = None, backward: Any = None, **needs: Any) -> Injection:
    """A wrong half of an op, which shows where a network has the layer."""
    layers: dict[Any, Any] = {"flatten": "conv2d", "batch_norm": "batch_norm2d"}
    layers |= dict.fromkeys(["cross_entropy", wrong.LOSSES])  # which every network has
    return Injection("", what, WrongOp(ops, forward, backward), needs, layers.get(ops, ops))


def _function(name: str, what: str, function: Callable[..., Any], **needs: Any) -> Injection:
    return Injection("", what, WrongFunction(name, function), needs)


def _step(what: str, alter: Callable[[Any], None], layer: str | None = None, **needs: Any) -> Injection:
    return Injection("", what, alter, needs, layer)


MISTAKES = {
    # --- forward
    "bias-forgotten": _op(
        "linear", "a linear layer does not add its bias", forward=wrong.result_of(bias=lambda call: None)
    ),
    "flatten-channels-last": _op(
        "flatten",
        "flatten takes the channels last, as TensorFlow lays out images, not first",
        forward=wrong.result_of(x=lambda call: call.x.movedim(1, -1)),
    ),
    "conv-flipped": _op(
        "conv2d",
        "the kernel is rotated by 180 degrees in forward: a mathematician's convolution, not a library's",
        forward=wrong.result_of(weight=lambda call: wrong.turned(call.weight)),
    ),
    "batch-norm-n-1": _op(
        "batch_norm",
        "batch norm normalises with the unbiased variance, n - 1 for n",
        forward=wrong.normalised_by(wrong.unbiased),
    ),
    "batch-norm-eps-outside": _op(
        "batch_norm",
        "batch norm adds eps outside the square root",
        forward=wrong.normalised_by(lambda var, count, call: var.sqrt() + call.eps),
    ),
    "dropout-scale-forgotten": _op(
        "dropout", "dropout does not divide what it keeps by 1 - p", **wrong.rescaled_dropout(lambda p: 1 - p)
    ),
    "dropout-same-mask": _step(
        "dropout uses the first step's masks again in every step", _repeat_masks, layer="dropout"
    ),
    # --- the loss
    "softmax-twice": _op(
        "cross_entropy",
        "the logits go through a softmax before the cross-entropy, which takes one of its own",
        forward=lambda call: call.again(input=call.input.softmax(wrong.class_axis(call))),
    ),
    "log-epsilon": _op(
        "cross_entropy", "the loss takes log(p + 1e-8), so that no logarithm of 0 is taken", forward=wrong.with_epsilon
    ),
    "label-smoothing-added": _op(
        "cross_entropy",
        "label smoothing gives every class its share without taking it from the right one",
        **wrong.smoothed(lambda e: 1, lambda e, classes: e),
        label_smoothing=0.1,
    ),
    "label-smoothing-others": _op(
        "cross_entropy",
        "label smoothing spreads the share as if over the C - 1 wrong classes, and gives it to all C",
        **wrong.smoothed(lambda e: 1 - e, lambda e, classes: e * classes / (classes - 1 or 1)),
        label_smoothing=0.1,
    ),
    "loss-not-averaged": _op(
        wrong.LOSSES, "the gradient of the loss lacks the mean's 1/N", backward=wrong.not_averaged
    ),
    "softmax-gradient-forgotten": _op(
        "cross_entropy",
        "the gradient of the loss is -q, without the softmax's own derivative",
        backward=wrong.dinput_alone(wrong.softmax_forgotten),
    ),
    # --- backward
    "relu-mask-from-dout": _op(
        "relu",
        "the mask of relu's gradient is taken from dout, not from the output",
        backward=lambda dout, call: dout.masked_fill(dout <= 0, 0),
    ),
    "linear-weight-transposed": _op(
        "linear",
        "the gradient of a linear weight is computed transposed and only reshaped",
        backward=wrong.changed(1, wrong.transposed_in_memory),
    ),
    "linear-bias-averaged": _op(
        "linear",
        "the gradient of a linear bias is a mean over the batch, not a sum",
        backward=wrong.changed(2, lambda dbias, dout, call: dbias / wrong.rows_of(call.x)),
    ),
    "linear-sign": _op(
        "linear",
        "the gradient of a linear weight has the wrong sign",
        backward=wrong.changed(1, lambda dweight, dout, call: -dweight),
    ),
    "conv-kernel-not-rotated": _op(
        "conv2d",
        "the gradient of a convolution's input meets the kernel the wrong way round",
        backward=wrong.changed(0, lambda dx, dout, call: call.again(weight=wrong.turned(call.weight)).grads(dout)[0]),
    ),
    "conv-weight-turned": _op(
        "conv2d",
        "the gradient of a convolution's weight is turned by 180 degrees, which only that of its input's kernel is",
        backward=wrong.changed(1, lambda dweight, dout, call: wrong.turned(dweight)),
    ),
    "conv-weight-flipped": _op(
        "conv2d",
        "the gradient of a convolution's weight has its output channels in reverse order",
        backward=wrong.changed(1, wrong.channels_reversed),
    ),
    "max-pool-ties": _op(
        "max_pool2d",
        "max-pooling gives the gradient to every pixel that ties for the maximum, not to the first",
        backward=wrong.every_tie_wins,
    ),
    "batch-norm-mean-constant": _op(
        "batch_norm",
        "batch norm's gradient takes the batch's mean as a constant",
        backward=wrong.changed(0, wrong.batch_norm_dx(mean_term=0)),
    ),
    "batch-norm-variance-constant": _op(
        "batch_norm",
        "batch norm's gradient takes the batch's variance as a constant",
        backward=wrong.changed(0, wrong.batch_norm_dx(variance_term=0)),
    ),
    "batch-norm-count": _op(
        "batch_norm",
        "batch norm's gradient divides by the images, not by the images' pixels",
        backward=wrong.changed(0, wrong.batch_norm_dx(count=len)),
    ),
    "dropout-mask-forgotten": _op(
        "dropout", "dropout's gradient passes everything, also what was dropped", backward=lambda dout, call: dout
    ),
    # --- the gradients' way to the optimizer
    "no-zero-grad": _step("gradients are added to those of all steps before: zero_grad forgotten", _keep_old_gradients),
    "clip-by-value": _function(
        "clip_grad_norm",
        "gradients are cut entry by entry, which turns them, instead of shortened by their norm",
        wrong.clipped_by_value,
        clip_norm=0.1,
    ),
    "clip-each-alone": _function(
        "clip_grad_norm",
        "each gradient is shortened by its own norm, not all by their common one",
        wrong.clipped_each_alone,
        clip_norm=0.1,
    ),
    # --- the schedule
    "cosine-one-step-ahead": _function(
        "cosine", "the cosine schedule counts its steps from 1", wrong.a_step_ahead, schedule=("cosine",)
    ),
    "warmup-one-step-ahead": _function(
        "linear_warmup", "the linear warm-up counts its steps from 1", wrong.a_step_ahead, schedule=("linear-warmup",)
    ),
    "one-cycle-peak-late": _function(
        "one_cycle",
        "the one-cycle schedule reaches its peak a step late",
        wrong.peak_a_step_late,
        schedule=("one-cycle",),
    ),
    # --- the optimizer
    "uphill": _function(
        "sgd_step", "SGD adds the gradient instead of subtracting it", wrong.uphill, optimizer=("sgd",)
    ),
    "momentum-as-mean": _function(
        "sgd_step",
        "SGD's velocity is a running mean, with (1 - momentum) before the gradient",
        wrong.other(dampening=lambda hyper: hyper["momentum"]),
        optimizer=("sgd",),
        momentum=0.9,
    ),
    "optimizer-forgets": _step(
        "the optimizer starts afresh in every step: its moments are not kept",
        _forget_moments,
        optimizer=("adam", "adamw", "rmsprop"),
    ),
    "sgd-decay-without-rate": _function(
        "sgd_step",
        "SGD's weight decay shrinks the weights directly, and without the learning rate",
        wrong.decayed_directly(lambda hyper: 1),
        optimizer=("sgd",),
        weight_decay=0.01,
    ),
    "adam-no-bias-correction": _function(
        "adam_step",
        "Adam's running means, which start at 0, are not corrected for it",
        wrong.adam_along(lambda m, v, t, beta1, beta2, eps: m / ((v / (1 - beta2**t)).sqrt() + eps)),
        optimizer=("adam", "adamw"),
    ),
    "adam-correction-late": _function(
        "adam_step",
        "Adam's bias correction counts one step too many",
        wrong.adam_along(
            lambda m, v, t, beta1, beta2, eps: m / (1 - beta1 ** (t + 1)) / ((v / (1 - beta2 ** (t + 1))).sqrt() + eps)
        ),
        optimizer=("adam", "adamw"),
    ),
    "adam-eps-inside": _function(
        "adam_step",
        "Adam adds eps inside the square root",
        wrong.adam_along(lambda m, v, t, beta1, beta2, eps: m / (1 - beta1**t) / (v / (1 - beta2**t) + eps).sqrt()),
        optimizer=("adam", "adamw"),
    ),
    "adam-betas-swapped": _function(
        "adam_step",
        "Adam's two betas are swapped",
        wrong.other(betas=lambda hyper: hyper["betas"][::-1]),
        optimizer=("adam", "adamw"),
    ),
    "adamw-decay-coupled": _function(
        "adam_step",
        "AdamW's weight decay goes into the gradient, as Adam's does",
        wrong.other(decoupled_weight_decay=lambda hyper: False),
        optimizer=("adamw",),
        weight_decay=0.01,
    ),
    "adam-decay-decoupled": _function(
        "adam_step",
        "Adam's weight decay stays out of the gradient, as AdamW's does",
        wrong.other(decoupled_weight_decay=lambda hyper: True),
        optimizer=("adam",),
        weight_decay=0.01,
    ),
    "rmsprop-eps-inside": _function(
        "rmsprop_step", "RMSprop adds eps inside the square root", wrong.rmsprop_inside, optimizer=("rmsprop",)
    ),
    # --- running statistics and evaluation
    "running-variance-biased": _op(
        "batch_norm",
        "batch norm keeps the biased variance, divided by n, for evaluation",
        forward=wrong.running(wrong.biased_variance),
    ),
    "running-momentum-swapped": _op(
        "batch_norm", "batch norm's running mean moves by 1 - momentum", forward=wrong.running(wrong.momentum_swapped)
    ),
    "running-statistics-dropped": _step(
        "batch norm's new running statistics are thrown away", _drop_statistics, layer="batch_norm2d"
    ),
    "batch-norm-batch-in-evaluation": _op(
        "batch_norm",
        "batch norm uses the batch's own statistics in evaluation, too",
        forward=lambda call: call.again(training=True),
    ),
    "dropout-in-evaluation": _op(
        "dropout",
        "dropout drops in evaluation, too: the network was not switched over",
        forward=lambda call: call.again(training=True),
    ),
}
INJECTIONS = [mistake._replace(name=name) for name, mistake in MISTAKES.items()]
