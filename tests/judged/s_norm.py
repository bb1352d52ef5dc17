"""Batch, layer and group norm, by various hands."""
import torch


def _stats(x):
    dims = [d for d in range(x.dim()) if d != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    return dims, shape


def bn_fwd(x, weight, bias, eps=1e-5):
    dims, shape = _stats(x)
    mean = x.mean(dims, keepdim=True)
    var = x.var(dims, unbiased=False, keepdim=True)
    inv = (var + eps).rsqrt()
    xhat = (x - mean) * inv
    return xhat * weight.view(shape) + bias.view(shape), (xhat, inv, weight)


# CASE norm_007 like=batch_norm_long code=bn_fwd,bn_bwd2 kind=one :: term xhat * mean(dxhat * xhat) missing (variance as a constant)
def bn_bwd2(dout, cache):
    xhat, inv, weight = cache
    dims, shape = _stats(xhat)
    dxhat = dout * weight.view(shape)
    dx = inv * (dxhat - dxhat.mean(dims, keepdim=True))
    return dx, (dout * xhat).sum(dims), dout.sum(dims)


# CASE norm_009 like=batch_norm_long code=bn_fwd,bn_bwd4 kind=one :: gamma missing in dx
def bn_bwd4(dout, cache):
    xhat, inv, weight = cache
    dims, shape = _stats(xhat)
    dx = inv * (dout - dout.mean(dims, keepdim=True) - xhat * (dout * xhat).mean(dims, keepdim=True))
    return dx, (dout * xhat).sum(dims), dout.sum(dims)


# CASE norm_011 like=batch_norm_long code=bn_ddof,bn_ddof_b kind=one :: forward normalises by the unbiased variance (torch.var's default); right: unbiased=False
def bn_ddof(x, weight, bias, eps=1e-5):
    dims, shape = _stats(x)
    mean = x.mean(dims, keepdim=True)
    var = x.var(dims, keepdim=True)
    inv = (var + eps).rsqrt()
    xhat = (x - mean) * inv
    return xhat * weight.view(shape) + bias.view(shape), (xhat, inv, weight)


def bn_ddof_b(dout, cache):
    xhat, inv, weight = cache
    dims, shape = _stats(xhat)
    m = xhat.numel() // xhat.shape[1]
    dxhat = dout * weight.view(shape)
    dx = inv * (dxhat - dxhat.mean(dims, keepdim=True) - xhat * (dxhat * xhat).sum(dims, keepdim=True) / (m - 1))
    return dx, (dout * xhat).sum(dims), dout.sum(dims)


def bn_full(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """the new running statistics are returned beside out"""
    dims, shape = _stats(x)
    new_mean, new_var = running_mean, running_var
    if training:
        m = x.mean(dims)
        v = x.var(dims, unbiased=False)
        n = x.numel() / x.shape[1]
        if running_mean is not None:
            new_mean = (1 - momentum) * running_mean + momentum * m
            new_var = (1 - momentum) * running_var + momentum * v * n / (n - 1)
    else:
        m, v = running_mean, running_var
    inv = 1 / torch.sqrt(v + eps)
    xhat = (x - m.view(shape)) * inv.view(shape)
    out = xhat
    if weight is not None:
        out = out * weight.view(shape)
    if bias is not None:
        out = out + bias.view(shape)
    return out, new_mean, new_var, (xhat, inv, weight, bias, training)


# CASE norm_013 like=batch_norm code=bn_full,bn_full_b1 kind=one :: eval mode uses the training formula; right: dx = dxhat * inv
def bn_full_b1(dout, cache):
    xhat, inv, weight, bias, training = cache
    dims, shape = _stats(dout)
    dxhat = dout if weight is None else dout * weight.view(shape)
    dx = inv.view(shape) * (dxhat - dxhat.mean(dims, keepdim=True) - xhat * (dxhat * xhat).mean(dims, keepdim=True))
    dw = None if weight is None else (dout * xhat).sum(dims)
    db = None if bias is None else dout.sum(dims)
    return dx, dw, db


# CASE norm_015 like=batch_norm code=bn_run,bn_run_b kind=one :: running statistics with the momentum's sides swapped: momentum * running + (1 - momentum) * new
def bn_run(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """the new running statistics are returned beside out"""
    dims, shape = _stats(x)
    new_mean, new_var = running_mean, running_var
    if training:
        m = x.mean(dims)
        v = x.var(dims, unbiased=False)
        n = x.numel() / x.shape[1]
        if running_mean is not None:
            new_mean = momentum * running_mean + (1 - momentum) * m
            new_var = momentum * running_var + (1 - momentum) * v * n / (n - 1)
    else:
        m, v = running_mean, running_var
    inv = 1 / torch.sqrt(v + eps)
    xhat = (x - m.view(shape)) * inv.view(shape)
    out = xhat
    if weight is not None:
        out = out * weight.view(shape)
    if bias is not None:
        out = out + bias.view(shape)
    return out, new_mean, new_var, (xhat, inv, weight, bias, training)


def bn_run_b(dout, cache):
    xhat, inv, weight, bias, training = cache
    dims, shape = _stats(dout)
    dxhat = dout if weight is None else dout * weight.view(shape)
    dx = dxhat
    if training:
        dx = dx - dxhat.mean(dims, keepdim=True) - xhat * (dxhat * xhat).mean(dims, keepdim=True)
    dx = inv.view(shape) * dx
    dw = None if weight is None else (dout * xhat).sum(dims)
    db = None if bias is None else dout.sum(dims)
    return dx, dw, db


# CASE norm_026 like=batch_norm code=bn_rv,bn_rv_b kind=one :: running variance updated with the biased variance; right: unbiased, v * n / (n - 1)
def bn_rv(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """the new running statistics are returned beside out"""
    dims, shape = _stats(x)
    new_mean, new_var = running_mean, running_var
    if training:
        m = x.mean(dims)
        v = x.var(dims, unbiased=False)
        n = x.numel() / x.shape[1]
        if running_mean is not None:
            new_mean = (1 - momentum) * running_mean + momentum * m
            new_var = (1 - momentum) * running_var + momentum * v
    else:
        m, v = running_mean, running_var
    inv = 1 / torch.sqrt(v + eps)
    xhat = (x - m.view(shape)) * inv.view(shape)
    out = xhat
    if weight is not None:
        out = out * weight.view(shape)
    if bias is not None:
        out = out + bias.view(shape)
    return out, new_mean, new_var, (xhat, inv, weight, bias, training)


def bn_rv_b(dout, cache):
    xhat, inv, weight, bias, training = cache
    dims, shape = _stats(dout)
    dxhat = dout if weight is None else dout * weight.view(shape)
    dx = dxhat
    if training:
        dx = dx - dxhat.mean(dims, keepdim=True) - xhat * (dxhat * xhat).mean(dims, keepdim=True)
    dx = inv.view(shape) * dx
    dw = None if weight is None else (dout * xhat).sum(dims)
    db = None if bias is None else dout.sum(dims)
    return dx, dw, db


def layernorm_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(dim=1, keepdim=True)
    xc = x - mu
    var = (xc ** 2).mean(dim=1, keepdim=True)
    std = torch.sqrt(var + eps)
    xhat = xc / std
    return gamma * xhat + beta, (xhat, std, gamma)


# CASE norm_016 code=layernorm_forward,layernorm_b1 kind=one shapes=4x6,6,6 :: gamma taken out of the bracket (batch norm's short form): it varies over the summed axis; right: dxhat = dout * gamma
def layernorm_b1(dout, cache):
    xhat, std, gamma = cache
    D = dout.shape[1]
    dgamma = (dout * xhat).sum(0)
    dbeta = dout.sum(0)
    dx = gamma / (D * std) * (D * dout - dout.sum(1, keepdim=True) - xhat * (dout * xhat).sum(1, keepdim=True))
    return dx, dgamma, dbeta


def layer_norm_fwd(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    if isinstance(normalized_shape, int):
        normalized_shape = (normalized_shape,)
    k = len(normalized_shape)
    dims = tuple(range(-k, 0))
    mean = x.mean(dims, keepdim=True)
    rstd = torch.rsqrt(x.var(dims, unbiased=False, keepdim=True) + eps)
    norm = (x - mean) * rstd
    out = norm if weight is None else norm * weight
    if bias is not None:
        out = out + bias
    return out, (norm, rstd, weight, bias, dims)


# CASE norm_021 like=layer_norm code=layer_norm_fwd,layer_norm_bwd kind=correct :: right
def layer_norm_bwd(dout, cache):
    norm, rstd, weight, bias, dims = cache
    lead = tuple(range(dout.dim() - len(dims)))
    dnorm = dout if weight is None else dout * weight
    dx = dnorm - dnorm.mean(dims, keepdim=True) - norm * (dnorm * norm).mean(dims, keepdim=True)
    dx = dx * rstd
    dw = None if weight is None else ((dout * norm).sum(lead) if lead else dout * norm)
    db = None if bias is None else (dout.sum(lead) if lead else dout.clone())
    return dx, dw, db


# CASE norm_022 like=layer_norm code=layer_norm_fwd,layer_norm_bwd2 kind=one :: mean of dnorm not subtracted
def layer_norm_bwd2(dout, cache):
    norm, rstd, weight, bias, dims = cache
    lead = tuple(range(dout.dim() - len(dims)))
    dnorm = dout if weight is None else dout * weight
    dx = rstd * (dnorm - norm * (dnorm * norm).mean(dims, keepdim=True))
    dw = None if weight is None else ((dout * norm).sum(lead) if lead else dout * norm)
    db = None if bias is None else (dout.sum(lead) if lead else dout.clone())
    return dx, dw, db


def groupnorm_forward(x, num_groups, weight=None, bias=None, eps=1e-5):
    N, C = x.shape[:2]
    xg = x.reshape(N, num_groups, -1)
    mu = xg.mean(-1, keepdim=True)
    inv = 1 / torch.sqrt(xg.var(-1, unbiased=False, keepdim=True) + eps)
    xhat = ((xg - mu) * inv).reshape(x.shape)
    view = [1, C] + [1] * (x.dim() - 2)
    out = xhat
    if weight is not None:
        out = out * weight.view(view)
    if bias is not None:
        out = out + bias.view(view)
    return out, (xhat, inv, weight, bias, num_groups, view)


# CASE norm_024 like=group_norm code=groupnorm_forward,groupnorm_b2 kind=one :: sums of a group divided by C // G only; right: by C // G * H * W
def groupnorm_b2(dout, cache):
    xhat, inv, weight, bias, G, view = cache
    N, C = dout.shape[:2]
    dims = [d for d in range(dout.dim()) if d != 1]
    d = (dout if weight is None else dout * weight.view(view)).reshape(N, G, -1)
    h = xhat.reshape(N, G, -1)
    m = C // G
    dx = inv * (d - d.sum(-1, keepdim=True) / m - h * (d * h).sum(-1, keepdim=True) / m)
    return (dx.reshape(dout.shape), None if weight is None else (dout * xhat).sum(dims),
            None if bias is None else dout.sum(dims))


# CASE norm_025 like=group_norm code=groupnorm_forward,groupnorm_b3 kind=correct :: right
def groupnorm_b3(dout, cache):
    xhat, inv, weight, bias, G, view = cache
    N, C = dout.shape[:2]
    dims = [d for d in range(dout.dim()) if d != 1]
    d = (dout if weight is None else dout * weight.view(view)).reshape(N, G, -1)
    h = xhat.reshape(N, G, -1)
    dx = inv * (d - d.mean(-1, keepdim=True) - h * (d * h).mean(-1, keepdim=True))
    return (dx.reshape(dout.shape), None if weight is None else (dout * xhat).sum(dims),
            None if bias is None else dout.sum(dims))
