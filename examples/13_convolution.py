"""13. Convolution

What you learn: the sliding window by loops, as rows (im2col) and as one matmul, and its backward; channels, stride,
padding, dilation and the size of what comes out; pooling and its ties; the receptive field; edge filters on a digit.

Run: tinytorch lesson 13 (or python examples/13_convolution.py)
Time: about 8 s on 2 CPU cores

Expected output (excerpt):
    by loops: [[0.0, 3.0, 3.0], [0.0, 3.0, 3.0], [0.0, 3.0, 3.0]]
    im2col and one matmul equal the loops: True
    loops, one matmul, torch: outputs equal to 1e-12: True
    backward: gradients equal to 1e-12: True
    size by formula and by running: equal in all 216 cases
    a tie: ours [1.0, 0.0, 0.0, 0.0], torch [1.0, 0.0, 0.0, 0.0], amax [0.25, 0.25, 0.25, 0.25]
    receptive field by formula [3, 4, 8, 10], by running [3, 4, 8, 10]
"""

# %% A window slides over a picture
# At each place the window's pixels are multiplied by the kernel's weights and added up: one number of the output. This
# kernel subtracts left from right, so it answers where dark turns to bright, and says 0 where nothing changes.
import torch


def convolve(image, kernel):
    (height, width), (kh, kw) = image.shape, kernel.shape
    out = torch.zeros(height - kh + 1, width - kw + 1, dtype=image.dtype)
    for p in range(out.shape[0]):
        for q in range(out.shape[1]):
            out[p, q] = (image[p : p + kh, q : q + kw] * kernel).sum()
    return out


image = torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0]]).repeat(5, 1)  # dark at the left, bright at the right
kernel = torch.tensor([[-1.0, 0.0, 1.0]]).repeat(3, 1)
print("by loops:", convolve(image, kernel).tolist())
assert convolve(image, kernel).tolist() == [[0, 3, 3]] * 3

# %% Drawn: the window at three places
# Each place of the window gives one pixel of the output.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
figure, panels = plt.subplots(2, 3, figsize=(12, 8), layout="constrained")
for (above, below), place in zip(panels.T, (0, 1, 5), strict=True):
    row, column = divmod(place, 3)
    for axes, picture, corner, size in (
        (above, image, (column, row), 3),
        (below, convolve(image, kernel), (column, row), 1),
    ):
        axes.imshow(picture, cmap="cividis")
        for (i, j), value in np.ndenumerate(picture.numpy()):
            axes.text(
                j, i, f"{value:.0f}", ha="center", va="center", fontsize=15, color="white" if value < 1 else "black"
            )
        frame = plt.Rectangle(
            (corner[0] - 0.5, corner[1] - 0.5), size, size, fill=False, edgecolor="#d55e00", linewidth=5
        )
        axes.add_patch(frame)
        axes.set(xticks=[], yticks=[])
    above.set_title(f"window at row {row}, column {column}", fontsize=16)
panels[0, 0].set_ylabel("image", fontsize=16)
panels[1, 0].set_ylabel("output", fontsize=16)
figure.savefig(OUT / "13_sliding.png", dpi=120)

# %% What mathematics calls convolution turns the kernel first
# Deep learning leaves that out (it is called **cross-correlation** then): the weights are learnt, turned or not.
signal, taps = np.array([1.0, 5.0, 2.0, 4.0]), np.array([1.0, 10.0])
slid = convolve(torch.from_numpy(signal)[None], torch.from_numpy(taps)[None])[0].numpy()
turned = np.convolve(signal, taps[::-1], mode="valid")
print(f"window: {slid.tolist()}; NumPy's convolution with the kernel turned: {turned.tolist()}")
assert np.array_equal(slid, turned)
assert not np.array_equal(slid, np.convolve(signal, taps, mode="valid"))

# %% Every window as a row: im2col
# unfold gives the windows as a view with other strides: no number is copied, neighbours share their pixels. Written out
# as rows (that does copy), all nine sums become one product of a matrix and a vector.
windows = image.unfold(0, 3, 1).unfold(1, 3, 1)  # (3, 3, 3, 3): where, where, and the window there
rows = windows.reshape(9, 9)  # one row for each place, one column for each weight
out = (rows @ kernel.flatten()).reshape(3, 3)
print("im2col and one matmul equal the loops:", torch.equal(out, convolve(image, kernel)))
assert windows.data_ptr() == image.data_ptr()
assert torch.equal(out, convolve(image, kernel))
assert torch.equal(rows.T, torch.nn.functional.unfold(image[None, None], 3)[0])  # torch has the windows as columns

