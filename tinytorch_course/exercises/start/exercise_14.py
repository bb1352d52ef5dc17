"""Exercise 14. The CNN on MNIST

What a CNN has beside convolutions: average pooling, and the flattening before its first linear layer. Write both
backwards.

Check it with: tinytorch exercise 14 --check exercise_14.py
"""


def avg_pool2d_forward(x, kernel_size, stride=None):
    """out = the mean of each window of kernel_size by kernel_size, every `stride` pixels.

    x: (N, C, H, W). stride: kernel_size if it is None. Returns out (N, C, H', W'), and the cache.
    """
    stride = kernel_size if stride is None else stride
    out_height, out_width = (x.shape[2] - kernel_size) // stride + 1, (x.shape[3] - kernel_size) // stride + 1
    out = x.new_zeros(*x.shape[:2], out_height, out_width)
    for i in range(out_height):
        for j in range(out_width):
            top, left = i * stride, j * stride
            out[:, :, i, j] = x[:, :, top : top + kernel_size, left : left + kernel_size].mean(dim=(2, 3))
    return out, (x.shape, kernel_size, stride)


def avg_pool2d_backward(dout, cache):
    """dout: (N, C, H', W'); cache: x's shape, kernel_size, stride. Returns dx (N, C, H, W).

    Every pixel of a window has the same share in its mean. Windows may overlap, or leave pixels out.
    """
    raise NotImplementedError("avg_pool2d_backward")


def flatten_forward(x, start_dim=0, end_dim=-1):
    """The axes from start_dim to end_dim as one. x: any shape. Returns out, and the cache."""
    return x.flatten(start_dim, end_dim), x.shape


def flatten_backward(dout, cache):
    """dout: out's shape; cache: x's shape. Returns dx, x's shape."""
    raise NotImplementedError("flatten_backward")
