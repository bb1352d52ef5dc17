"""Softmax and log-softmax, by various hands."""
import torch


def softmax_fwd(x, dim):
    e = torch.exp(x - x.amax(dim, keepdim=True))
    p = e / e.sum(dim, keepdim=True)
    return p, (p, dim)


# CASE sm_003 like=softmax code=softmax_fwd,softmax_bwd3 kind=one :: p missing in the inner sum: dout.sum; right: (dout * p).sum
def softmax_bwd3(dout, cache):
    p, dim = cache
    total = dout.sum(dim=dim, keepdim=True)
    return p * (dout - total)


def softmax_rows(x):
    z = x - x.max(dim=-1, keepdim=True).values
    p = z.exp() / z.exp().sum(-1, keepdim=True)
    return p, p


# CASE sm_007 like=softmax code=softmax_rows,softmax_rows_jac kind=correct :: right: full Jacobian by einsum
def softmax_rows_jac(dout, p):
    J = torch.diag_embed(p) - torch.einsum('...i,...j->...ij', p, p)
    return torch.einsum('...ij,...j->...i', J, dout)


def log_softmax_fwd(x, dim):
    m = x.amax(dim, keepdim=True)
    lse = m + (x - m).exp().sum(dim, keepdim=True).log()
    out = x - lse
    return out, (out, dim)


# CASE sm_010 like=log_softmax code=log_softmax_fwd,lsm_b1 kind=one :: the cached log-probabilities used as probabilities: exp missing
def lsm_b1(dout, cache):
    out, dim = cache
    return dout - out * dout.sum(dim, keepdim=True)