# %% A linear layer that shares its weights
# The same map as a matrix: each output has a row of 25 weights, the kernel's nine at its window and 0 elsewhere. A
# linear layer from 28 x 28 to 26 x 26 pixels would learn each of its weights; all that is learnt here is nine numbers.
matrix = torch.zeros(9, 25)
for place in range(9):
    p, q = divmod(place, 3)
    matrix.view(9, 5, 5)[place, p : p + 3, q : q + 3] = kernel
free = torch.nn.Linear(28 * 28, 26 * 26, bias=False, device="meta").weight.numel()
print(f"a linear layer: {free:,} weights; the kernel: {kernel.numel()}")
assert free == 529_984
assert torch.equal(matrix @ image.flatten(), out.flatten())

# %% What moves in, moves out
# Shared weights give the same answer everywhere: shift the picture by one pixel, and the output, the **feature map**,
# shifts by one. This is called **translation equivariance**.
noise = torch.randn(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
moved = convolve(noise.roll(1, dims=1), kernel.double())
stays = convolve(noise, kernel.double())
print("shifted in, shifted out:", torch.equal(moved[:, 1:], stays[:, :-1]))
assert torch.equal(moved[:, 1:], stays[:, :-1])

# %% Channels
# A picture has C channels, a kernel as many, and there are O kernels: weight is (O, C, KH, KW). An output sums over all
# channels. The course's two versions, the loops and im2col, beside torch, in float64.
from tinytorch_course.scratch.ops.convolution import conv2d_backward, conv2d_forward, conv2d_naive_forward

random = torch.Generator().manual_seed(0)
shapes = [(2, 3, 8, 8), (4, 3, 3, 3), (4,)]  # x (N, C, H, W), weight (O, C, KH, KW), bias (O,)
x, weight, bias = (torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes)
out, cache = conv2d_forward(x, weight, bias)
naive, _ = conv2d_naive_forward(x, weight, bias)
torchs = torch.nn.functional.conv2d(x, weight, bias)
difference = max((out - naive).abs().max().item(), (out - torchs).abs().max().item())
print(f"{tuple(x.shape)} becomes {tuple(out.shape)}: {out.numel()} turns of the loop, or one matmul")
print("loops, one matmul, torch: outputs equal to 1e-12:", difference < 1e-12)
assert difference < 1e-12

# %% One output by hand
# Its window has 3 x 3 x 3 numbers: all channels at one place.
by_hand = (x[1, :, 2:5, 4:7] * weight[3]).sum() + bias[3]
print(f"out[1, 3, 2, 4] by hand {by_hand:.6f}, by the layer {out[1, 3, 2, 4]:.6f}")
assert abs(by_hand - out[1, 3, 2, 4]) < 1e-12


# %% im2col for batches, channels and strides
# The same three lines as above, with a sample and a channel axis. The rows of sample n are its windows, C x k x k
# numbers each; the weights, (O, C, k, k), are a matrix with a row for each output channel.
def im2col(x, k, stride):
    windows = x.unfold(2, k, stride).unfold(3, k, stride)  # (N, C, P, Q, k, k)
    return windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)  # (N, P Q, C k k)


def conv_forward(x, weight, bias, stride=1):
    k = weight.shape[2]
    out = im2col(x, k, stride) @ weight.flatten(1).T + bias  # (N, P Q, O)
    places = (x.shape[2] - k) // stride + 1, (x.shape[3] - k) // stride + 1
    return out.transpose(1, 2).unflatten(2, places), (x, weight, stride)


by_rows = {stride: conv_forward(x, weight, bias, stride)[0] for stride in (1, 2, 3)}
apart = [(o - torch.nn.functional.conv2d(x, weight, bias, stride)).abs().max().item() for stride, o in by_rows.items()]
print("im2col with strides 1, 2 and 3 equals torch to 1e-12:", max(apart) < 1e-12)
assert max(apart) < 1e-12


