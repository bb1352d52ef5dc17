"""Mistakes in convolution and pooling."""

import math

import torch
from checking.mistakes.mistake import backward, both, consistent, forward, injected
from torch.nn.functional import pad

from tinytorch_course.lockstep.wrong import changed, pooling_taps, result_of, taps

# --- convolution


def pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def sides(call):
    """conv2d's padding as (top, bottom, left, right)."""
    if call.padding == "valid":
        return 0, 0, 0, 0
    if call.padding != "same":
        vertical, horizontal = pair(call.padding)
        return vertical, vertical, horizontal, horizontal
    reach = [d * (k - 1) for d, k in zip(pair(call.dilation), call.weight.shape[2:], strict=True)]
    return reach[0] // 2, reach[0] - reach[0] // 2, reach[1] // 2, reach[1] - reach[1] // 2


def dx_by_taps(dx, dout, call, *, assigned=False, **changes):
    """dx of conv2d as a learner adds it up: each dout times the kernel, tap by tap."""
    top, _, left, _ = sides(call)
    where = {"stride": call.stride, "dilation": call.dilation} | changes
    groups, dx = call.groups, torch.zeros_like(dx)
    weight = call.weight.unflatten(0, (groups, -1))  # (G, O/G, I, KH, KW)
    dout = dout.reshape(-1, *dout.shape[-3:]).unflatten(1, (groups, -1))  # (N, G, O/G, P, Q)
    for (a, b), outputs, pixels in taps(
        dx.shape[-2:], dout.shape[-2:], call.weight.shape[2:], padding=(top, left), **where
    ):
        share = (
            torch.einsum("goi,ngopq->ngipq", weight[..., a, b], dout)
            .flatten(1, 2)
            .reshape(*dx.shape[:-2], *dout.shape[-2:])
        )
        if assigned:
            dx[pixels] = share[outputs]
        else:
            dx[pixels] += share[outputs]
    return dx


def conv_dx(**mistake):
    return changed(0, lambda dx, dout, call: dx_by_taps(dx, dout, call, **mistake))


def only_the_last_image(dweight, dout, call):
    if call.x.dim() == 3:
        return dweight
    return call.again(x=call.x[-1:]).grads(dout[-1:])[1]


def odd_padding_on_top(call):
    """conv2d on an image that is padded by hand, the wrong way round."""
    top, bottom, left, right = sides(call)
    return call.again(x=pad(call.x, (right, left, bottom, top)), padding=0)


def cropped(dout, call):
    _, bottom, _, right = sides(call)
    dx, *others = odd_padding_on_top(call).grads(dout)
    return dx[..., bottom : bottom + call.x.shape[-2], right : right + call.x.shape[-1]], *others


def axes_of_padding_swapped(call):
    return call if isinstance(call.padding, str) else call.again(padding=pair(call.padding)[::-1])


def kernel_transposed(call):
    return call.again(weight=call.weight.mT.reshape(call.weight.shape))


CONVOLUTION = [
    injected("conv2d_backward: kernel rotated", "conv-weight-flipped", "reversed"),
    injected("conv2d_backward: dweight turned by 180 degrees", "conv-weight-turned", "kernel-not-rotated"),
    backward("conv2d", "only the last block", "missing-sum", changed(1, only_the_last_image)),
    backward(
        "conv2d",
        "dbias averaged over pixels",
        "extra-mean",
        changed(2, lambda dbias, dout, call: dbias / (dout.numel() / len(dbias))),
    ),
    injected("_slide_back: kernel not turned", "conv-kernel-not-rotated", "kernel-not-rotated"),
    both("_add_windows: overlapping windows assigned", "conv2d", "overlap-assigned", None, conv_dx(assigned=True)),
    both("_add_windows: dilation ignored in dx", "conv2d", "dilation-ignored", None, conv_dx(dilation=1)),
    both("_add_windows: vertical stride ignored in dx", "conv2d", "stride-ignored", None, conv_dx(stride=1)),
    both(
        "_add_windows: kernel upside down",
        "conv2d",
        "kernel-not-rotated",
        None,
        changed(0, lambda dx, dout, call: call.again(weight=call.weight.flip(2)).grads(dout)[0]),
    ),
    both(
        "_unpad: an odd padding on top",
        "conv2d",
        "padding-off-by-one",
        lambda call: call.giving(odd_padding_on_top(call).out),
        cropped,
    ),
    both("padding_sides: axes mixed up", "conv2d", "axes-swapped", axes_of_padding_swapped),
    both("_weight_rows: kernel's axes swapped", "conv2d", "kernel-transposed", kernel_transposed),
    forward("conv2d", "bias forgotten", "unused-argument", result_of(bias=lambda call: None)),
]

# --- pooling


def first_winner_takes(dout, call):
    """dx of max pooling as a learner writes it; where windows overlap, the last one's share is kept."""
    dx, left = torch.zeros_like(call.x), dout.clone()
    for _, outputs, pixels in pooling_taps(call, dout):
        taken = (call.x[pixels] == call.out[outputs]) * left[outputs]
        dx[pixels] = taken
        left[outputs] -= taken
    return dx


def positions_of_ties_added(call):
    if not call.return_indices:
        return call
    position = torch.arange(call.x.shape[-2:].numel()).view(call.x.shape[-2:])
    indices = torch.zeros_like(call.out, dtype=torch.int64)
    for _, outputs, pixels in pooling_taps(call, call.out):
        indices[outputs] += (call.x[pixels] == call.out[outputs]) * position[pixels]
    return call.giving(call.out, indices)


