"""Classic mistakes, to be planted in the from-scratch path alone, so that ``tinytorch compare`` shows what they do.

Most are one changed piece of our source, as in ``mistakes.py``; some are mistakes of the training step around the ops.
Which tensor tells each of them first, and in which step, stands in ``tests/lockstep/test_inject.py``.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from tinytorch_course.errors import InputError, did_you_mean
from tinytorch_course.lockstep.mistakes import MISTAKES, Mistake, planted
from tinytorch_course.models import MODELS, find_model


class Injection(NamedTuple):
    """A classic mistake, and what a run needs to show it."""

    name: str  # as --inject takes it
    what: str  # in one line
    plant: str | Mistake | Callable[[Any], None]  # a name in ``mistakes.py``, or its like, or what changes a learner
    needs: dict[str, tuple[str, ...] | float] = {}  # noqa: RUF012 - settings: one of these, or a number above 0
    layer: str | None = None  # that the network must have

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """While this is open, the from-scratch code makes the mistake, if it is one of our source.

        Raises:
            InputError: if the source is no longer what the mistake changes.
        """
        with contextlib.ExitStack() as stack:
            if not callable(self.plant):
                try:
                    stack.enter_context(planted(self.mistake()))
                except (LookupError, AttributeError) as error:
                    raise InputError(f"{self.name} cannot be injected: the source it changes is another now") from error
            yield

    def mistake(self) -> Mistake:
        """The piece of changed source.

        Raises:
            LookupError: if there is no mistake of that name.
        """
        if isinstance(self.plant, Mistake):
            return self.plant
        return {mistake.name: mistake for mistake in MISTAKES}[self.plant]

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


# --- the list --------------------------------------------------------------------------------------------------------

_ADAM = {"optimizer": ("adam", "adamw")}
_MOMENTUM = {"optimizer": ("sgd",), "momentum": 0.9}

INJECTIONS = [
    # --- forward
    Injection(
        "bias-forgotten",
        "a linear layer does not add its bias",
        Mistake("ops.linear", "linear_forward", "out = out + bias", "pass", "bias not added"),
        layer="linear",
    ),
    Injection(
        "flatten-channels-last",
        "flatten takes the channels last, as TensorFlow lays out images, not first",
        Mistake(
            "ops.reshaping", "flatten_forward", "x.reshape(shape)", "x.movedim(1, -1).reshape(shape)", "channels last"
        ),
        layer="conv2d",
    ),
    Injection(
        "conv-flipped",
        "the kernel is rotated by 180 degrees in forward: a mathematician's convolution, not a library's",
        Mistake(
            "ops.convolution",
            "conv2d_forward",
            "_slide(weight, x, geometry)",
            "_slide(weight.flip(2, 3), x, geometry)",
            "kernel rotated in forward",
        ),
        layer="conv2d",
    ),
    Injection(
        "batch-norm-n-1",
        "batch norm normalises with the unbiased variance, n - 1 for n",
        "batch_norm_forward: n - 1 for n",
        layer="batch_norm2d",
    ),
    Injection(
        "batch-norm-eps-outside",
        "batch norm adds eps outside the square root",
        "batch_norm_forward: eps outside the root",
        layer="batch_norm2d",
    ),
    Injection(
        "dropout-scale-forgotten",
        "dropout does not divide what it keeps by 1 - p",
        "_scaled: the scale forgotten",
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
        Mistake(
            "losses",
            "cross_entropy_forward",
            "log_softmax_forward(input, class_dim)",
            "log_softmax_forward(torch.exp(log_softmax_forward(input, class_dim)[0]), class_dim)",
            "softmax twice",
        ),
    ),
    Injection(
        "log-epsilon",
        "the loss takes log(p + 1e-8), so that no logarithm of 0 is taken",
        Mistake(
            "losses",
            "cross_entropy_forward",
            "log_probs, _ = log_softmax_forward(input, class_dim)",
            "log_probs = torch.log(torch.exp(log_softmax_forward(input, class_dim)[0]) + 1e-8)",
            "an epsilon inside the logarithm",
        ),
    ),
    Injection(
        "label-smoothing-added",
        "label smoothing gives every class its share without taking it from the right one",
        "cross_entropy_forward: smoothing added, nothing taken away",
        needs={"label_smoothing": 0.1},
    ),
    Injection(
        "label-smoothing-others",
        "label smoothing spreads the share as if over the C - 1 wrong classes, and gives it to all C",
        "cross_entropy_forward: smoothing over the wrong classes alone",
        needs={"label_smoothing": 0.1},
    ),
    Injection(
        "loss-not-averaged",
        "the gradient of the loss lacks the mean's 1/N",
        "_spread: the mean's 1/N forgotten",
    ),
    Injection(
        "softmax-gradient-forgotten",
        "the gradient of the loss is -q, without the softmax's own derivative",
        "cross_entropy_backward: the softmax's own derivative forgotten",
    ),
    # --- backward
    Injection(
        "relu-mask-from-dout",
        "the mask of relu's gradient is taken from dout, not from the output",
        "relu_backward: the mask taken from dout",
        layer="relu",
    ),
    Injection(
        "linear-weight-transposed",
        "the gradient of a linear weight is computed transposed and only reshaped",
        "linear_backward: dweight transposed in memory",
        layer="linear",
    ),
    Injection(
        "linear-bias-averaged",
        "the gradient of a linear bias is a mean over the batch, not a sum",
        "linear_backward: a mean where a sum belongs",
        layer="linear",
    ),
    Injection(
        "linear-sign",
        "the gradient of a linear weight has the wrong sign",
        "linear_backward: dweight's sign flipped",
        layer="linear",
    ),
    Injection(
        "conv-kernel-not-rotated",
        "the gradient of a convolution's input meets the kernel the wrong way round",
        "_slide_back: kernel not turned",
        layer="conv2d",
    ),
    Injection(
        "conv-weight-turned",
        "the gradient of a convolution's weight is turned by 180 degrees, which only that of its input's kernel is",
        "conv2d_backward: dweight turned by 180 degrees",
        layer="conv2d",
    ),
    Injection(
        "conv-weight-flipped",
        "the gradient of a convolution's weight has its output channels in reverse order",
        "conv2d_backward: kernel rotated",
        layer="conv2d",
    ),
    Injection(
        "max-pool-ties",
        "max-pooling gives the gradient to every pixel that ties for the maximum, not to the first",
        "max_pool2d_backward: every tied pixel wins",
        layer="max_pool2d",
    ),
    Injection(
        "batch-norm-mean-constant",
        "batch norm's gradient takes the batch's mean as a constant",
        "batch_norm_backward: the mean taken as constant",
        layer="batch_norm2d",
    ),
    Injection(
        "batch-norm-variance-constant",
        "batch norm's gradient takes the batch's variance as a constant",
        "batch_norm_backward: the variance taken as constant",
        layer="batch_norm2d",
    ),
    Injection(
        "batch-norm-count",
        "batch norm's gradient divides by the images, not by the images' pixels",
        "batch_norm_backward: pixels not counted",
        layer="batch_norm2d",
    ),
    Injection(
        "dropout-mask-forgotten",
        "dropout's gradient passes everything, also what was dropped",
        "dropout_backward: the mask forgotten",
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
        Mistake(
            "clipping",
            "clip_grad_norm",
            "grad * factor.to(grad.device)",
            "grad.clamp(-max_norm, max_norm)",
            "cut by value",
        ),
        needs={"clip_norm": 0.1},
    ),
    Injection(
        "clip-each-alone",
        "each gradient is shortened by its own norm, not all by their common one",
        Mistake(
            "clipping",
            "clip_grad_norm",
            "grad * factor.to(grad.device)",
            "grad * (max_norm / (_norm(grad, p) + 1e-6)).clamp_max(1)",
            "each by its own norm",
        ),
        needs={"clip_norm": 0.1},
    ),
    # --- the schedule
    Injection(
        "cosine-one-step-ahead",
        "the cosine schedule counts its steps from 1",
        Mistake("schedules", "cosine", "math.pi * step / T_max", "math.pi * (step + 1) / T_max", "a step ahead"),
        needs={"schedule": ("cosine",)},
    ),
    Injection(
        "warmup-one-step-ahead",
        "the linear warm-up counts its steps from 1",
        Mistake(
            "schedules",
            "linear_warmup",
            "part = min(step / total_iters, 1)",
            "part = min((step + 1) / total_iters, 1)",
            "a step ahead",
        ),
        needs={"schedule": ("linear-warmup",)},
    ),
    Injection(
        "one-cycle-peak-late",
        "the one-cycle schedule reaches its peak a step late",
        Mistake(
            "schedules",
            "one_cycle",
            "rise - 1, max_lr, base_momentum",
            "rise, max_lr, base_momentum",
            "the peak a step late",
        ),
        needs={"schedule": ("one-cycle",)},
    ),
    # --- the optimizer
    Injection(
        "uphill",
        "SGD adds the gradient instead of subtracting it",
        Mistake("optimizers", "sgd_step", "param - lr * velocity", "param + lr * velocity", "uphill"),
        needs={"optimizer": ("sgd",)},
    ),
    Injection(
        "momentum-as-mean",
        "SGD's velocity is a running mean, with (1 - momentum) before the gradient",
        Mistake(
            "optimizers",
            "sgd_step",
            "momentum * buffer + (1 - dampening) * grad",
            "momentum * buffer + (1 - momentum) * grad",
            "a running mean instead of a velocity",
        ),
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
        Mistake(
            "optimizers",
            "sgd_step",
            "grad = grad + weight_decay * param",
            "param = param - weight_decay * param",
            "decay decoupled, and without the rate",
        ),
        needs={"optimizer": ("sgd",), "weight_decay": 0.01},
    ),
    Injection(
        "adam-no-bias-correction",
        "Adam's running means, which start at 0, are not corrected for it",
        Mistake(
            "optimizers",
            "adam_step",
            "rate = lr / (1 - beta1**step)",
            "rate = lr",
            "no bias correction of the mean",
        ),
        needs=_ADAM,
    ),
    Injection(
        "adam-correction-late",
        "Adam's bias correction counts one step too many",
        Mistake(
            "optimizers", "adam_step", "(1 - beta1**step)", "(1 - beta1 ** (step + 1))", "bias correction off by one"
        ),
        needs=_ADAM,
    ),
    Injection(
        "adam-eps-inside",
        "Adam adds eps inside the square root",
        Mistake(
            "optimizers",
            "adam_step",
            "mean_square.sqrt_().add_(eps)",
            "mean_square.add_(eps).sqrt_()",
            "eps inside the root",
        ),
        needs=_ADAM,
    ),
    Injection(
        "adam-betas-swapped",
        "Adam's two betas are swapped",
        Mistake("optimizers", "adam_step", "beta1, beta2 = betas", "beta2, beta1 = betas", "betas swapped"),
        needs=_ADAM,
    ),
    Injection(
        "adamw-decay-coupled",
        "AdamW's weight decay goes into the gradient, as Adam's does",
        Mistake(
            "optimizers",
            "adam_step",
            "param = param - lr * weight_decay * param",
            "grad = grad + weight_decay * param",
            "AdamW's decay coupled",
        ),
        needs={"optimizer": ("adamw",), "weight_decay": 0.01},
    ),
    Injection(
        "adam-decay-decoupled",
        "Adam's weight decay stays out of the gradient, as AdamW's does",
        Mistake(
            "optimizers",
            "adam_step",
            "grad = grad + weight_decay * param",
            "param = param - lr * weight_decay * param",
            "Adam's decay decoupled",
        ),
        needs={"optimizer": ("adam",), "weight_decay": 0.01},
    ),
    Injection(
        "rmsprop-eps-inside",
        "RMSprop adds eps inside the square root",
        Mistake(
            "optimizers",
            "rmsprop_step",
            "torch.sqrt(mean_square) + eps",
            "torch.sqrt(mean_square + eps)",
            "eps inside the root",
        ),
        needs={"optimizer": ("rmsprop",)},
    ),
    # --- running statistics and evaluation
    Injection(
        "running-variance-biased",
        "batch norm keeps the biased variance, divided by n, for evaluation",
        "batch_norm_forward: biased running variance",
        layer="batch_norm2d",
    ),
    Injection(
        "running-momentum-swapped",
        "batch norm's running mean moves by 1 - momentum",
        "batch_norm_forward: momentum the other way round",
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
        "batch_norm_forward: batch statistics in evaluation",
        layer="batch_norm2d",
    ),
    Injection(
        "dropout-in-evaluation",
        "dropout drops in evaluation, too: the network was not switched over",
        Mistake("ops.dropout", "dropout_forward", "not training or (p", "False or (p", "dropped in evaluation"),
        layer="dropout",
    ),
]
