import torch

from tinytorch_course.checking.cases import draw
from tinytorch_course.scratch.tuned import convolution
from tinytorch_course.scratch.tuned.convolution import conv2d_backward, conv2d_forward


def test_blocks_change_nothing(monkeypatch):
    x, weight, bias = draw(((7, 3, 9, 8), (4, 3, 3, 3), (4,)))
    dout = torch.randn(7, 4, 9, 8, dtype=torch.float64)
    results = []
    for block_bytes in (1, 3 * 9 * 8 * 27 * 8, 2**30):  # one image, three, all at a time
        monkeypatch.setattr(convolution, "BLOCK_BYTES", block_bytes)
        out, cache = conv2d_forward(x, weight, bias, padding=1)
        results.append((out, *conv2d_backward(dout, cache)))
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-13)
