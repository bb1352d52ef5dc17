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
    setattr(module, mistake.function, definitions[mistake.function])
    try:
        yield
    finally:
        setattr(module, mistake.function, function)


MISTAKES = [
    # --- linear
    Mistake("ops.linear", "linear_forward", "x @ weight.mT if", "x @ weight.mT * 2 if", "a factor of 2"),
    Mistake(
        "ops.linear", "linear_backward", "dout_rows.mT @ x_rows", "-(dout_rows.mT @ x_rows)", "dweight's sign flipped"
    ),
    Mistake(
        "ops.linear", "linear_backward", "dout_rows.sum(dim=0)", "dout_rows.mean(dim=0)", "a mean where a sum belongs"
    ),
    Mistake("ops.linear", "linear_backward", "dout_rows.sum(dim=0)", "dout_rows[0]", "no sum over the batch"),
    Mistake(
        "ops.linear",
        "linear_backward",
        "dout_rows.mT @ x_rows",
        "(x_rows.mT @ dout_rows)",
        "dweight transposed in memory",
    ),
    Mistake("ops.linear", "linear_backward", "x_rows).reshape", "x_rows / len(x_rows)).reshape", "an extra 1/N"),
    # --- activation
    Mistake("ops.activation", "relu_backward", "out.sign()", "(dout > 0)", "the mask taken from dout"),
    Mistake("ops.activation", "relu_backward", "out.sign()", "(out >= 0)", "a mask that is always true"),
    Mistake(
        "ops.activation", "leaky_relu_backward", "torch.where(x > 0", "torch.where(x >= 0", "the positive slope at zero"
    ),
    Mistake(
        "ops.activation", "leaky_relu_backward", "negative_slope * dout", "negative_slope", "dout forgotten below zero"
    ),
    Mistake("ops.activation", "sigmoid_backward", "* (1 - out)", "", "half of the derivative"),
    Mistake("ops.activation", "tanh_backward", "out * out", "out", "tanh not squared"),
    Mistake("ops.activation", "gelu_backward", "cdf + x * slope", "cdf", "the product rule's second term dropped"),
    Mistake(
        "ops.activation", "gelu_backward", "/ math.sqrt(2 * math.pi)", "/ math.sqrt(math.pi)", "the density's constant"
    ),
    Mistake("ops.activation", "gelu_backward", "1 + 3 * 0.044715", "1 + 0.044715", "the cube's 3 forgotten"),
    Mistake("ops.activation", "softmax_forward", "x - x.amax(dim, keepdim=True)", "x", "no shift: overflow"),
    Mistake(
        "ops.activation",
        "softmax_backward",
        "(dout - (dout * out).sum(dim, keepdim=True))",
        "dout",
        "only the diagonal",
    ),
    Mistake("ops.activation", "softmax_backward", ".sum(dim, keepdim=True)", ".sum(0, keepdim=True)", "the wrong axis"),
    Mistake("ops.activation", "softmax_backward", ".sum(dim", ".mean(dim", "a mean where a sum belongs"),
    Mistake(
        "ops.activation", "log_softmax_forward", "shifted = x - x.amax(dim, keepdim=True)", "shifted = x", "no shift"
    ),
    Mistake(
        "ops.activation", "log_softmax_backward", "torch.exp(out) *", "out *", "log-probabilities for probabilities"
    ),
    Mistake("ops.activation", "log_softmax_backward", " * dout.sum(dim, keepdim=True)", "", "as if dout summed to one"),
    # --- convolution
    Mistake(
        "ops.convolution",
        "conv2d_backward",
        "dout_block.mT @ windows",
        "dout_block.mT.flip(1) @ windows",
        "kernel rotated",
    ),
    Mistake(
        "ops.convolution",
        "conv2d_backward",
        "permute(0, 3, 1, 2).contiguous()",
        "flip(1, 2).permute(0, 3, 1, 2).contiguous()",
        "dweight turned by 180 degrees",
    ),
    Mistake(
        "ops.convolution", "conv2d_backward", "drows_of_weight += dout", "drows_of_weight = dout", "only the last block"
    ),
    Mistake(
        "ops.convolution",
        "conv2d_backward",
        "dout_rows.sum(dim=1)",
        "dout_rows.mean(dim=1)",
        "dbias averaged over pixels",
    ),
    Mistake("ops.convolution", "_add_windows", "taps += windows", "taps[:] = windows", "overlapping windows assigned"),
    Mistake("ops.convolution", "_add_windows", "a * dh : a * dh +", "a : a +", "dilation ignored in dx"),
    Mistake(
        "ops.convolution",
        "_add_windows",
        "a * dh : a * dh + sh * (p - 1) + 1 : sh",
        "a * dh : a * dh + p",
        "vertical stride ignored in dx",
    ),
    Mistake(
        "ops.convolution",
        "_add_windows",
        "windows[:, :, :, :, a, b]",
        "windows[:, :, :, :, -a - 1, b]",
        "kernel upside down",
    ),
    Mistake(
        "ops.convolution",
        "_unpad",
        "top : padded.shape[1] - bottom",
        "bottom : padded.shape[1] - top",
        "an odd padding on top",
    ),
    Mistake(
        "ops.convolution",
        "padding_sides",
        "vertical, vertical, horizontal, horizontal",
        "horizontal, horizontal, vertical, vertical",
        "axes mixed up",
    ),
    Mistake("ops.convolution", "_weight_rows", "0, 2, 3, 1", "0, 3, 2, 1", "kernel's axes swapped"),
    Mistake(
        "ops.convolution", "conv2d_forward", "    if bias is not None:\n        out += bias\n", "", "bias forgotten"
    ),
    # --- pooling
    Mistake(
        "ops.pooling",
        "max_pool2d_backward",
        "        left[inside] -= taken\n",
        "",
        "every tied pixel wins",
    ),
    Mistake("ops.pooling", "max_pool2d_backward", "dx[taps] +=", "dx[taps] =", "overlapping windows assigned"),
    Mistake(
        "ops.pooling",
        "_winners",
        "== out[inside]) & undecided[inside]",
        "== out[inside])",
        "positions of ties added up",
    ),
    Mistake("ops.pooling", "avg_pool2d_backward", "dout / divisor", "dout", "the mean's divisor forgotten"),
    Mistake("ops.pooling", "avg_pool2d_backward", "dx[taps] +=", "dx[taps] =", "overlapping windows assigned"),
    Mistake("ops.pooling", "_divisor", "if count_include_pad else (0, size)", "", "padding always counted"),
    Mistake("ops.pooling", "_divisor", "size + padding)", "size + 2 * padding)", "pixels over the edge counted"),
    Mistake("ops.pooling", "_span", "- windows.padding[axis]", "", "padding forgotten"),
    Mistake(
        "ops.pooling",
        "_prepare",
        "if ceil_mode and (count - 1)",
        "if False and (count - 1)",
        "a window outside the image",
    ),
    Mistake(
        "ops.pooling",
        "adaptive_avg_pool2d_backward",
        "vertical.mT @",
        "vertical.shape[1] * vertical.mT @",
        "not divided",
    ),
    Mistake(
        "ops.pooling",
        "_averaging_matrix",
        "-(-(index + 1) * size // count)",
        "(index + 1) * size // count",
        "floor for ceiling",
    ),
    # --- batch norm
    Mistake("ops.normalization", "batch_norm_forward", "(count / (count - 1))", "1", "biased running variance"),
    Mistake(
        "ops.normalization",
        "batch_norm_forward",
        "(1 - momentum) * running_mean + momentum * mean",
        "momentum * running_mean + (1 - momentum) * mean",
        "momentum the other way round",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_forward",
        "torch.sqrt(var + eps)",
        "(torch.sqrt(var) + eps)",
        "eps outside the root",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_forward",
        "    if training:\n        # In two",
        "    if True:\n        # In two",
        "batch statistics in evaluation",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_forward",
        "(centred * centred).mean(dim=_axes_but_channel(x))",
        "(centred * centred).sum(dim=_axes_but_channel(x)) / (x.numel() // x.shape[1] - 1)",
        "n - 1 for n",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_backward",
        "dx = dout - x_hat.mul_(_per_channel(dweight / count, x))",
        "dx = dout.clone()",
        "the variance taken as constant",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_backward",
        ".sub_(_per_channel(dbias / count, x))",
        "",
        "the mean taken as constant",
    ),
    Mistake(
        "ops.normalization",
        "batch_norm_backward",
        "count = x.numel() // x.shape[1]",
        "count = x.shape[0]",
        "pixels not counted",
    ),
    Mistake(
        "ops.normalization", "batch_norm_backward", "if training:", "if True:", "evaluation differentiated as training"
    ),
    Mistake("ops.normalization", "batch_norm_backward", "(dout * x_hat).sum", "(dout * x).sum", "dweight from x"),
    Mistake(
        "ops.normalization",
        "batch_norm_long_backward",
        "dx = dx + dmean / count",
        "dx = dx",
        "the mean's path forgotten",
    ),
    Mistake("ops.normalization", "batch_norm_long_backward", "dstd / (2 * std)", "dstd / std", "the root's factor 1/2"),
    # --- dropout, flatten, padding, addition
    Mistake("ops.dropout", "_scaled", "values / (1 - p)", "values", "the scale forgotten"),
    Mistake("ops.dropout", "_scaled", "values / (1 - p)", "values / p", "scaled by the part that was dropped"),
    Mistake("ops.dropout", "dropout_backward", "_scaled(dout, mask, p)", "dout", "the mask forgotten"),
    Mistake("ops.reshaping", "flatten_backward", "dout.reshape", "dout.flip(0).reshape", "samples in reverse order"),
    Mistake("ops.reshaping", "_source", "place.abs()", "(place.abs() - (place < 0).long())", "the edge pixel repeated"),
    Mistake("ops.residual", "add_backward", "alpha * _sum_to", "_sum_to", "alpha forgotten"),
    Mistake(
        "ops.residual",
        "_sum_to",
        "dout.sum(dim=axes, keepdim=True)",
        "dout.mean(dim=axes, keepdim=True)",
        "a mean over the copies",
    ),
    # --- losses
    Mistake("losses", "_reduce", "losses.sum() / count", "losses.mean()", "a plain mean in place of the weighted one"),
    Mistake(
        "losses", "_spread", 'dloss / count if reduction == "mean" else dloss', "dloss", "the mean's 1/N forgotten"
    ),
    Mistake("losses", "_spread", 'reduction == "mean"', 'reduction != "sum"', "1/N also without reduction"),
    # --- losses: mse and l1
    Mistake("losses", "mse_loss_forward", "diff * diff", "diff * diff / 2", "half the square"),
    Mistake("losses", "mse_loss_backward", "2 * diff * dlosses", "diff * dlosses", "the 2 forgotten"),
    Mistake("losses", "mse_loss_backward", "diff = input - target", "diff = target - input", "sign flipped"),
    Mistake(
        "losses", "mse_loss_backward", "_times(2 * diff * dlosses, weight)", "2 * diff * dlosses", "weight forgotten"
    ),
    Mistake(
        "losses",
        "mse_loss_backward",
        "_total_weight(diff, weight), diff.shape",
        "input.numel(), diff.shape",
        "mean over input's size, not the broadcast one",
    ),
    Mistake(
        "losses",
        "mse_loss_backward",
        "_total_weight(diff, weight), diff.shape",
        "diff.numel(), diff.shape",
        "mean over the count, not the weights",
    ),
    Mistake("losses", "_total_weight", "weight.sum()", "losses.numel()", "weighted mean divided by the count"),
    Mistake(
        "losses",
        "_difference_backward",
        "-ddiff.sum_to_size(target.shape)",
        "ddiff.sum_to_size(target.shape)",
        "dtarget's sign",
    ),
    Mistake(
        "losses",
        "l1_loss_backward",
        "diff.sign()",
        "torch.where(diff >= 0, 1.0, -1.0).to(diff.dtype)",
        "slope 1 at a kink",
    ),
    Mistake("losses", "l1_loss_backward", "diff.sign()", "diff / (diff.abs() + 1e-8)", "a softened sign"),
    Mistake(
        "losses",
        "l1_loss_backward",
        "_times(diff.sign() * dlosses, weight)",
        "diff.sign() * dlosses",
        "weight forgotten",
    ),
    # --- losses: binary cross-entropy
    Mistake(
        "losses",
        "binary_cross_entropy_forward",
        "torch.log(input).clamp_min(-100)",
        "torch.log(input)",
        "log 0 not clamped",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_forward",
        "torch.log(input).clamp_min(-100)",
        "torch.log(input + 1e-8)",
        "an epsilon inside the logarithm",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_forward",
        "_reduce(losses, reduction, losses.numel())",
        "_reduce(losses, reduction, losses.numel() if weight is None else weight.sum())",
        "mean over the weights",
    ),
    Mistake(
        "losses", "binary_cross_entropy_backward", ".clamp_min(LEAST_VARIANCE)", "", "division by 0 at p of 0 and 1"
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        "(input * (1 - input)).clamp_min(LEAST_VARIANCE)",
        "(input * (1 - input) + LEAST_VARIANCE)",
        "an epsilon added, not a bound",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        "(input - target) / (input * (1 - input)).clamp_min(LEAST_VARIANCE)",
        "(input - target)",
        "the gradient for logits",
    ),
    Mistake("losses", "binary_cross_entropy_backward", "(input - target) /", "(target - input) /", "sign flipped"),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        "torch.log1p(-input) - torch.log(input)",
        "-torch.log(input)",
        "dtarget of the yes alone",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        "torch.log1p(-input) - torch.log(input)",
        "torch.log1p(-input).clamp_min(-100) - torch.log(input).clamp_min(-100)",
        "dtarget bounded",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_backward",
        "_times(_spread(dloss, reduction, input.numel(), input.shape), weight)",
        "_spread(dloss, reduction, input.numel(), input.shape)",
        "weight forgotten",
    ),
    # --- losses: binary cross-entropy with logits
    Mistake(
        "losses",
        "_softplus",
        "x.clamp_min(0) + torch.log1p(torch.exp(-x.abs()))",
        "torch.log1p(torch.exp(x))",
        "overflows",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_forward",
        "yes * _softplus(-input)",
        "target * _softplus(-input)",
        "pos_weight forgotten",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_forward",
        "(1 - target) * _softplus(input)",
        "(1 - yes) * _softplus(input)",
        "pos_weight takes from the no",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_backward",
        "(1 - target) / (1 + torch.exp(-input)) - yes / (1 + torch.exp(input))",
        "1 / (1 + torch.exp(-input)) - target",
        "the formula without pos_weight",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_backward",
        "(1 - target) / (1 + torch.exp(-input))",
        "(1 - target) * torch.exp(input) / (1 + torch.exp(input))",
        "inf / inf for large logits",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_backward",
        "- yes / (1 + torch.exp(input))",
        "+ yes / (1 + torch.exp(input))",
        "a sign",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_backward",
        "_times(_softplus(-input), pos_weight) - _softplus(input)",
        "-input",
        "dtarget without pos_weight",
    ),
    Mistake(
        "losses",
        "binary_cross_entropy_with_logits_backward",
        "input.numel()",
        "(input.numel() if weight is None else weight.sum())",
        "mean over the weights",
    ),
    # --- losses: nll
    Mistake(
        "losses",
        "nll_loss_forward",
        "_reduce(losses, reduction, sample_weight.sum())",
        "_reduce(losses, reduction, losses.numel())",
        "ignored samples counted",
    ),
    Mistake(
        "losses",
        "nll_loss_forward",
        "_reduce(losses, reduction, sample_weight.sum())",
        "_reduce(losses, reduction, kept.sum())",
        "mean over the samples, not their weights",
    ),
    Mistake(
        "losses",
        "nll_loss_forward",
        "torch.where(kept, -sample_weight * picked, 0)",
        "(-sample_weight * picked)",
        "0 · inf for an ignored sample",
    ),
    Mistake(
        "losses",
        "nll_loss_backward",
        "torch.where(kept, -sample_weight * dlosses, 0)",
        "-sample_weight * dlosses",
        "nan with every sample ignored",
    ),
    Mistake("losses", "nll_loss_backward", "-sample_weight * dlosses", "-dlosses", "weight forgotten"),
    Mistake(
        "losses",
        "nll_loss_backward",
        "_spread(dloss, reduction, sample_weight.sum(), losses_shape)",
        "_spread(dloss, reduction, kept.sum(), losses_shape)",
        "weights missing in the mean",
    ),
    Mistake(
        "losses",
        "nll_loss_backward",
        "_spread(dloss, reduction, sample_weight.sum(), losses_shape)",
        "_spread(dloss, reduction, input_shape[0], losses_shape)",
        "mean over N, not over N and d...",
    ),
    Mistake(
        "losses", "_check_class_indices", "target != ignore_index", "target >= 0", "another ignore_index does not count"
    ),
    Mistake("losses", "_class_dim", "min(1, len(input_shape) - 1)", "len(input_shape) - 1", "classes on the last axis"),
    # --- losses: cross-entropy
    Mistake("losses", "cross_entropy_forward", "(1 - label_smoothing) * p", "p", "smoothing added, nothing taken away"),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "label_smoothing / input.shape[class_dim]",
        "label_smoothing / (input.shape[class_dim] - 1 or 1)",
        "smoothing over the wrong classes alone",
    ),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "class_weight * ((1 - label_smoothing) * p + label_smoothing / input.shape[class_dim])",
        "class_weight * (1 - label_smoothing) * p + label_smoothing / input.shape[class_dim]",
        "the smoothed part unweighted",
    ),
    Mistake(
        "losses", "cross_entropy_forward", "q = torch.where(kept, q, 0)", "q = q + 0", "smoothing of ignored samples"
    ),
    Mistake("losses", "cross_entropy_forward", "(class_weight * p).sum()", "q.sum()", "mean over the smoothed weights"),
    Mistake("losses", "cross_entropy_forward", "(class_weight * p).sum()", "kept.numel()", "ignored samples counted"),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "terms.select(class_dim, 0).numel()",
        "(class_weight * p).sum()",
        "probabilities averaged by weight",
    ),
    Mistake("losses", "cross_entropy_forward", "terms.masked_fill(q == 0, 0)", "terms + 0", "0 · −inf is nan"),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "class_weight * (1 - label_smoothing)",
        "class_weight",
        "dtarget without smoothing",
    ),
    Mistake(
        "losses",
        "cross_entropy_forward",
        "log_probs, _ = log_softmax_forward(input, class_dim)",
        "log_probs = torch.log(torch.exp(input) / torch.exp(input).sum(class_dim, keepdim=True))",
        "overflows",
    ),
    Mistake(
        "losses",
        "cross_entropy_backward",
        "torch.exp(log_probs) * sum_q - q",
        "torch.exp(log_probs) - q",
        "softmax − q, though q does not sum to 1",
    ),
    Mistake(
        "losses",
        "cross_entropy_backward",
        "torch.exp(log_probs) * sum_q - q",
        "-q",
        "the softmax's own derivative forgotten",
    ),
    Mistake(
        "losses", "cross_entropy_backward", "torch.where(kept, dlosses, 0)", "dlosses", "nan with every sample ignored"
    ),
    Mistake(
        "losses",
        "cross_entropy_backward",
        "_spread(dloss, reduction, count, sum_q.squeeze(class_dim).shape)",
        "_spread(dloss, reduction, len(sum_q), sum_q.squeeze(class_dim).shape)",
        "mean over N alone",
    ),
    Mistake(
        "losses",
        "cross_entropy_backward",
        "-log_probs * dq_dtarget * dlosses",
        "log_probs * dq_dtarget * dlosses",
        "dtarget's sign",
    ),
    # --- losses: the long form
    Mistake(
        "losses",
        "cross_entropy_long_forward",
        "input - input.amax(dim=1, keepdim=True)",
        "input",
        "no shift: overflows",
    ),
    Mistake("losses", "cross_entropy_long_backward", "(-dloss / len(target))", "(-dloss)", "the mean's 1/N forgotten"),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        "dlog_probs / probs",
        "dlog_probs * probs",
        "log's derivative upside down",
    ),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        "dexp = dexp + dtotal",
        "dexp = dexp",
        "the path through the sum forgotten",
    ),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        "dprobs * exp / total**2",
        "dprobs * exp / total",
        "the quotient's square forgotten",
    ),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        "dlog_probs[sample, target] = dpicked",
        "dlog_probs[:, target] = dpicked",
        "every sample picks every target",
    ),
    Mistake(
        "losses",
        "cross_entropy_long_backward",
        ".sum(dim=1, keepdim=True)",
        ".sum(dim=0, keepdim=True)",
        "sum over the batch",
    ),
]
