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

_ADAM: Needs = {"optimizer": ("adam", "adamw")}
_MOMENTUM: Needs = {"optimizer": ("sgd",), "momentum": 0.9}

INJECTIONS = [
    # --- forward
    Injection(
        "bias-forgotten",
        "a linear layer does not add its bias",
        WrongOp("linear", forward=wrong.result_of(bias=lambda call: None)),
        layer="linear",
    ),
    Injection(
        "flatten-channels-last",
        "flatten takes the channels last, as TensorFlow lays out images, not first",
        WrongOp("flatten", forward=wrong.result_of(x=lambda call: call.x.movedim(1, -1))),
        layer="conv2d",
    ),
    Injection(
        "conv-flipped",
        "the kernel is rotated by 180 degrees in forward: a mathematician's convolution, not a library's",
        WrongOp("conv2d", forward=wrong.result_of(weight=lambda call: wrong.turned(call.weight))),
        layer="conv2d",
    ),
    Injection(
        "batch-norm-n-1",
        "batch norm normalises with the unbiased variance, n - 1 for n",
        WrongOp("batch_norm", forward=wrong.normalised_by(wrong.unbiased)),
        layer="batch_norm2d",
    ),
    Injection(
        "batch-norm-eps-outside",
        "batch norm adds eps outside the square root",
        WrongOp("batch_norm", forward=wrong.normalised_by(lambda var, count, call: var.sqrt() + call.eps)),
        layer="batch_norm2d",
    ),
    Injection(
        "dropout-scale-forgotten",
        "dropout does not divide what it keeps by 1 - p",
        WrongOp("dropout", **wrong.rescaled_dropout(lambda p: 1 - p)),
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
        WrongOp("cross_entropy", forward=lambda call: call.again(input=call.input.softmax(wrong.class_axis(call)))),
    ),
    Injection(
        "log-epsilon",
        "the loss takes log(p + 1e-8), so that no logarithm of 0 is taken",
        WrongOp("cross_entropy", forward=wrong.with_epsilon),
    ),
    Injection(
        "label-smoothing-added",
        "label smoothing gives every class its share without taking it from the right one",
        WrongOp("cross_entropy", **wrong.smoothed(lambda e: 1, lambda e, classes: e)),
        needs={"label_smoothing": 0.1},
    ),
    Injection(
        "label-smoothing-others",
        "label smoothing spreads the share as if over the C - 1 wrong classes, and gives it to all C",
        WrongOp(
            "cross_entropy", **wrong.smoothed(lambda e: 1 - e, lambda e, classes: e * classes / (classes - 1 or 1))
        ),
        needs={"label_smoothing": 0.1},
    ),
    Injection(
        "loss-not-averaged",
        "the gradient of the loss lacks the mean's 1/N",
        WrongOp(wrong.LOSSES, backward=wrong.not_averaged),
    ),
    Injection(
        "softmax-gradient-forgotten",
        "the gradient of the loss is -q, without the softmax's own derivative",
        WrongOp("cross_entropy", backward=wrong.dinput_alone(wrong.softmax_forgotten)),
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
        WrongOp("linear", backward=wrong.changed(1, wrong.transposed_in_memory)),
        layer="linear",
    ),
    Injection(
        "linear-bias-averaged",
        "the gradient of a linear bias is a mean over the batch, not a sum",
        WrongOp("linear", backward=wrong.changed(2, lambda dbias, dout, call: dbias / wrong.rows_of(call.x))),
        layer="linear",
    ),
    Injection(
        "linear-sign",
        "the gradient of a linear weight has the wrong sign",
        WrongOp("linear", backward=wrong.changed(1, lambda dweight, dout, call: -dweight)),
        layer="linear",
    ),
    Injection(
        "conv-kernel-not-rotated",
        "the gradient of a convolution's input meets the kernel the wrong way round",
        WrongOp(
            "conv2d",
            backward=wrong.changed(
                0, lambda dx, dout, call: call.again(weight=wrong.turned(call.weight)).grads(dout)[0]
            ),
        ),
        layer="conv2d",
    ),
    Injection(
        "conv-weight-turned",
        "the gradient of a convolution's weight is turned by 180 degrees, which only that of its input's kernel is",
        WrongOp("conv2d", backward=wrong.changed(1, lambda dweight, dout, call: wrong.turned(dweight))),
        layer="conv2d",
    ),
    Injection(
        "conv-weight-flipped",
        "the gradient of a convolution's weight has its output channels in reverse order",
        WrongOp("conv2d", backward=wrong.changed(1, wrong.channels_reversed)),
        layer="conv2d",
    ),
    Injection(
        "max-pool-ties",
        "max-pooling gives the gradient to every pixel that ties for the maximum, not to the first",
        WrongOp("max_pool2d", backward=wrong.every_tie_wins),
        layer="max_pool2d",
    ),
    Injection(
        "batch-norm-mean-constant",
        "batch norm's gradient takes the batch's mean as a constant",
        WrongOp("batch_norm", backward=wrong.changed(0, wrong.batch_norm_dx(mean_term=0))),
        layer="batch_norm2d",
    ),
    Injection(
        "batch-norm-variance-constant",
        "batch norm's gradient takes the batch's variance as a constant",
        WrongOp("batch_norm", backward=wrong.changed(0, wrong.batch_norm_dx(variance_term=0))),
        layer="batch_norm2d",
    ),
    Injection(
        "batch-norm-count",
        "batch norm's gradient divides by the images, not by the images' pixels",
        WrongOp("batch_norm", backward=wrong.changed(0, wrong.batch_norm_dx(count=len))),
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
        WrongFunction("clip_grad_norm", wrong.clipped_by_value),
        needs={"clip_norm": 0.1},
    ),
    Injection(
        "clip-each-alone",
        "each gradient is shortened by its own norm, not all by their common one",
        WrongFunction("clip_grad_norm", wrong.clipped_each_alone),
        needs={"clip_norm": 0.1},
    ),
    # --- the schedule
    Injection(
        "cosine-one-step-ahead",
        "the cosine schedule counts its steps from 1",
        WrongFunction("cosine", wrong.a_step_ahead),
        needs={"schedule": ("cosine",)},
    ),
    Injection(
        "warmup-one-step-ahead",
        "the linear warm-up counts its steps from 1",
        WrongFunction("linear_warmup", wrong.a_step_ahead),
        needs={"schedule": ("linear-warmup",)},
    ),
    Injection(
        "one-cycle-peak-late",
        "the one-cycle schedule reaches its peak a step late",
        WrongFunction("one_cycle", wrong.peak_a_step_late),
        needs={"schedule": ("one-cycle",)},
    ),
    # --- the optimizer
    Injection(
        "uphill",
        "SGD adds the gradient instead of subtracting it",
        WrongFunction("sgd_step", wrong.uphill),
        needs={"optimizer": ("sgd",)},
    ),
    Injection(
        "momentum-as-mean",
        "SGD's velocity is a running mean, with (1 - momentum) before the gradient",
        WrongFunction("sgd_step", wrong.other(dampening=lambda hyper: hyper["momentum"])),
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
        WrongFunction("sgd_step", wrong.decayed_directly(lambda hyper: 1)),
        needs={"optimizer": ("sgd",), "weight_decay": 0.01},
    ),
    Injection(
        "adam-no-bias-correction",
        "Adam's running means, which start at 0, are not corrected for it",
        WrongFunction(
            "adam_step", wrong.adam_along(lambda m, v, t, beta1, beta2, eps: m / ((v / (1 - beta2**t)).sqrt() + eps))
        ),
        needs=_ADAM,
    ),
    Injection(
        "adam-correction-late",
        "Adam's bias correction counts one step too many",
        WrongFunction(
            "adam_step",
            wrong.adam_along(
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
            wrong.adam_along(lambda m, v, t, beta1, beta2, eps: m / (1 - beta1**t) / (v / (1 - beta2**t) + eps).sqrt()),
        ),
        needs=_ADAM,
    ),
    Injection(
        "adam-betas-swapped",
        "Adam's two betas are swapped",
        WrongFunction("adam_step", wrong.other(betas=lambda hyper: hyper["betas"][::-1])),
        needs=_ADAM,
    ),
    Injection(
        "adamw-decay-coupled",
        "AdamW's weight decay goes into the gradient, as Adam's does",
        WrongFunction("adam_step", wrong.other(decoupled_weight_decay=lambda hyper: False)),
        needs={"optimizer": ("adamw",), "weight_decay": 0.01},
    ),
    Injection(
        "adam-decay-decoupled",
        "Adam's weight decay stays out of the gradient, as AdamW's does",
        WrongFunction("adam_step", wrong.other(decoupled_weight_decay=lambda hyper: True)),
        needs={"optimizer": ("adam",), "weight_decay": 0.01},
    ),
    Injection(
        "rmsprop-eps-inside",
        "RMSprop adds eps inside the square root",
        WrongFunction("rmsprop_step", wrong.rmsprop_inside),
        needs={"optimizer": ("rmsprop",)},
    ),
    # --- running statistics and evaluation
    Injection(
        "running-variance-biased",
        "batch norm keeps the biased variance, divided by n, for evaluation",
        WrongOp("batch_norm", forward=wrong.running(wrong.biased_variance)),
        layer="batch_norm2d",
    ),
    Injection(
        "running-momentum-swapped",
        "batch norm's running mean moves by 1 - momentum",
        WrongOp("batch_norm", forward=wrong.running(wrong.momentum_swapped)),
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
