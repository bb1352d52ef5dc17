"""Exercise 13. Convolution

Convolution and max pooling are given as loops over the output's pixels; write their backwards as the same loops. Each
output pixel sends its dout back to all that it was made of; where windows overlap, what arrives is added up.

Check it with: tinytorch exercise 13 --check exercise_13.py
"""

import torch


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    """out[n, o, i, j] = the sum of window · weight[o], plus bias[o], for the window of x at (i · stride, j · stride).

    x: (N, C, H, W). weight: (O, C, K, L). bias: (O,). x gets `padding` rows and columns of zeros on every side.
    Returns out (N, O, H', W') with H' = (H + 2 padding − K) // stride + 1, W' alike, and the cache.
    """
    height, width = x.shape[2:]
    rows, columns = weight.shape[2:]
    padded = x.new_zeros(*x.shape[:2], height + 2 * padding, width + 2 * padding)
    padded[:, :, padding : padding + height, padding : padding + width] = x
    out_height, out_width = (padded.shape[2] - rows) // stride + 1, (padded.shape[3] - columns) // stride + 1
    out = x.new_zeros(len(x), len(weight), out_height, out_width)
    for i in range(out_height):
        for j in range(out_width):
            window = padded[:, :, i * stride : i * stride + rows, j * stride : j * stride + columns]  # (N, C, K, L)
            out[:, :, i, j] = torch.einsum("nckl,ockl->no", window, weight) + bias
    return out, (x.shape, padded, weight, stride, padding)


def conv2d_backward(dout, cache):
    """dout: (N, O, H', W'); cache: x's shape, padded (N, C, H + 2 padding, W + 2 padding), weight, stride, padding.

    Returns (dx (N, C, H, W), dweight (O, C, K, L), dbias (O,)). The zeros around x are nobody's: cut them off.
    """
    raise NotImplementedError("conv2d_backward")


def max_pool2d_forward(x, kernel_size, stride=None):
    """out = the largest entry of each window of kernel_size by kernel_size, every `stride` pixels.

    x: (N, C, H, W). stride: kernel_size if it is None. Returns out (N, C, H', W'), and the cache.
    """
    stride = kernel_size if stride is None else stride
    out_height, out_width = (x.shape[2] - kernel_size) // stride + 1, (x.shape[3] - kernel_size) // stride + 1
    out = x.new_zeros(*x.shape[:2], out_height, out_width)
    winner = torch.zeros(out.shape, dtype=torch.int64)  # row of the largest times kernel_size, plus its column
    for i in range(out_height):
        for j in range(out_width):
            top, left = i * stride, j * stride
            window = x[:, :, top : top + kernel_size, left : left + kernel_size].flatten(2)  # (N, C, K²)
            out[:, :, i, j], winner[:, :, i, j] = window.max(dim=2)
    return out, (x.shape, winner, kernel_size, stride)


def max_pool2d_backward(dout, cache):
    """dout: (N, C, H', W'); cache: x's shape, winner (N, C, H', W'), kernel_size, stride. Returns dx (N, C, H, W).

    The slope is 1 for a window's winner and 0 for all others. One pixel may win several windows.
    """
    raise NotImplementedError("max_pool2d_backward")
