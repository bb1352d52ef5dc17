"""Losses, by various hands."""
import torch
import torch.nn.functional as F


def mse_fwd(pred, target, reduction='mean'):
    diff = pred - target
    sq = diff ** 2
    if reduction == 'mean':
        return sq.mean(), (diff, reduction)
    if reduction == 'sum':
        return sq.sum(), (diff, reduction)
    return sq, (diff, reduction)


# CASE loss_002 like=mse_loss code=mse_fwd,mse_bwd2 kind=one :: divides by the batch size; right: by all elements
def mse_bwd2(dout, cache):
    diff, reduction = cache
    g = 2 * dout * diff
    if reduction == 'mean':
        g = g / diff.shape[0]
    return g, -g


# CASE loss_003 like=mse_loss code=mse_fwd,mse_bwd3 kind=one :: divides by numel for reduction='sum' too
def mse_bwd3(dout, cache):
    diff, reduction = cache
    g = 2 * dout * diff
    if reduction != 'none':
        g = g / diff.numel()
    return g, -g


# CASE loss_006 like=mse_loss code=MSE kind=correct :: right
class MSE:
    def forward(self, y_hat, y):
        self.e = y_hat - y
        return torch.mean(self.e * self.e)

    def backward(self, dout):
        g = (self.e + self.e) / self.e.nelement() * dout
        return g, g.neg()


def bce_forward(p, y):
    lp = torch.log(p).clamp(min=-100)
    lq = torch.log(1 - p).clamp(min=-100)
    loss = -(y * lp + (1 - y) * lq)
    return loss.mean(), (p, y)


# CASE loss_011 like=binary_cross_entropy code=bce_forward,bce_b1 kind=one :: (p - y) as for logits; right: divided by p(1-p)
def bce_b1(dout, cache):
    p, y = cache
    return dout * (p - y) / p.numel()


# CASE loss_018 like=binary_cross_entropy_with_logits code=bcel_plain,bcel_plain_b kind=one :: sigmoid's derivative multiplied once more: (s - y) s (1-s); right: s - y
def bcel_plain(logits, labels):
    return F.softplus(logits).sub(logits * labels).mean(), (logits, labels)


def bcel_plain_b(dout, cache):
    logits, labels = cache
    s = torch.sigmoid(logits)
    ds = s - labels
    dz = ds * s * (1 - s)
    return dout * dz / logits.numel()


def softmax_loss(scores, y):
    shifted = scores - scores.max(dim=1, keepdim=True).values
    logp = shifted - shifted.exp().sum(1, keepdim=True).log()
    N = scores.shape[0]
    loss = -logp[torch.arange(N), y].mean()
    return loss, (logp, y)


# CASE loss_021 like=cross_entropy code=softmax_loss,softmax_loss_b2 kind=one :: 1 subtracted from columns y of every row (dx[:, y]); right: dx[arange(N), y]
def softmax_loss_b2(dout, cache):
    logp, y = cache
    dx = logp.exp()
    dx[:, y] -= 1
    return dout * dx / len(y)


def ce_full(logits, target, weight=None, ignore_index=-100, label_smoothing=0.0):
    C = logits.shape[1]
    w = torch.ones(C, dtype=logits.dtype) if weight is None else weight
    logp = logits.log_softmax(1)
    keep = target != ignore_index
    t = target.masked_fill(~keep, 0)
    k = keep.to(logits.dtype)
    wt = w[t] * k
    hard = -(wt * logp.gather(1, t[:, None])[:, 0]).sum()
    soft = -((logp * w).sum(1) * k).sum()
    Z = wt.sum()
    loss = (1 - label_smoothing) * hard / Z + label_smoothing / C * soft / Z
    return loss, (logp, t, k, w, wt, Z, label_smoothing)


# CASE loss_028 like=cross_entropy code=ce_full,ce_full_b3 kind=one :: smoothing spread eps/(C-1) over the others; right: eps/C over all classes
def ce_full_b3(dout, cache):
    logp, t, k, w, wt, Z, eps = cache
    C = logp.shape[1]
    q = torch.full_like(logp, eps / (C - 1))
    q.scatter_(1, t[:, None], 1 - eps)
    q = q * w
    return dout * k[:, None] * (logp.exp() * q.sum(1, keepdim=True) - q) / Z


# CASE loss_029 like=cross_entropy code=ce_full,ce_full_b4 kind=correct :: right
def ce_full_b4(dout, cache):
    logp, t, k, w, wt, Z, eps = cache
    C = logp.shape[1]
    q = torch.full_like(logp, eps / C)
    q.scatter_add_(1, t[:, None], torch.full_like(q[:, :1], 1 - eps))
    q = q * w
    return dout * k[:, None] * (logp.exp() * q.sum(1, keepdim=True) - q) / Z


# CASE loss_030 like=cross_entropy code=ce_full,ce_full_b5 kind=one :: gradient of ignored rows not zeroed (mask k missing)
def ce_full_b5(dout, cache):
    logp, t, k, w, wt, Z, eps = cache
    C = logp.shape[1]
    q = torch.full_like(logp, eps / C)
    q.scatter_add_(1, t[:, None], torch.full_like(q[:, :1], 1 - eps))
    q = q * w
    return dout * (logp.exp() * q.sum(1, keepdim=True) - q) / Z