# %% Its way back: col2im
# A linear layer's backward (lesson 02) gives the gradient of the weights and of the rows. In im2col a pixel was copied
# into every window that saw it, so its gradient is the sum over all these copies: **col2im** adds each back to its
# place.
def col2im(rows, shape, k, stride):
    (n, c, h, w), dx = shape, rows.new_zeros(shape)
    p, q = (h - k) // stride + 1, (w - k) // stride + 1
    windows = rows.reshape(n, p, q, c, k, k).permute(0, 3, 4, 5, 1, 2)  # (N, C, k, k, P, Q)
    for a in range(k):
        for b in range(k):  # entry (a, b) of all windows at once
            dx[:, :, a : a + stride * p : stride, b : b + stride * q : stride] += windows[:, :, a, b]
    return dx


def conv_backward(dout, cache):
    x, weight, stride = cache
    k, drows = weight.shape[2], dout.flatten(2).transpose(1, 2)  # (N, P Q, O)
    dweight = torch.einsum("npo,npk->ok", drows, im2col(x, k, stride)).reshape(weight.shape)
    return col2im(drows @ weight.flatten(1), x.shape, k, stride), dweight, dout.sum((0, 2, 3))


# %% With any stride, equal to autograd's and to the course's
largest = 0.0
for stride in (1, 2, 3):
    leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
    autograd_out = torch.nn.functional.conv2d(*leaves, stride=stride)
    dout = torch.randn(autograd_out.shape, generator=random, dtype=torch.float64)
    ours = conv_backward(dout, conv_forward(x, weight, bias, stride)[1])
    packaged = conv2d_backward(dout, conv2d_forward(x, weight, bias, stride)[1])
    for mine, theirs, its in zip(ours, packaged, torch.autograd.grad(autograd_out, leaves, dout), strict=True):
        largest = max(largest, (mine - its).abs().max().item(), (mine - theirs).abs().max().item())
print("written out, the course's, autograd: dx, dweight, dbias for three strides equal to 1e-10:", largest < 1e-10)
assert largest < 1e-10

# %% At stride 1, backward is convolution again
# Weight (a, b) met the pixels at (p + a, q + b), so dweight slides dout over x. A pixel met the weights in reverse
# order as the window passed over it, so dx slides the turned kernel over dout, with a border of zeros. With a stride of
# 2, dout would be too small for that: put a zero between its neighbours first (**transposed convolution** does this).
dout = torch.randn(out.shape, generator=random, dtype=torch.float64)
dx, dweight, dbias = conv2d_backward(dout, cache)
dx_slid = torch.nn.functional.conv2d(dout, weight.flip(2, 3).transpose(0, 1), padding=2)
dweight_slid = torch.nn.functional.conv2d(x.transpose(0, 1), dout.transpose(0, 1)).transpose(0, 1)
leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
autograds = torch.autograd.grad(torch.nn.functional.conv2d(*leaves), leaves, dout)
pairs = [(dx, dx_slid), (dweight, dweight_slid), *zip((dx, dweight, dbias), autograds, strict=True)]
difference = max((a - b).abs().max().item() for a, b in pairs)
print("backward: gradients equal to 1e-12:", difference < 1e-12)
assert difference < 1e-12
small = torch.randn(2, 4, 3, 3, generator=random, dtype=torch.float64)  # dout at stride 2
spread = torch.zeros(2, 4, 6, 6, dtype=torch.float64)  # 3 x 3 with zeros between, and 8 - 7 for the unseen border
spread[:, :, ::2, ::2] = small
slid = torch.nn.functional.conv2d(spread, weight.flip(2, 3).transpose(0, 1), padding=2)
assert torch.allclose(slid, conv_backward(small, (x, weight, 2))[0], rtol=0, atol=1e-12)

# %% Stride, padding, dilation: how large is the map?
# Stride: steps between windows. Padding: zeros around the picture. Dilation: steps between the taps of the kernel, so
# that it spans dilation (k - 1) + 1 pixels. The window fits floor((size + 2 padding - span) / stride) + 1 times.
import itertools

cases = list(itertools.product((9, 10, 28), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2)))
for size, k, stride, padding, dilation in cases:
    span = dilation * (k - 1) + 1
    formula = (size + 2 * padding - span) // stride + 1
    out, _ = conv2d_forward(torch.zeros(1, 1, size, size), torch.zeros(1, 1, k, k), None, stride, padding, dilation)
    assert out.shape[2:] == (formula, formula)
