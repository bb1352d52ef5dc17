import torch.nn.functional as F

from tinytorch_course.checking.cases import Case, Table, noncontiguous, on_grid
from tinytorch_course.scratch.ops import convolution

# (x, weight, bias), keywords
ARGUMENTS = [
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {}),
    (((2, 3, 6, 7), (4, 3, 3, 3), None), {}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"padding": 1}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"padding": (2, 0)}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"padding": (0, 1)}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"padding": "valid"}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"padding": "same"}),
    (((2, 3, 6, 7), (4, 3, 2, 4), (4,)), {"padding": "same"}),
    (((2, 3, 6, 7), (4, 3, 2, 3), (4,)), {"padding": "same", "dilation": (3, 2)}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"stride": 2}),
    (((2, 3, 6, 7), (4, 3, 3, 3), (4,)), {"stride": (1, 3)}),
    (((2, 3, 8, 7), (4, 3, 3, 3), (4,)), {"stride": (3, 2), "padding": 1}),
    (((2, 3, 8, 9), (4, 3, 2, 2), (4,)), {"stride": 3}),
    (((2, 3, 6, 7), (4, 3, 2, 3), (4,)), {"dilation": 2}),
    (((2, 3, 6, 7), (4, 3, 2, 3), (4,)), {"dilation": (3, 2), "padding": (1, 2), "stride": (2, 1)}),
    (((2, 4, 5, 6), (6, 2, 3, 3), (6,)), {"groups": 2, "padding": 1}),
    (((2, 4, 5, 6), (4, 1, 3, 3), (4,)), {"groups": 4}),
    (((2, 4, 5, 6), (8, 1, 2, 3), None), {"groups": 4, "stride": 2, "padding": (1, 0), "dilation": (1, 2)}),
    (((2, 3, 5, 6), (4, 3, 1, 1), (4,)), {}),
    (((2, 3, 5, 6), (4, 3, 1, 1), (4,)), {"stride": 2, "padding": 1}),
    (((2, 3, 5, 6), (4, 3, 5, 6), (4,)), {}),
    (((2, 3, 1, 7), (4, 3, 1, 3), (4,)), {"padding": (0, 1)}),
    (((1, 1, 5, 5), (1, 1, 3, 3), (1,)), {}),
    (((3, 5, 6), (4, 3, 3, 3), (4,)), {}),
    (((3, 5, 6), (4, 3, 3, 3), None), {"stride": 2, "padding": 1}),
    (((0, 3, 5, 6), (4, 3, 3, 3), (4,)), {"padding": 1}),
    ((noncontiguous(2, 3, 6, 7), noncontiguous(4, 3, 3, 3), noncontiguous(4)), {"padding": 1}),
    ((on_grid(2, 3, 6, 7), on_grid(4, 3, 3, 3), (4,)), {}),
]

TABLE = Table(
    module=convolution,
    twins={"conv2d": F.conv2d, "conv2d_naive": F.conv2d},
    cases=[
        *(Case("conv2d", inputs, keywords) for inputs, keywords in ARGUMENTS),
        Case("conv2d", ((40, 8, 28, 28), (4, 8, 3, 3), (4,)), {"padding": 1}, note="several blocks"),
        *(Case("conv2d_naive", inputs, keywords) for inputs, keywords in ARGUMENTS),
    ],
)
