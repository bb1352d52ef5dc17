# ruff: noqa
"""As torch's tutorials do: autograd.Function in both of its styles."""

import torch
from torch.autograd.function import once_differentiable


# CASE relu MyReLU | grad_input[input < 0] = 0 => grad_input[input > 0] = 0
class MyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return input.clamp(min=0)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[input < 0] = 0
        return grad_input


# CASE linear LinearFunction | grad_bias = grad_output.sum(0) => grad_bias = -grad_output.sum(0)
class LinearFunction(torch.autograd.Function):
    @staticmethod
    def forward(input, weight, bias):
        output = input.mm(weight.t())
        if bias is not None:
            output += bias.unsqueeze(0).expand_as(output)
        return output

    @staticmethod
    def setup_context(ctx, inputs, output):
        input, weight, bias = inputs
        ctx.save_for_backward(input, weight, bias)

    @staticmethod
    def backward(ctx, grad_output):
        input, weight, bias = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = grad_output.mm(weight)
        if ctx.needs_input_grad[1]:
            grad_weight = grad_output.t().mm(input)
        if bias is not None and ctx.needs_input_grad[2]:
            grad_bias = grad_output.sum(0)
        return grad_input, grad_weight, grad_bias


# CASE softmax SoftmaxFn | return p * (grad - (grad * p).sum(ctx.dim, keepdim=True)), None => return p * (grad + (grad * p).sum(ctx.dim, keepdim=True)), None
class SoftmaxFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dim):
        p = (x - x.amax(dim, keepdim=True)).exp()
        p = p / p.sum(dim, keepdim=True)
        ctx.save_for_backward(p)
        ctx.dim = dim
        return p

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (p,) = ctx.saved_tensors
        return p * (grad - (grad * p).sum(ctx.dim, keepdim=True)), None


# CASE leaky_relu Leaky | return torch.where(x > 0, grad, ctx.slope * grad), None => return torch.where(x > 0, grad, -ctx.slope * grad), None
class Leaky(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha=0.01):
        ctx.save_for_backward(x)
        ctx.slope = alpha
        return torch.where(x > 0, x, alpha * x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return torch.where(x > 0, grad, ctx.slope * grad), None