print(f"size by formula and by running: equal in all {len(cases)} cases")

# %% How often is a pixel seen?
# A kernel of ones, and ones for dout: dx then counts the windows that saw each pixel. Without padding a corner is seen
# once, the middle nine times. Padding treats corners better, a stride of 2 shares less, dilation widens the border.
settings = {"plain": (1, 0, 1), "padding 1": (1, 1, 1), "stride 2": (2, 0, 1), "dilation 2": (1, 0, 2)}
seen = {}
for name, (stride, padding, dilation) in settings.items():
    out, cache = conv2d_forward(torch.ones(1, 1, 9, 9), torch.ones(1, 1, 3, 3), None, stride, padding, dilation)
    seen[name] = conv2d_backward(torch.ones_like(out), cache)[0][0, 0]
    print(f"{name}: {out.shape[2]} x {out.shape[3]}; corner seen {seen[name][0, 0]:.0f}, middle {seen[name][4, 4]:.0f}")
assert (seen["plain"][0, 0], seen["plain"][4, 4]) == (1, 9)
assert (seen["padding 1"][0, 0], seen["padding 1"][4, 4]) == (4, 9)
assert seen["stride 2"].max() == 4
assert seen["dilation 2"][4, 4] == 9
assert seen["dilation 2"].sum() == 25 * 9  # 25 windows of nine taps

# %% Drawn
figure, panels = plt.subplots(1, 4, figsize=(13, 4.3), sharey=True, layout="constrained")
for axes, (name, counts) in zip(panels, seen.items(), strict=True):
    axes.imshow(counts, cmap="cividis", vmin=0, vmax=9)
    for (row, column), count in np.ndenumerate(counts.numpy()):
        axes.text(column, row, f"{count:.0f}", ha="center", va="center", color="white" if count < 5 else "black")
    axes.set_title(name, fontsize=16)
    axes.set_xlabel("column of the pixel", fontsize=13)
panels[0].set_ylabel("row of the pixel", fontsize=13)
figure.suptitle("How many 3 x 3 windows see each pixel", fontsize=16)
figure.savefig(OUT / "13_windows.png", dpi=120)

# %% A dilated kernel is a large one with holes
holes = torch.zeros(4, 3, 5, 5, dtype=torch.float64)
holes[:, :, ::2, ::2] = weight
dilated, large = conv2d_forward(x, weight, dilation=2)[0], conv2d_forward(x, holes)[0]
print(
    f"dilation 2 spans 5 x 5 with {weight[0, 0].numel()} weights; equal: {torch.allclose(dilated, large, atol=1e-12)}"
)
assert torch.allclose(dilated, large, atol=1e-12)

# %% A 1 x 1 kernel mixes channels
# It is a linear layer at every pixel: the cheap way to more or fewer channels.
mix = torch.randn(5, 3, 1, 1, generator=random, dtype=torch.float64)
mixed = conv2d_forward(x, mix)[0]
by_linear = (x.movedim(1, -1) @ mix[:, :, 0, 0].T).movedim(-1, 1)
print(f"1 x 1: {tuple(x.shape)} becomes {tuple(mixed.shape)}; as a linear layer at every pixel:", end=" ")
print(torch.allclose(mixed, by_linear, atol=1e-12))
assert torch.allclose(mixed, by_linear, atol=1e-12)

# %% Pooling
# The largest value of each 2 x 2 window (or the mean) stands for the four: **max pooling**, **average pooling**. The
# map halves; where exactly the value stood is forgotten, so that a small shift may change nothing: a little
# **translation invariance**.
from tinytorch_course.scratch.ops.pooling import avg_pool2d_forward, max_pool2d_backward, max_pool2d_forward

largest, mean = max_pool2d_forward(x, 2)[0], avg_pool2d_forward(x, 2)[0]
blocks = x.reshape(2, 3, 4, 2, 4, 2)
dot = torch.zeros(1, 1, 4, 4)
dot[0, 0, 0, 0] = 1
shifted = dot.roll(1, dims=3)  # still within the first window
print(f"pooling: {tuple(x.shape)} becomes {tuple(largest.shape)}")
assert torch.equal(largest, blocks.amax((3, 5)))
assert torch.equal(largest, torch.nn.functional.max_pool2d(x, 2))
assert torch.allclose(mean, blocks.mean((3, 5)))
assert torch.equal(max_pool2d_forward(dot, 2)[0], max_pool2d_forward(shifted, 2)[0])