def counts(call, over_the_edge=0):
    """By what avg_pool2d divides each window, (P, Q)."""
    if call.divisor_override is not None:
        return torch.full(call.out.shape[-2:], float(call.divisor_override), dtype=call.x.dtype)
    kernel, padding = pair(call.kernel_size), pair(call.padding)
    stride = kernel if call.stride in (None, ()) else pair(call.stride)
    lengths = []
    for axis, size in enumerate(call.x.shape[-2:]):
        before, after = (
            (padding[axis], padding[axis] + over_the_edge * padding[axis]) if call.count_include_pad else (0, 0)
        )
        start = torch.arange(call.out.shape[axis - 2]) * stride[axis] - padding[axis]
        lengths.append((start + kernel[axis]).clamp_max(size + after) - start.clamp_min(-before))
    return (lengths[0][:, None] * lengths[1]).to(call.x.dtype)


def share_assigned(dout, call):
    dx, share = torch.zeros_like(call.x), dout / counts(call)
    for _, outputs, pixels in pooling_taps(call, dout):
        dx[pixels] = share[outputs]
    return dx


def beyond_the_edge(call):
    return counts(call) / counts(call, over_the_edge=1)


def taps_at_zero(call):
    stride = call.kernel_size if call.stride in (None, ()) else call.stride
    return taps(call.x.shape[-2:], call.right[0].shape[-2:], call.kernel_size, stride, 0, call.dilation)


def pooled_at_zero(call):
    out = torch.full_like(call.right[0], -math.inf)
    for _, outputs, pixels in taps_at_zero(call):
        out[outputs] = torch.maximum(out[outputs], call.x[pixels])
    return out


def winners_without_padding(dout, call):
    dx, left, out = torch.zeros_like(call.x), dout.clone(), pooled_at_zero(call)
    for _, outputs, pixels in taps_at_zero(call):
        taken = (call.x[pixels] == out[outputs]) * left[outputs]
        dx[pixels] += taken
        left[outputs] -= taken
    return dx


def windows_outside(call):
    """(rows, columns) of windows that begin outside the image and its leading padding, which ceil_mode leaves out."""
    if not call.ceil_mode:
        return 0, 0
    kernel, padding, dilation = pair(call.kernel_size), pair(call.padding), pair(call.dilation)
    stride = kernel if call.stride in (None, ()) else pair(call.stride)
    rooms = (call.x.shape[axis - 2] + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1 for axis in range(2))
    return tuple(
        -(-room // s) + 1 - count for room, s, count in zip(rooms, stride, call.right[0].shape[-2:], strict=True)
    )


def with_windows_outside(call):
    rows, columns = windows_outside(call)
    return call.giving(pad(call.out, (0, columns, 0, rows), value=-math.inf))


def without_windows_outside(dout, call):
    height, width = call.right[0].shape[-2:]
    return call.grads(dout[..., :height, :width])


def adaptive_with_floors(given):
    (height, width), size = given.x.shape[-2:], given.output_size
    rows, columns = (own if want is None else want for want, own in zip(pair(size), (height, width), strict=True))
    means = [
        given.x[..., p * height // rows : (p + 1) * height // rows, q * width // columns : (q + 1) * width // columns]
        for p in range(rows)
        for q in range(columns)
    ]
    return torch.stack([window.mean(dim=(-2, -1)) for window in means], dim=-1).unflatten(-1, (rows, columns))


POOLING = [
    injected("max_pool2d_backward: every tied pixel wins", "max-pool-ties", "ties-all"),
    backward("max_pool2d", "overlapping windows assigned", "overlap-assigned", first_winner_takes),
    both("_winners: positions of ties added up", "max_pool2d", "ties-all", positions_of_ties_added),
    backward(
        "avg_pool2d",
        "the mean's divisor forgotten",
        "missing-mean",
        lambda dout, call: call.grads(dout * counts(call)),
    ),
    backward("avg_pool2d", "overlapping windows assigned", "overlap-assigned", share_assigned),
    both(
        "_divisor: padding always counted",
        "avg_pool2d",
        "ignored-keyword",
        lambda call: call.again(count_include_pad=True),
    ),
    both(
        "_divisor: pixels over the edge counted",
        "avg_pool2d",
        "wrong-divisor",
        lambda call: call.giving(call.out * beyond_the_edge(call)),
        lambda dout, call: call.grads(dout * beyond_the_edge(call)),
    ),
    both(
        "_span: padding forgotten",
        "max_pool2d",
        "padding-ignored",
        lambda call: call.giving(pooled_at_zero(call)),
        winners_without_padding,
    ),
    both(
        "_prepare: a window outside the image",
        "max_pool2d",
        "window-outside",
        with_windows_outside,
        without_windows_outside,
    ),
    backward(
        "adaptive_avg_pool2d",
        "not divided",
        "missing-mean",
        lambda dout, call: call.grads(dout) * call.x.shape[-2],
    ),
    both(
        "_averaging_matrix: floor for ceiling",
        "adaptive_avg_pool2d",
        "floor-for-ceiling",
        *consistent(adaptive_with_floors, "x"),
    ),
]

MISTAKES = CONVOLUTION + POOLING
