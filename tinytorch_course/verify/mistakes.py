"""Planted mistakes: what people get wrong when they write gradients by hand, as one changed piece of our source each.

A check that no mistake can fail proves nothing. ``tests/verify/test_mistakes.py`` plants each of these in turn and
demands that the case tables reject it.
"""

import contextlib
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import NamedTuple


class Mistake(NamedTuple):
    """In ``function`` of ``tinytorch_course.scratch.<module>``, ``wrong`` stands where ``right`` should."""

    module: str
    function: str
    right: str
    wrong: str
    what: str  # in a few words
    diagnosis: str = ""  # the key of the finding that should name it

    @property
    def name(self) -> str:
        return f"{self.function}: {self.what}"


@contextlib.contextmanager
def planted(mistake: Mistake) -> Iterator[None]:
    """While this is open, the from-scratch code makes the mistake.

    Raises:
        LookupError: if the right text does not stand in the function exactly once, because the code has changed.
    """
    module = importlib.import_module(f"tinytorch_course.scratch.{mistake.module}")
    function = getattr(module, mistake.function)
    source = textwrap.dedent(inspect.getsource(function))
    count = source.count(mistake.right)
    if count != 1:
        raise LookupError(f"{mistake.right!r} stands {count} times in {mistake.module}.{mistake.function}, not once")
    changed = compile(source.replace(mistake.right, mistake.wrong), f"<mistake: {mistake.name}>", "exec")
    definitions: dict = {}
    exec(changed, module.__dict__, definitions)
    definitions[mistake.function].__wrapped__ = function  # so that inspect still finds where the right one stands
    setattr(module, mistake.function, definitions[mistake.function])
    try:
        yield
    finally:
        setattr(module, mistake.function, function)