# %% Its backward, written out
# Forward picks one number of each row of im2col; backward gives the gradient to that number, and col2im adds up.
def pool_forward(x, k, stride):
    rows = im2col(x.flatten(0, 1)[:, None], k, stride)  # (N C, P Q, k k): each channel for itself
    winners = rows.argmax(2, keepdim=True)  # the first of the largest
    places = (x.shape[2] - k) // stride + 1, (x.shape[3] - k) // stride + 1
    return rows.gather(2, winners).reshape(*x.shape[:2], *places), (winners, x.shape, k, stride)


def pool_backward(dout, cache):
    winners, shape, k, stride = cache
    drows = dout.new_zeros(*winners.shape[:2], k * k).scatter(2, winners, dout.flatten(0, 1).reshape(winners.shape))
    return col2im(drows, (shape[0] * shape[1], 1, *shape[2:]), k, stride).reshape(shape)


out, cache = pool_forward(x, 3, 2)  # windows that overlap: a pixel may win twice
packaged, packaged_cache = max_pool2d_forward(x, 3, 2)
dout = torch.randn(out.shape, generator=random, dtype=torch.float64)
difference = (pool_backward(dout, cache) - max_pool2d_backward(dout, packaged_cache)).abs().max().item()
print("max pooling written out equals the course's, backward too:", torch.equal(out, packaged) and difference < 1e-12)
assert torch.equal(out, packaged)
assert difference < 1e-12

# %% Ties
# Backward, the gradient goes to the pixel that won. If several are equally large, torch's max_pool2d and ours give all
# of it to the first, amax gives each a share. In a digit's black background every window is a tie.
flat, share = torch.zeros(1, 1, 2, 2, requires_grad=True), torch.zeros(1, 1, 2, 2, requires_grad=True)
out, cache = max_pool2d_forward(flat.detach(), 2)
ours = max_pool2d_backward(torch.ones_like(out), cache).flatten().tolist()
torch.nn.functional.max_pool2d(flat, 2).sum().backward()
share.amax((2, 3)).sum().backward()
print(f"a tie: ours {ours}, torch {flat.grad.flatten().tolist()}, amax {share.grad.flatten().tolist()}")
assert ours == flat.grad.flatten().tolist() == [1, 0, 0, 0]
assert share.grad.flatten().tolist() == [0.25] * 4

# %% The receptive field, by formula
# How far does a value of a deep map see? A layer of kernel k adds (k - 1) jumps, where the jump is how far apart two
# neighbours of its input stand in the picture: the product of all strides so far.
layers = [
    ("conv", 3, 1),
    ("pool", 2, 2),
    ("conv", 3, 1),
    ("pool", 2, 2),
]  # the layers of our mnist_cnn: name, k, stride
field, jump, fields = 1, 1, []
for _, k, stride in layers:
    field, jump = field + (k - 1) * jump, jump * stride
    fields.append(field)
print(f"receptive field after each layer: {fields}; neighbours are {jump} pixels apart")
assert fields == [3, 4, 8, 10]

# %% The receptive field, by running
# The gradient of one value says which pixels it depends on: those where it is not 0. Means instead of maxima, and 64
# copies of the picture, each with random kernels of its own, so that no pixel drops out by chance.
picture = torch.ones(1, 64, 28, 28, requires_grad=True)
value, measured, influence = picture, [], []
for name, k, stride in layers:
    if name == "conv":
        kernels = torch.randn(64, 1, k, k, generator=random)
        value = torch.nn.functional.conv2d(value, kernels, padding=1, groups=64)  # 64 groups: each copy for itself
    else:
        value = torch.nn.functional.avg_pool2d(value, k, stride)
    middle = value.shape[2] // 2
    (gradient,) = torch.autograd.grad(value[0, :, middle, middle].sum(), picture, retain_graph=True)
    influence.append(gradient[0].abs().mean(0))  # (28, 28)
    measured.append((influence[-1].sum(0) > 0).sum().item())  # columns that matter
