"""What learners get wrong, as one changed piece of ``learner_ops.py`` each, with the diagnosis it should get."""

from typing import NamedTuple


class LearnerMistake(NamedTuple):
    op: str
    right: str
    wrong: str
    diagnosis: str  # the key of the finding that should come first
    what: str = ""

    @property
    def name(self) -> str:
        return f"{self.op}: {self.what or self.diagnosis} ({' '.join(self.wrong.split()) or 'left out'})"


LEARNER_MISTAKES = [
    # --- linear
    LearnerMistake("linear", "dw = dout.t().mm(x)", "dw = x.t().mm(dout)", "transposed"),
    LearnerMistake("linear", "db = dout.sum(0)", "db = dout", "missing-sum"),
    LearnerMistake("linear", "db = dout.sum(0)", "db = dout.sum(1)", "shape", "summed over the wrong axis"),
    LearnerMistake("linear", "db = dout.sum(0)", "db = dout.sum(0, keepdim=True)", "shape", "keepdim"),
    LearnerMistake("linear", "db = dout.sum(0)", "db = dout.sum()", "extra-sum"),
    LearnerMistake("linear", "db = dout.sum(0)", "db = dout.mean(0)", "extra-mean"),
    LearnerMistake("linear", "db = dout.sum(0)", "db = torch.ones_like(dout).sum(0)", "dout-ignored"),
    LearnerMistake("linear", "dw = dout.t().mm(x)", "dw = dout.t().mm(x) / len(x)", "extra-mean"),
    LearnerMistake("linear", "dw = dout.t().mm(x)", "dw = -dout.t().mm(x)", "sign"),
    LearnerMistake("linear", "dw = dout.t().mm(x)", "dw = 2 * dout.t().mm(x)", "factor-2"),
    LearnerMistake("linear", "dw = dout.t().mm(x)", "dw = torch.zeros_like(w)", "zeros"),
    LearnerMistake("linear", "dw = dout.t().mm(x)", "dw = dout[0].outer(x[0])", "missing-sum"),
    LearnerMistake("linear", "dw = dout.t().mm(x)", "dw = dout.t().mm(x).float()", "dtype"),
    LearnerMistake("linear", "dw = dout.t().mm(x)", "dw = dout.float().t().mm(x.float()).double()", "rounding"),
    LearnerMistake("linear", "dw = dout.t().mm(x)", "dw = None", "no-gradient", "detached"),
    LearnerMistake("linear", "return dx, dw, db", "return dw, dx, db", "order"),
    LearnerMistake("linear", "return dx, dw, db", "return dx, dw", "count"),
    LearnerMistake("linear", "dx = dout.mm(w)", "dx = dout.mm(w); x.zero_()", "in-place"),
    LearnerMistake("linear", "dx = dout.mm(w)", "dx = dout.mm(w); dout *= 2", "in-place", "dout changed"),
    LearnerMistake("linear", "return x.mm(w.t()) + b", "return x.mm(w.t())", "unused-argument"),
    # --- activations
    LearnerMistake("relu", "dx[x <= 0] = 0", "dx[dout <= 0] = 0", "mask-from-dout"),
    LearnerMistake("relu", "dx[x <= 0] = 0", "dx[x < 0] = 0", "kink"),
    LearnerMistake("relu", "dx[x <= 0] = 0", "dx[x > 0] = 0", "mask-inverted"),
    LearnerMistake("relu", "dx[x <= 0] = 0", "pass", "passed-through"),
    LearnerMistake("relu", "dx = dout.clone()", "dx = torch.ones_like(dout)", "dout-ignored"),
    LearnerMistake("relu", "dx = dout.clone()", "dx = dout", "in-place"),
    LearnerMistake("leaky_relu", "return dout * slope", "return dout * (slope == 1)", "mask-missing"),
    LearnerMistake("leaky_relu", "slope[x <= 0] = negative_slope", "slope[x <= 0] = 0.01", "ignored-keyword"),
    LearnerMistake("sigmoid", "dout * s * (1 - s)", "dout * s", "factor-missing"),
    LearnerMistake("sigmoid", "return s, s", "return s, x", "input-for-output"),
    LearnerMistake("sigmoid", "dout * s * (1 - s)", "s * (1 - s)", "dout-ignored"),
    LearnerMistake("sigmoid", "1 / (1 + torch.exp(-x))", "torch.exp(x) / (1 + torch.exp(x))", "not-finite"),
    LearnerMistake("tanh", "(1 - t**2)", "(1 - t)", "not-squared"),
    LearnerMistake("tanh", "return t, t", "return t, x", "input-for-output"),
    LearnerMistake("gelu", " + x * pdf)", ")", "product-rule"),
    LearnerMistake("gelu", "math.sqrt(2 * math.pi)", "math.sqrt(math.pi)", "constant"),
    LearnerMistake("softmax", "p * (dout - weighted)", "p * (1 - p) * dout", "mean-term-dropped"),
    LearnerMistake("softmax", "p * (dout - weighted)", "p * dout", "mean-term-dropped"),
    LearnerMistake("softmax", "(p * dout).sum(dim=dim, keepdim=True)", "(p * dout).sum()", "wrong-axis"),
    LearnerMistake("softmax", "x - x.max(dim=dim, keepdim=True).values", "x", "not-finite"),
    LearnerMistake("log_softmax", "out.exp() * dout.sum(dim=dim, keepdim=True)", "out.exp() * dout", "dout-not-summed"),
    LearnerMistake(
        "log_softmax", "return dout - out.exp() * dout.sum(dim=dim, keepdim=True)", "return dout", "mean-term-dropped"
    ),
    # --- convolution
    LearnerMistake("conv2d", "+= w[f] * share", "+= w[f].flip(1, 2) * share", "kernel-not-rotated"),
    LearnerMistake("conv2d", "dw[f] += (window", "dw[f] += (window.flip(2, 3)", "kernel-not-rotated"),
    LearnerMistake("conv2d", "dw[f] += ", "dw[f] = ", "missing-sum"),
    LearnerMistake("conv2d", "+= w[f] * share", "= w[f] * share", "overlap-assigned"),
    LearnerMistake("conv2d", "db = dout.sum(dim=(0, 2, 3))", "db = dout.sum(dim=0)", "missing-sum"),
    LearnerMistake("conv2d", "db = dout.sum(dim=(0, 2, 3))", "db = dout.mean(dim=(0, 2, 3))", "extra-mean"),
    LearnerMistake("conv2d", "db = dout.sum(dim=(0, 2, 3))", "db = dout.sum(dim=0).mean(dim=(1, 2))", "extra-mean"),
    LearnerMistake(
        "conv2d",
        "dx = dxp[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]",
        "dx = dxp[:, :, : x.shape[2], : x.shape[3]]",
        "padding-ignored",
    ),
    LearnerMistake(
        "conv2d",
        "dx = dxp[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]",
        "dx = dxp",
        "shape",
        "the padding is not cut off",
    ),
    LearnerMistake(
        "conv2d",
        "top, left = i * stride, j * stride\n                share",
        "top, left = i, j\n                share",
        "stride-ignored",
    ),
    LearnerMistake("conv2d", ") + b[f]", ")", "unused-argument"),
    LearnerMistake("conv2d", "(window * share).sum(dim=0)", "(window * share).mean(dim=0)", "extra-mean"),
    # --- pools
    LearnerMistake("max_pool2d", "+= dout[n, c, i, j]", "= dout[n, c, i, j]", "overlap-assigned"),
    LearnerMistake(
        "max_pool2d",
        "(window == window.max()).flatten().int()",
        "(window == window.max()).flatten().int() * torch.arange(1, k * k + 1)",
        "ties-last",
    ),
    LearnerMistake(
        "max_pool2d",
        "dx[n, c, i * stride + winner // k, j * stride + winner % k] += dout[n, c, i, j]",
        "dx[n, c, i * stride : i * stride + k, j * stride : j * stride + k] += "
        "(window == window.max()) * dout[n, c, i, j]",
        "ties-all",
    ),
    LearnerMistake(
        "max_pool2d",
        "dx[n, c, i * stride + winner // k, j * stride + winner % k] += dout[n, c, i, j]",
        "dx[n, c, i * stride : i * stride + k, j * stride : j * stride + k] += "
        "(window == window.max()).double() / (window == window.max()).sum() * dout[n, c, i, j]",
        "ties-shared",
    ),
    LearnerMistake(
        "max_pool2d",
        "i * stride + winner // k, j * stride + winner % k",
        "i * stride + winner % k, j * stride + winner // k",
        "axes-swapped",
    ),
    LearnerMistake("avg_pool2d", " / (k * k)", "", "missing-mean"),
    LearnerMistake("avg_pool2d", "+= share", "= share", "overlap-assigned"),
    LearnerMistake("avg_pool2d", " / (k * k)", " / k", "wrong-divisor"),
    # --- batch norm
    LearnerMistake("batch_norm_long", "m * dxhat - mean_part - var_part", "m * dxhat", "mean-terms-dropped"),
    LearnerMistake("batch_norm_long", "- var_part)", ")", "mean-terms-dropped"),
    LearnerMistake(
        "batch_norm_long", "((x - mu) ** 2).mean(dim=axes, keepdim=True)", "x.var(dim=axes, keepdim=True)", "n-1-for-n"
    ),
    LearnerMistake(
        "batch_norm_long", "(x - mu) / torch.sqrt(var + eps)", "(x - mu) / (torch.sqrt(var) + eps)", "eps-misplaced"
    ),
    LearnerMistake("batch_norm_long", "m = xhat.numel() / xhat.shape[1]", "m = xhat.shape[0]", "pixels-not-counted"),
    LearnerMistake(
        "batch_norm_long", "dgamma = (dout * xhat).sum(dim=axes)", "dgamma = (dout * xhat).mean(dim=axes)", "extra-mean"
    ),
    LearnerMistake("batch_norm_long", "dxhat = dout * gamma.reshape(shape)", "dxhat = dout", "unused-argument"),
    LearnerMistake("batch_norm_long", "(m * torch.sqrt(var + eps))", "(m * torch.sqrt(var))", "eps-misplaced"),
    # --- dropout, flatten, addition
    LearnerMistake("dropout", "mask.to(x.dtype) / (1 - p)", "mask.to(x.dtype)", "scale-forgotten"),
    LearnerMistake("dropout", "dout * scale", "dout * (scale != 0)", "scale-forgotten"),
    LearnerMistake("dropout", "dout * scale", "dout * (torch.rand(dout.shape) < 0.5) * scale.max()", "another-mask"),
    LearnerMistake("dropout", "return x * scale, scale", "return x * scale, None", "mask-missing"),
    LearnerMistake("flatten", "dout.reshape(shape)", "dout", "shape"),
    LearnerMistake(
        "flatten",
        "dout.reshape(shape)",
        "dout.reshape(shape[::-1]).permute(*range(len(shape))[::-1])",
        "memory-order",
    ),
    LearnerMistake("add", "dout.sum_to_size(x_shape), alpha", "dout, alpha", "missing-sum"),
    LearnerMistake("add", "alpha * dout.sum_to_size", "dout.sum_to_size", "ignored-keyword"),
    # --- losses
    LearnerMistake("mse_loss", "dloss * 2 * diff", "dloss * diff", "factor-2"),
    LearnerMistake("mse_loss", " / diff.numel()", "", "missing-mean"),
    LearnerMistake("mse_loss", " / diff.numel()", " / len(diff)", "wrong-divisor"),
    LearnerMistake("mse_loss", "dloss * 2 * diff", "2 * diff", "dout-ignored"),
    LearnerMistake("mse_loss", "(diff**2).mean()", "(diff**2).sum()", "missing-mean"),
    LearnerMistake("mse_loss", "return dpred, -dpred", "return dpred, dpred", "sign"),
    LearnerMistake("l1_loss", "torch.sign(diff)", "diff / (diff.abs() + 1e-6)", "eps-added"),
    LearnerMistake("l1_loss", "torch.sign(diff)", "(2 * (diff > 0).double() - 1)", "kink"),
    LearnerMistake("binary_cross_entropy_with_logits", "(s - y)", "(s - y) * s * (1 - s)", "factor-missing"),
    LearnerMistake("binary_cross_entropy_with_logits", "(s - y)", "(y - s)", "sign"),
    LearnerMistake(
        "binary_cross_entropy_with_logits",
        "torch.clamp(z, min=0) - z * y + torch.log1p(torch.exp(-z.abs()))",
        "-z * y + torch.log(1 + torch.exp(z))",
        "not-finite",
    ),
    LearnerMistake("nll_loss", "-dloss / len(y)", "-dloss", "missing-mean"),
    LearnerMistake("nll_loss", "-dloss / len(y)", "-dloss / dlogp.numel()", "wrong-divisor"),
    LearnerMistake("nll_loss", "dlogp[torch.arange(len(y)), y] =", "dlogp[:, y] =", "indexing"),
    LearnerMistake("cross_entropy", "-= 1", "+= 0", "target-not-subtracted"),
    LearnerMistake("cross_entropy", "dscores / len(y)", "dscores", "missing-mean"),
    LearnerMistake("cross_entropy", "return dloss * dscores", "return dscores", "dout-ignored"),
    LearnerMistake(
        "cross_entropy", "shifted = scores - scores.max(dim=1, keepdim=True).values", "shifted = scores", "not-finite"
    ),
    LearnerMistake("cross_entropy", "dscores = logp.exp()", "dscores = logp", "logarithm-for-probability"),
    LearnerMistake(
        "cross_entropy",
        "logp = shifted - shifted",
        "shifted = torch.softmax(shifted, 1); logp = shifted - shifted",
        "softmax-twice",
    ),
    # --- optimizers
    LearnerMistake("sgd", "p -= self.lr * g", "p += self.lr * g", "sign"),
    LearnerMistake("sgd", "self.mu * self.v[i] + g", "self.mu * self.v[i] + (1 - self.mu) * g", "momentum-convention"),
    LearnerMistake("sgd", "p.grad + self.wd * p", "p.grad", "ignored-keyword"),
    LearnerMistake("sgd", "g = p.grad + self.wd * p", "g = p.grad; p -= self.lr * self.wd * p", "decay-decoupled"),
    LearnerMistake("sgd", "self.nesterov else", "False else", "ignored-keyword"),
    LearnerMistake("adam", "/ (1 - b1**self.t)", "", "bias-correction-missing", "m"),
    LearnerMistake("adam", "/ (1 - b2**self.t)", "", "bias-correction-missing", "v"),
    LearnerMistake("adam", "self.t = 0", "self.t = 1", "bias-correction-off-by-one"),
    LearnerMistake("adam", "(v_hat.sqrt() + self.eps)", "(v_hat + self.eps).sqrt()", "eps-misplaced"),
    LearnerMistake("adam", "(v_hat.sqrt() + self.eps)", "v_hat.sqrt()", "eps-misplaced", "forgotten"),
    LearnerMistake("adam", "g**2", "g", "not-finite"),
    LearnerMistake("adam", "(1 - b1) * g", "g", "weight-of-the-new"),
    LearnerMistake("adam", "b1, b2 = self.betas", "b2, b1 = self.betas", "betas-swapped"),
    LearnerMistake("adam", "(v_hat.sqrt() + self.eps)", "(v_hat + self.eps)", "root-missing"),
    LearnerMistake("adam", "g = p.grad + self.wd * p", "g = p.grad; p -= self.lr * self.wd * p", "decay-decoupled"),
    LearnerMistake("adamw", "p -= self.lr * self.wd * p", "g = g + self.wd * p", "decay-coupled"),
    LearnerMistake("adamw", "p -= self.lr * self.wd * p", "p -= self.wd * p", "decay-without-rate"),
    LearnerMistake("adamw", "p -= self.lr * self.wd * p", "pass", "ignored-keyword"),
    LearnerMistake(
        "adamw",
        "p -= self.lr * m_hat / (v_hat.sqrt() + self.eps)",
        "p -= self.lr * m_hat / (self.v[i].sqrt() + self.eps) * (1 - b2**self.t) ** 0.5",
        "eps-misplaced",
    ),
    LearnerMistake("rmsprop", "(self.s[i].sqrt() + self.eps)", "(self.s[i] + self.eps).sqrt()", "eps-misplaced"),
    LearnerMistake(
        "rmsprop",
        "self.alpha * self.s[i] + (1 - self.alpha)",
        "(1 - self.alpha) * self.s[i] + self.alpha",
        "betas-swapped",
    ),
    LearnerMistake("rmsprop", "+ p.grad /", "+ (1 - self.mu) * p.grad /", "momentum-convention"),
]