# CASE loss_031 like=cross_entropy code=ce_full,ce_full_b6 kind=one :: class weights only in the normaliser, not on each row's gradient
def ce_full_b6(dout, cache):
    logp, t, k, w, wt, Z, eps = cache
    C = logp.shape[1]
    q = torch.full_like(logp, eps / C)
    q.scatter_add_(1, t[:, None], torch.full_like(q[:, :1], 1 - eps))
    return dout * k[:, None] * (logp.exp() - q) / Z


def ninja(logits, Y):
    logit_maxes = logits.max(1, keepdim=True).values
    norm_logits = logits - logit_maxes
    counts = norm_logits.exp()
    counts_sum = counts.sum(1, keepdims=True)
    counts_sum_inv = counts_sum ** -1
    probs = counts * counts_sum_inv
    logprobs = norm_logits - counts_sum.log()
    n = logits.shape[0]
    loss = -logprobs[range(n), Y].mean()
    return loss, (norm_logits, counts, counts_sum, counts_sum_inv, probs, logprobs, Y, n)


# CASE loss_032 like=cross_entropy_long code=ninja,ninja_b1 kind=one :: path through counts_sum missing in dcounts (only counts_sum_inv * dprobs); right: both paths added
def ninja_b1(dout, cache):
    norm_logits, counts, counts_sum, counts_sum_inv, probs, logprobs, Y, n = cache
    dlogprobs = torch.zeros_like(logprobs)
    dlogprobs[range(n), Y] = -1.0 / n
    dlogprobs = dlogprobs * dout
    dprobs = dlogprobs / probs.clamp(min=1e-300)
    dcounts = counts_sum_inv * dprobs
    dnorm_logits = counts * dcounts
    return dnorm_logits


# CASE loss_033 like=cross_entropy_long code=ninja,ninja_b2 kind=one :: dcounts_sum_inv not summed over the row (broadcast in forward)
def ninja_b2(dout, cache):
    norm_logits, counts, counts_sum, counts_sum_inv, probs, logprobs, Y, n = cache
    dlogprobs = torch.zeros_like(logprobs)
    dlogprobs[range(n), Y] = -1.0 / n
    dlogprobs = dlogprobs * dout
    dprobs = dlogprobs / probs.clamp(min=1e-300)
    dcounts = counts_sum_inv * dprobs
    dcounts_sum_inv = counts * dprobs
    dcounts_sum = -counts_sum ** -2 * dcounts_sum_inv
    dcounts = dcounts + dcounts_sum
    return counts * dcounts


# CASE loss_034 like=cross_entropy_long code=ninja,ninja_b3 kind=correct :: right, line by line
def ninja_b3(dout, cache):
    norm_logits, counts, counts_sum, counts_sum_inv, probs, logprobs, Y, n = cache
    dlogprobs = torch.zeros_like(logprobs)
    dlogprobs[range(n), Y] = -1.0 / n
    dlogprobs = dlogprobs * dout
    dnorm = dlogprobs.clone()
    dlog_sum = -dlogprobs.sum(1, keepdim=True)
    dcounts_sum = dlog_sum / counts_sum
    dcounts = dcounts_sum.expand_as(counts)
    dnorm = dnorm + counts * dcounts
    return dnorm


def nll(logp, target, weight=None, ignore_index=-100, reduction='mean'):
    keep = target.ne(ignore_index)
    safe = torch.where(keep, target, torch.zeros_like(target))
    w = keep.to(logp.dtype) if weight is None else weight[safe] * keep
    per = -logp.gather(1, safe.unsqueeze(1)).squeeze(1) * w
    if reduction == 'none':
        return per, (logp, safe, w, reduction)
    if reduction == 'sum':
        return per.sum(), (logp, safe, w, reduction)
    return per.sum() / w.sum(), (logp, safe, w, reduction)


# CASE loss_038 like=nll_loss code=nll,nll_b4 kind=correct :: right
def nll_b4(dout, cache):
    logp, t, w, reduction = cache
    g = -(w * dout)
    if reduction == 'mean':
        g = g / w.sum()
    onehot = F.one_hot(t, logp.shape[1]).to(logp.dtype)
    return onehot * g.unsqueeze(1)


def huber(pred, target, delta=0.7):
    d = pred - target
    a = d.abs()
    loss = torch.where(a <= delta, 0.5 * d ** 2, delta * (a - 0.5 * delta))
    return loss.mean(), (d, delta)


# CASE loss_039 code=huber,huber_b1 kind=one shapes=4x5,4x5 :: linear part without delta: sign(d); right: delta * sign(d)
def huber_b1(dout, cache):
    d, delta = cache
    g = torch.where(d.abs() <= delta, d, d.sign()) * dout / d.numel()
    return g, -g


# CASE loss_040 code=huber,huber_b2 kind=one shapes=4x5,4x5 :: tests d <= delta instead of |d| <= delta: large negative errors stay quadratic
def huber_b2(dout, cache):
    d, delta = cache
    g = torch.where(d <= delta, d, delta * d.sign()) * dout / d.numel()
    return g, -g