print(f"receptive field by formula {fields}, by running {measured}")
assert measured == fields

# %% Drawn: what one value sees
figure, panels = plt.subplots(1, 4, figsize=(13, 4.3), sharey=True, layout="constrained")
for axes, (name, _, _), field, seen_by in zip(panels, layers, fields, influence, strict=True):
    axes.imshow(seen_by / seen_by.max(), cmap="cividis", vmin=0, vmax=1)
    axes.set_title(f"after {name}: {field} x {field}", fontsize=16)
    axes.set_xlabel("column of the pixel", fontsize=13)
panels[0].set_ylabel("row of the pixel", fontsize=13)
figure.suptitle("How strongly one value in the middle depends on each pixel", fontsize=16)
figure.savefig(OUT / "13_receptive_field.png", dpi=120)

# %% Edge filters on a digit
# Sobel's kernels, known long before any network learnt its own: differences across, smoothed along the edge. Vertical
# strokes light up the first, horizontal strokes the second. A 1 is mostly vertical. (MNIST if it is there, else the
# embedded digits.)
from tinytorch_course.data import default_data_dir, load

found = any(default_data_dir().glob("MNIST/raw/train-images-idx3-ubyte*"))
train = load("mnist" if found else "digits").train
sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
blur = torch.full((3, 3), 1 / 9)
filters = torch.stack([sobel, sobel.T, blur])[:, None]  # (3, 1, 3, 3)
ones = train.images[train.labels == 1][:50] / 255
maps = conv2d_forward(ones, filters, padding=1)[0]  # (50, 3, 28, 28)
vertical, horizontal = maps[:, 0].abs().mean().item(), maps[:, 1].abs().mean().item()
print(f"fifty ones: vertical edges {vertical:.3f}, horizontal edges {horizontal:.3f}")
assert vertical > 1.5 * horizontal

# %% Drawn on a four
four = train.images[train.labels == 4][:1] / 255
maps, _ = conv2d_forward(four, filters, padding=1)
strength = (maps[0, 0] ** 2 + maps[0, 1] ** 2) ** 0.5
shown = {"the digit": four[0, 0], "vertical edges": maps[0, 0], "horizontal edges": maps[0, 1], "strength": strength}
figure, panels = plt.subplots(1, 5, figsize=(14, 3.7), layout="constrained")
for axes, (name, picture) in zip(panels, {**shown, "blurred": maps[0, 2]}.items(), strict=True):
    signed = name.endswith("edges")
    bound = picture.abs().max()
    axes.imshow(picture, cmap="PuOr_r" if signed else "gray", vmin=-bound if signed else 0, vmax=bound)
    axes.set(xticks=[], yticks=[])
    axes.set_title(name, fontsize=16)
figure.supxlabel("orange: brighter to the right, or below; purple: darker", fontsize=13)
figure.savefig(OUT / "13_edges.png", dpi=120)
assert abs(maps[0, 2].mean() / four.mean() - 1) < 0.01  # blurring moves light, and loses none

# %% What torch does here
# nn.Conv2d keeps a weight (O, C, KH, KW) and calls whichever kernel is fast here: im2col and a matmul like ours, or
# those of oneDNN and cuDNN, which sum in another order: equal up to rounding only. The course's layer loads into it.
from tinytorch_course import reference, scratch

ours, module = (
    scratch.layers.conv2d(1, 8, 5, padding=2, stride=2),
    reference.layers.conv2d(1, 8, 5, padding=2, stride=2),
)
params, state = ours.init(torch.Generator().manual_seed(0))
module.load_state_dict(params)
difference = (ours.forward(params, state, four, training=False)[0] - module(four)).abs().max().item()
print(f"layer and nn.Conv2d: {tuple(module(four).shape)}, equal to 1e-5: {difference < 1e-5}")
assert difference < 1e-5

# %% Exercises
# 1. Write average pooling with a stride and its backward, by im2col and col2im. Then compute the size of its output for
#    28 x 28, window 3, stride 2 by the formula, and check it by running. Which pixels does no window see?
# 2. Two 3 x 3 convolutions see as far as one 5 x 5. Count the weights of both for 64 channels in and out, and show by
#    running that two without an activation between them are a 5 x 5 one. Why put an activation between them?