MISTAKES = [
    # --- linear
    Mistake("ops.linear", "linear_forward", "x @ weight.mT if", "x @ weight.mT * 2 if", "a factor of 2", "factor-2"),
    Mistake(
        "ops.linear",
        "linear_backward",
        "dout_rows.mT @ x_rows",
        "-(dout_rows.mT @ x_rows)",
        "dweight's sign flipped",
        "sign",
    ),
    Mistake(
        "ops.linear",
        "linear_backward",
        "dout_rows.sum(dim=0)",
        "dout_rows.mean(dim=0)",
        "a mean where a sum belongs",
        "extra-mean",
    ),
    Mistake(
        "ops.linear", "linear_backward", "dout_rows.sum(dim=0)", "dout_rows[0]", "no sum over the batch", "missing-sum"
    ),
    Mistake(
        "ops.linear",
        "linear_backward",
        "dout_rows.mT @ x_rows",
        "(x_rows.mT @ dout_rows)",
        "dweight transposed in memory",
        "transposed",
    ),
    Mistake(
        "ops.linear",
        "linear_backward",
        "x_rows).reshape",
        "x_rows / len(x_rows)).reshape",
        "an extra 1/N",
        "extra-mean",
    ),
    # --- activation
    Mistake(
        "ops.activation",
        "relu_backward",
        "out.sign()",
        "(dout > 0).to(dout)",
        "the mask taken from dout",
        "mask-from-dout",
    ),
    Mistake(
        "ops.activation",
        "relu_backward",
        "out.sign()",
        "(out >= 0).to(dout)",
        "a mask that is always true",
        "passed-through",
    ),
    Mistake(
        "ops.activation",
        "leaky_relu_backward",
        "torch.where(x > 0",
        "torch.where(x >= 0",
        "the positive slope at zero",
        "kink",
    ),
    Mistake(
        "ops.activation",
        "leaky_relu_backward",
        "negative_slope * dout",
        "negative_slope",
        "dout forgotten below zero",
        "dout-ignored",
    ),
    Mistake("ops.activation", "sigmoid_backward", "* (1 - out)", "", "half of the derivative", "factor-missing"),
    Mistake("ops.activation", "tanh_backward", "out * out", "out", "tanh not squared", "not-squared"),
    Mistake(
        "ops.activation",
        "gelu_backward",
        "cdf + x * slope",
        "cdf",
        "the product rule's second term dropped",
        "product-rule",
    ),
    Mistake(
        "ops.activation",
        "gelu_backward",
        "/ math.sqrt(2 * math.pi)",
        "/ math.sqrt(math.pi)",
        "the density's constant",
        "constant",
    ),
    Mistake(
        "ops.activation",
        "gelu_backward",
        "1 + 3 * 0.044715",
        "1 + 0.044715",
        "the cube's 3 forgotten",
        "inner-derivative",
    ),
    Mistake(
        "ops.activation", "softmax_forward", "x - x.amax(dim, keepdim=True)", "x", "no shift: overflow", "not-finite"
    ),
    Mistake(
        "ops.activation",
        "softmax_backward",
        "(dout - (dout * out).sum(dim, keepdim=True))",
        "dout",
        "only the diagonal",
        "mean-term-dropped",
    ),
    Mistake(
        "ops.activation",
        "softmax_backward",
        ".sum(dim, keepdim=True)",
        ".sum(0, keepdim=True)",
        "the wrong axis",
        "wrong-axis",
    ),
    Mistake(
        "ops.activation", "softmax_backward", ".sum(dim", ".mean(dim", "a mean where a sum belongs", "mean-for-sum"
    ),
    Mistake(
        "ops.activation",
        "log_softmax_forward",
        "shifted = x - x.amax(dim, keepdim=True)",
        "shifted = x",
        "no shift",
        "not-finite",
    ),
    Mistake(
        "ops.activation",
        "log_softmax_backward",
        "torch.exp(out) *",
        "out *",
        "log-probabilities for probabilities",
        "logarithm-for-probability",
    ),
    Mistake(
        "ops.activation",
        "log_softmax_backward",
        " * dout.sum(dim, keepdim=True)",
        "",
        "as if dout summed to one",
        "dout-not-summed",
    ),
    # --- convolution
    Mistake(
        "ops.convolution",
        "conv2d_backward",
        "block.stop * p * q]\n    dweight",
        "block.stop * p * q].flip(2)\n    dweight",
        "kernel rotated",
        "reversed",
    ),
    Mistake(
        "ops.convolution",
        "conv2d_backward",
        "permute(0, 3, 1, 2).contiguous()",
        "flip(1, 2).permute(0, 3, 1, 2).contiguous()",
        "dweight turned by 180 degrees",
        "kernel-not-rotated",
    ),
    Mistake(
        "ops.convolution",
        "conv2d_backward",
        "drows_of_weight += windows",
        "drows_of_weight = windows",
        "only the last block",
        "missing-sum",
    ),
    Mistake(
        "ops.convolution",
        "conv2d_backward",
        "dout_rows.sum(dim=1)",
        "dout_rows.mean(dim=1)",
        "dbias averaged over pixels",
        "extra-mean",
    ),
    Mistake("ops.convolution", "_slide_back", ".flip(2, 3)", "", "kernel not turned", "kernel-not-rotated"),
    Mistake(
        "ops.convolution",
        "_add_windows",
        "taps += windows",
        "taps[:] = windows",
        "overlapping windows assigned",
        "overlap-assigned",
    ),
    Mistake(
        "ops.convolution", "_add_windows", "a * dh : a * dh +", "a : a +", "dilation ignored in dx", "dilation-ignored"
    ),
    Mistake(
        "ops.convolution",
        "_add_windows",
        "a * dh : a * dh + sh * (p - 1) + 1 : sh",
        "a * dh : a * dh + p",
        "vertical stride ignored in dx",
        "stride-ignored",
    ),
    Mistake(
        "ops.convolution",
        "_add_windows",
        "windows[:, :, :, :, a, b]",
        "windows[:, :, :, :, -a - 1, b]",
        "kernel upside down",
        "kernel-not-rotated",
    ),
    Mistake(
        "ops.convolution",
        "_unpad",
        "top : padded.shape[1] - bottom",
        "bottom : padded.shape[1] - top",
        "an odd padding on top",
        "padding-off-by-one",
    ),
    Mistake(
        "ops.convolution",
        "padding_sides",
        "vertical, vertical, horizontal, horizontal",
        "horizontal, horizontal, vertical, vertical",
        "axes mixed up",
        "axes-swapped",
    ),
    Mistake(
        "ops.convolution", "_weight_rows", "0, 2, 3, 1", "0, 3, 2, 1", "kernel's axes swapped", "kernel-transposed"
    ),
    Mistake(
        "ops.convolution",
        "conv2d_forward",
        "    if bias is not None:\n        out += bias[:, None, None]\n",
        "",
        "bias forgotten",
        "unused-argument",
    ),
    # --- pooling
    Mistake(
        "ops.pooling",
        "max_pool2d_backward",
        "        left[inside] -= taken\n",
        "",
        "every tied pixel wins",
        "ties-all",
    ),
    Mistake(
        "ops.pooling",
        "max_pool2d_backward",
        "dx[taps] +=",
        "dx[taps] =",
        "overlapping windows assigned",
        "overlap-assigned",
    ),
    Mistake(
        "ops.pooling",
        "_winners",
        "== out[inside]) & undecided[inside]",
        "== out[inside])",
        "positions of ties added up",
        "ties-all",
    ),
    Mistake(
        "ops.pooling", "avg_pool2d_backward", "dout / divisor", "dout", "the mean's divisor forgotten", "missing-mean"
    ),
    Mistake(
        "ops.pooling",
        "avg_pool2d_backward",
        "dx[taps] +=",
        "dx[taps] =",
        "overlapping windows assigned",
        "overlap-assigned",
    ),
    Mistake(
        "ops.pooling",
        "_divisor",
        "if count_include_pad else (0, size)",
        "",
        "padding always counted",
        "ignored-keyword",
    ),
    Mistake(
        "ops.pooling",
        "_divisor",
        "size + padding)",
        "size + 2 * padding)",
        "pixels over the edge counted",
        "wrong-divisor",
    ),
    Mistake("ops.pooling", "_span", "- windows.padding[axis]", "", "padding forgotten", "padding-ignored"),
    Mistake(
        "ops.pooling",
        "_prepare",
        "if ceil_mode and (count - 1)",
        "if False and (count - 1)",
        "a window outside the image",
        "window-outside",
    ),
    Mistake(
        "ops.pooling",
        "adaptive_avg_pool2d_backward",
        "vertical.mT @",
        "vertical.shape[1] * vertical.mT @",
        "not divided",
        "missing-mean",
    ),
    Mistake(
        "ops.pooling",
        "_averaging_matrix",
        "-(-(index + 1) * size // count)",
        "(index + 1) * size // count",
        "floor for ceiling",
        "floor-for-ceiling",
    ),
    # --- batch norm
    Mistake(
        "ops.normalization", "batch_norm_forward", "(count / (count - 1))", "1", "biased running variance", "n-for-n-1"
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_forward",
        "(1 - momentum) * running_mean + momentum * mean",
        "momentum * running_mean + (1 - momentum) * mean",
        "momentum the other way round",
        "momentum-swapped",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_forward",
        "torch.sqrt(var + eps)",
        "(torch.sqrt(var) + eps)",
        "eps outside the root",
        "eps-misplaced",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_forward",
        "    if training:\n        # In two",
        "    if True:\n        # In two",
        "batch statistics in evaluation",
        "mode-mixed-up",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_forward",
        "var = out.mean(dim=_axes_but_channel(x))",
        "var = out.sum(dim=_axes_but_channel(x)) / (x.numel() // x.shape[1] - 1)",
        "n - 1 for n",
        "n-1-for-n",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_backward",
        "        dx.addcmul_(centred, _per_channel(slope, x))\n",
        "",
        "the variance taken as constant",
        "mean-terms-dropped",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_backward",
        "-scale * dbias / count",
        "0 * dbias",
        "the mean taken as constant",
        "mean-terms-dropped",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_backward",
        "count = x.numel() // x.shape[1]",
        "count = x.shape[0]",
        "pixels not counted",
        "pixels-not-counted",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_backward",
        "if training:",
        "if True:",
        "evaluation differentiated as training",
        "mode-mixed-up",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_backward",
        "product.sum(dim=axes)\n    if len(x) > 0:  # an empty batch has no deviation\n        dweight *= inverse_std",
        "(dout * x).sum(dim=axes)",
        "dweight from x",
        "input-for-normalised",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_long_backward",
        "dx = dx + dmean / count",
        "dx = dx",
        "the mean's path forgotten",
        "mean-terms-dropped",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_long_backward",
        "dstd / (2 * std)",
        "dstd / std",
        "the root's factor 1/2",
        "root-factor",
    ),
    # --- dropout, flatten, padding, addition
    Mistake("ops.dropout", "_scaled", ".div_(1 - p)", "", "the scale forgotten", "scale-forgotten"),
    Mistake("ops.dropout", "_scaled", ".div_(1 - p)", ".div_(p)", "scaled by the part that was dropped", "scale-wrong"),
    Mistake("ops.dropout", "dropout_backward", "_scaled(dout, mask, p)", "dout", "the mask forgotten", "mask-missing"),
    Mistake(
        "ops.reshaping",
        "flatten_backward",
        "dout.reshape",
        "dout.flip(0).reshape",
        "samples in reverse order",
        "reversed",
    ),
    Mistake(
        "ops.reshaping",
        "_source",
        "place.abs()",
        "(place.abs() - (place < 0).long())",
        "the edge pixel repeated",
        "edge-repeated",
    ),
    Mistake("ops.residual", "add_backward", "alpha * _sum_to", "_sum_to", "alpha forgotten", "ignored-keyword"),
    Mistake(
        "ops.residual",
        "_sum_to",
        "dout.sum(dim=axes, keepdim=True)",
        "dout.mean(dim=axes, keepdim=True)",
        "a mean over the copies",
        "extra-mean",
    ),
    # --- losses
    Mistake(
        "losses",
        "_reduce",
        "losses.sum() / count",
        "losses.mean()",
        "a plain mean in place of the weighted one",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "_spread",
        'dloss / count if reduction == "mean" else dloss',
        "dloss",
        "the mean's 1/N forgotten",
        "missing-mean",
    ),
    Mistake(
        "losses", "_spread", 'reduction == "mean"', 'reduction != "sum"', "1/N also without reduction", "extra-mean"
    ),
    # --- losses: mse and l1
    Mistake("losses", "mse_loss_forward", "diff * diff", "diff * diff / 2", "half the square", "factor-2"),
    Mistake("losses", "mse_loss_backward", "2 * diff * dlosses", "diff * dlosses", "the 2 forgotten", "factor-2"),
    Mistake("losses", "mse_loss_backward", "diff = input - target", "diff = target - input", "sign flipped", "sign"),
    Mistake(
        "losses",
        "mse_loss_backward",
        "_times(2 * diff * dlosses, weight)",
        "2 * diff * dlosses",
        "weight forgotten",
        "ignored-keyword",
    ),
    Mistake(
        "losses",
        "mse_loss_backward",
        "_total_weight(diff, weight), diff.shape",
        "input.numel(), diff.shape",
        "mean over input's size, not the broadcast one",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "mse_loss_backward",
        "_total_weight(diff, weight), diff.shape",
        "diff.numel(), diff.shape",
        "mean over the count, not the weights",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "_total_weight",
        "weight.sum()",
        "losses.numel()",
        "weighted mean divided by the count",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "_difference_backward",
        "-ddiff.sum_to_size(target.shape)",
        "ddiff.sum_to_size(target.shape)",
        "dtarget's sign",
        "sign",
    ),
    Mistake(
        "losses",
        "l1_loss_backward",
        "diff.sign()",
        "torch.where(diff >= 0, 1.0, -1.0).to(diff.dtype)",
        "slope 1 at a kink",
        "kink",
    ),
    Mistake("losses", "l1_loss_backward", "diff.sign()", "diff / (diff.abs() + 1e-8)", "a softened sign", "eps-added"),
    Mistake(
        "losses",
        "l1_loss_backward",
        "_times(diff.sign() * dlosses, weight)",
        "diff.sign() * dlosses",
        "weight forgotten",
        "ignored-keyword",
    ),
    # --- losses: binary cross-entropy
    Mistake(
        "losses",
        "binary_cross_entropy_forward",
        "torch.log(input).clamp_min(-100)",
        "torch.log(input)",
        "log 0 not clamped",
        "not-finite",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_forward",
        "torch.log(input).clamp_min(-100)",
        "torch.log(input + 1e-8)",
        "an epsilon inside the logarithm",
        "eps-added",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_forward",
        "_reduce(losses, reduction, losses.numel())",
        "_reduce(losses, reduction, losses.numel() if weight is None else weight.sum())",
        "mean over the weights",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        ".clamp_min(LEAST_VARIANCE)",
        "",
        "division by 0 at p of 0 and 1",
        "not-finite",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        "(input * (1 - input)).clamp_min(LEAST_VARIANCE)",
        "(input * (1 - input) + LEAST_VARIANCE)",
        "an epsilon added, not a bound",
        "eps-added",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        "(input - target) / (input * (1 - input)).clamp_min(LEAST_VARIANCE)",
        "(input - target)",
        "the gradient for logits",
        "logits-for-probabilities",
    ),
    Mistake(
        "losses", "binary_cross_entropy_backward", "(input - target) /", "(target - input) /", "sign flipped", "sign"
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        "torch.log1p(-input) - torch.log(input)",
        "-torch.log(input)",
        "dtarget of the yes alone",
        "half-dropped",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        "torch.log1p(-input) - torch.log(input)",
        "torch.log1p(-input).clamp_min(-100) - torch.log(input).clamp_min(-100)",
        "dtarget bounded",
        "clamped",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        "_times(_spread(dloss, reduction, input.numel(), input.shape), weight)",
        "_spread(dloss, reduction, input.numel(), input.shape)",
        "weight forgotten",
        "ignored-keyword",
    ),
    # --- losses: binary cross-entropy with logits
    Mistake(
        "losses",
        "_softplus",
        "x.clamp_min(0) + torch.log1p(torch.exp(-x.abs()))",
        "torch.log1p(torch.exp(x))",
        "overflows",
        "not-finite",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_forward",
        "yes * _softplus(-input)",
        "target * _softplus(-input)",
        "pos_weight forgotten",
        "ignored-keyword",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_forward",
        "(1 - target) * _softplus(input)",
        "(1 - yes) * _softplus(input)",
        "pos_weight takes from the no",
        "pos-weight-misplaced",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_backward",
        "(1 - target) / (1 + torch.exp(-input)) - yes / (1 + torch.exp(input))",
        "1 / (1 + torch.exp(-input)) - target",
        "the formula without pos_weight",
        "ignored-keyword",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_backward",
        "(1 - target) / (1 + torch.exp(-input))",
        "(1 - target) * torch.exp(input) / (1 + torch.exp(input))",
        "inf / inf for large logits",
        "not-finite",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_backward",
        "- yes / (1 + torch.exp(input))",
        "+ yes / (1 + torch.exp(input))",
        "a sign",
        "term-sign",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_backward",
        "_times(_softplus(-input), pos_weight) - _softplus(input)",
        "-input",
        "dtarget without pos_weight",
        "ignored-keyword",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_backward",
        "input.numel()",
        "(input.numel() if weight is None else weight.sum())",
        "mean over the weights",
        "wrong-divisor",
    ),
    # --- losses: nll
    Mistake(
        "losses",
        "nll_loss_forward",
        "_reduce(losses, reduction, sample_weight.sum())",
        "_reduce(losses, reduction, losses.numel())",
        "ignored samples counted",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "nll_loss_forward",
        "_reduce(losses, reduction, sample_weight.sum())",
        "_reduce(losses, reduction, kept.sum())",
        "mean over the samples, not their weights",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "nll_loss_forward",
        "torch.where(kept, -sample_weight * picked, 0)",
        "(-sample_weight * picked)",
        "0 · inf for an ignored sample",
        "not-finite",
    ),
    Mistake(
        "losses",
        "nll_loss_backward",
        "torch.where(kept, -sample_weight * dlosses, 0)",
        "-sample_weight * dlosses",
        "nan with every sample ignored",
        "not-finite",
    ),
    Mistake(
        "losses", "nll_loss_backward", "-sample_weight * dlosses", "-dlosses", "weight forgotten", "ignored-keyword"
    ),
    Mistake(
        "losses",
        "nll_loss_backward",
        "_spread(dloss, reduction, sample_weight.sum(), losses_shape)",
        "_spread(dloss, reduction, kept.sum(), losses_shape)",
        "weights missing in the mean",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "nll_loss_backward",
        "_spread(dloss, reduction, sample_weight.sum(), losses_shape)",
        "_spread(dloss, reduction, input_shape[0], losses_shape)",
        "mean over N, not over N and d...",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "_check_class_indices",
        "target != ignore_index",
        "target >= 0",
        "another ignore_index does not count",
        "ignored-keyword",
    ),
    Mistake(
        "losses",
        "_class_dim",
        "min(1, len(input_shape) - 1)",
        "len(input_shape) - 1",
        "classes on the last axis",
        "raised",
    ),
    # --- losses: cross-entropy
    Mistake(
        "losses",
        "cross_entropy_forward",
        "(1 - label_smoothing) * p",
        "p",
        "smoothing added, nothing taken away",
        "smoothing-rule",
    ),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "label_smoothing / input.shape[class_dim]",
        "label_smoothing / (input.shape[class_dim] - 1 or 1)",
        "smoothing over the wrong classes alone",
        "smoothing-rule",
    ),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "class_weight * ((1 - label_smoothing) * p + label_smoothing / input.shape[class_dim])",
        "class_weight * (1 - label_smoothing) * p + label_smoothing / input.shape[class_dim]",
        "the smoothed part unweighted",
        "smoothing-rule",
    ),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "q = torch.where(kept, q, 0)",
        "q = q + 0",
        "smoothing of ignored samples",
        "smoothing-rule",
    ),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "(class_weight * p).sum()",
        "q.sum()",
        "mean over the smoothed weights",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "(class_weight * p).sum()",
        "kept.numel()",
        "ignored samples counted",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "terms.select(class_dim, 0).numel()",
        "(class_weight * p).sum()",
        "probabilities averaged by weight",
        "wrong-divisor",
    ),
    Mistake(
        "losses", "cross_entropy_forward", "terms.masked_fill(q == 0, 0)", "terms + 0", "0 · −inf is nan", "not-finite"
    ),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "class_weight * (1 - label_smoothing)",
        "class_weight",
        "dtarget without smoothing",
        "ignored-keyword",
    ),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "log_probs, _ = log_softmax_forward(input, class_dim)",
        "log_probs = torch.log(torch.exp(input) / torch.exp(input).sum(class_dim, keepdim=True))",
        "overflows",
        "not-finite",
    ),
    Mistake(
        "losses",
        "cross_entropy_backward",
        "torch.exp(log_probs) * sum_q - q",
        "torch.exp(log_probs) - q",
        "softmax − q, though q does not sum to 1",
        "softmax-unscaled",
    ),
    Mistake(
        "losses",
        "cross_entropy_backward",
        "torch.exp(log_probs) * sum_q - q",
        "-q",
        "the softmax's own derivative forgotten",
        "softmax-derivative-dropped",
    ),
    Mistake(
        "losses",
        "cross_entropy_backward",
        "torch.where(kept, dlosses, 0)",
        "dlosses",
        "nan with every sample ignored",
        "not-finite",
    ),
    Mistake(
        "losses",
        "cross_entropy_backward",
        "_spread(dloss, reduction, count, sum_q.squeeze(class_dim).shape)",
        "_spread(dloss, reduction, len(sum_q), sum_q.squeeze(class_dim).shape)",
        "mean over N alone",
        "wrong-divisor",
    ),
    Mistake(
        "losses",
        "cross_entropy_backward",
        "-log_probs * dq_dtarget * dlosses",
        "log_probs * dq_dtarget * dlosses",
        "dtarget's sign",
        "sign",
    ),
    # --- losses: the long form
    Mistake(
        "losses",
        "cross_entropy_long_forward",
        "input - input.amax(dim=1, keepdim=True)",
        "input",
        "no shift: overflows",
        "not-finite",
    ),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        "(-dloss / len(target))",
        "(-dloss)",
        "the mean's 1/N forgotten",
        "missing-mean",
    ),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        "dlog_probs / probs",
        "dlog_probs * probs",
        "log's derivative upside down",
        "derivative-inverted",
    ),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        "dexp = dexp + dtotal",
        "dexp = dexp",
        "the path through the sum forgotten",
        "softmax-derivative-dropped",
    ),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        "dprobs * exp / total**2",
        "dprobs * exp / total",
        "the quotient's square forgotten",
        "quotient-rule",
    ),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        "dlog_probs[sample, target] = dpicked",
        "dlog_probs[:, target] = dpicked",
        "every sample picks every target",
        "indexing",
    ),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        ".sum(dim=1, keepdim=True)",
        ".sum(dim=0, keepdim=True)",
        "sum over the batch",
        "wrong-axis",
    ),
    # --- optimizers
    Mistake("optimizers", "sgd_step", "param - lr * velocity", "param + lr * velocity", "climbs", "sign"),
    Mistake(
        "optimizers",
        "sgd_step",
        "grad = grad + weight_decay * param",
        "param = param - lr * weight_decay * param",
        "weight decay decoupled",
        "decay-decoupled",
    ),
    Mistake(
        "optimizers",
        "sgd_step",
        "momentum * buffer + (1 - dampening) * grad",
        "momentum * buffer + (1 - momentum) * grad",
        "the buffer a mean from the second step on",
        "momentum-convention",
    ),
    Mistake(
        "optimizers",
        "sgd_step",
        "grad.clone() if buffer is None else",
        "(1 - dampening) * grad if buffer is None else",
        "the first buffer dampened",
        "momentum-convention",
    ),
    Mistake(
        "optimizers",
        "sgd_step",
        "grad + momentum * buffer if nesterov else buffer",
        "buffer",
        "no look ahead",
        "ignored-keyword",
    ),
    Mistake(
        "optimizers",
        "sgd_step",
        "    if maximize:\n        grad = -grad\n",
        "",
        "maximize forgotten",
        "ignored-keyword",
    ),
    Mistake(
        "optimizers",
        "adam_step",
        "exp_avg / (1 - beta1**step)",
        "exp_avg",
        "m not corrected",
        "bias-correction-missing",
    ),
    Mistake("optimizers", "adam_step", " / (1 - beta2**step)", "", "v not corrected", "bias-correction-missing"),
    Mistake(
        "optimizers",
        "adam_step",
        "(1 - beta1**step)\n    mean_square = (max_exp_avg_sq if amsgrad else exp_avg_sq) / (1 - beta2**step)",
        "(1 - beta1 ** (step + 1))\n"
        "    mean_square = (max_exp_avg_sq if amsgrad else exp_avg_sq) / (1 - beta2 ** (step + 1))",
        "the correction a step late",
        "bias-correction-off-by-one",
    ),
    Mistake(
        "optimizers",
        "adam_step",
        "(torch.sqrt(mean_square) + eps)",
        "torch.sqrt(mean_square + eps)",
        "eps inside the root",
        "eps-misplaced",
    ),
    Mistake(
        "optimizers", "adam_step", "(torch.sqrt(mean_square) + eps)", "(mean_square + eps)", "no root", "root-missing"
    ),
    Mistake(
        "optimizers",
        "adam_step",
        "weight_decay != 0 and decoupled_weight_decay",
        "weight_decay != 0",
        "always decoupled",
        "decay-decoupled",
    ),
    Mistake(
        "optimizers",
        "adam_step",
        "weight_decay != 0 and decoupled_weight_decay",
        "False",
        "never decoupled",
        "decay-coupled",
    ),
    Mistake(
        "optimizers",
        "adam_step",
        "param - lr * weight_decay * param",
        "param - weight_decay * param",
        "the decay without the rate",
        "decay-without-rate",
    ),
    Mistake(
        "optimizers", "adam_step", "(1 - beta2) * grad * grad", "(1 - beta2) * grad.abs()", "v from |g|", "not-squared"
    ),
    Mistake(
        "optimizers", "adam_step", "beta1, beta2 = betas", "beta2, beta1 = betas", "betas mixed up", "betas-swapped"
    ),
    Mistake(
        "optimizers",
        "adam_step",
        "(max_exp_avg_sq if amsgrad else exp_avg_sq)",
        "exp_avg_sq",
        "amsgrad without effect",
        "ignored-keyword",
    ),
    Mistake(
        "optimizers",
        "rmsprop_step",
        "(torch.sqrt(mean_square) + eps)",
        "torch.sqrt(mean_square + eps)",
        "eps inside the root",
        "eps-misplaced",
    ),
    Mistake(
        "optimizers",
        "rmsprop_step",
        "mean_square = square_avg - grad_avg * grad_avg",
        "pass",
        "not centered",
        "ignored-keyword",
    ),
    Mistake(
        "optimizers",
        "rmsprop_step",
        "momentum * buffer + velocity",
        "momentum * buffer + (1 - momentum) * velocity",
        "the buffer a mean",
        "momentum-convention",
    ),
    Mistake(
        "optimizers",
        "rmsprop_step",
        "alpha * square_avg + (1 - alpha) * grad * grad",
        "(1 - alpha) * square_avg + alpha * grad * grad",
        "alpha the wrong way round",
        "betas-swapped",
    ),
]
