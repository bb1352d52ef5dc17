"""01. Tensors

What you learn: making tensors, their dtype and shape, indexing and slicing, reshaping and views, broadcasting, matmul,
memory shared with NumPy, code that runs on any device, and how to read the three errors everybody meets.

Run: tinytorch lesson 01 (or python examples/01_tensors.py)
Time: about 5 s on 2 CPU cores

Expected output (excerpt):
    x[1] has shape (3,), x[:, 1] has shape (2,)
    rows: (3, 4); changed through the view: 99.0
    (3, 1) + (4,) gives (3, 4)
    matmul by three loops and by @: largest difference 0.0
    NumPy sees the change: 7.0; ...
    dtype error, mended by .long()
"""

# %% Making tensors
# A tensor is a block of numbers with a shape and a dtype. Floating-point numbers are float32 unless you say otherwise,
# integers int64. Random numbers come from a generator: the same seed gives the same numbers.
import torch

x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
zeros, steps = torch.zeros(2, 3), torch.arange(0, 1, 0.25)
noise = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
again = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
print(f"x: shape {tuple(x.shape)}, {x.dtype}; integers: {torch.tensor([1, 2]).dtype}; steps: {steps.tolist()}")
assert x.shape == zeros.shape == (2, 3)
assert x.dtype == torch.float32
assert torch.tensor([1, 2]).dtype == torch.int64
assert torch.equal(noise, again)

# %% A dtype decides what a number can hold
# uint8, the dtype of pixels, wraps around at 256; float32 has 24 binary digits, so above 2**24 it skips integers.
pixels = torch.tensor([250], dtype=torch.uint8)
large = torch.tensor(2.0**24)
print(f"uint8: 250 + 10 = {(pixels + 10).item()}; float32: 2**24 + 1 == 2**24 is {bool(large + 1 == large)}")
assert (pixels + 10).item() == 4
assert large + 1 == large
assert (pixels.float() + 10).item() == 260  # convert first, then compute

# %% Indexing and slicing
# One index for each axis, from the left. An integer takes an axis away, a slice keeps it. A mask of booleans picks
# what it is true for, a tensor of integers picks rows.
print(f"x[1] has shape {tuple(x[1].shape)}, x[:, 1] has shape {tuple(x[:, 1].shape)}")
print(f"x[:, 1:2] keeps the axis: {tuple(x[:, 1:2].shape)}; x[x > 3] is {x[x > 3].tolist()}")
assert x[1, 2] == 6
assert x[1].tolist() == [4, 5, 6]
assert x[:, 1].tolist() == [2, 5]
assert x[:, 1:2].shape == (2, 1)
assert x[x > 3].tolist() == [4, 5, 6]
assert x[torch.tensor([1, 0, 1])].shape == (3, 3)  # rows 1, 0, 1
assert x[..., -1].tolist() == [3, 6]  # the last column, however many axes stand before it

# %% Reshaping is free: the numbers stay where they are
# view gives the same memory another shape, so a change through one name is seen through the other. -1 means "whatever
# is left". Here the numbers of three small pictures become rows of a matrix, which is what a linear layer wants.
pictures = torch.arange(12.0).reshape(3, 1, 2, 2)  # three pictures, one channel, 2 x 2 pixels
rows = pictures.view(3, -1)
rows[2, 3] = 99
print(f"rows: {tuple(rows.shape)}; changed through the view: {pictures[2, 0, 1, 1].item()}")
assert rows.shape == (3, 4)
assert pictures[2, 0, 1, 1] == 99
assert rows.data_ptr() == pictures.data_ptr()

# %% A transposed tensor is a view with other strides
# The stride says how far to walk in memory for one step along each axis. Transposing swaps the strides and moves no
# number; view then refuses, because rows no longer lie one after the other, and reshape copies.
print(f"strides: x {x.stride()}, x.T {x.T.stride()}; x.T is contiguous: {x.T.is_contiguous()}")
assert x.stride() == (3, 1)
assert x.T.stride() == (1, 3)
assert x.T.data_ptr() == x.data_ptr()
assert x.T.reshape(-1).tolist() == [1, 4, 2, 5, 3, 6]
assert x.T.reshape(-1).data_ptr() != x.data_ptr()

# %% Broadcasting
# Shapes are compared from the right. Two sizes fit if they are equal or one of them is 1 (or missing); that one is
# repeated. So (3, 1) and (4,) make (3, 4): each of the three beside each of the four.
column, row = torch.tensor([[10.0], [20.0], [30.0]]), torch.tensor([1.0, 2.0, 3.0, 4.0])
table = column + row
by_loops = torch.tensor([[column[i, 0] + row[j] for j in range(4)] for i in range(3)])
print(f"(3, 1) + (4,) gives {tuple(table.shape)}")
assert torch.equal(table, by_loops)

# %% Broadcasting can also be silent and wrong
# A target of shape (4,) beside predictions of shape (4, 1) is no error: all 16 pairs are subtracted. The mean then is
# that of another loss. Compare shapes before you subtract.
prediction, target = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([1.0, 2.0, 3.0, 4.0])
wrong = ((prediction - target) ** 2).mean()
right = ((prediction.squeeze(1) - target) ** 2).mean()
print(f"perfect predictions: mean squared error {right.item()} as meant, {wrong.item()} as broadcast")
assert (prediction - target).shape == (4, 4)
assert right == 0
assert wrong == 2.5

# %% Matmul
# Entry (i, j) of a @ b is row i of a times column j of b, added up. Three loops say the same. The inner sizes must
# agree: (2, 3) @ (3, 4) is (2, 4). With small integers even the last digit agrees.
a, b = torch.arange(6.0).reshape(2, 3), torch.arange(12.0).reshape(3, 4)
product = torch.zeros(2, 4)
for i in range(2):
    for j in range(4):
        for k in range(3):
            product[i, j] += a[i, k] * b[k, j]
difference = (product - a @ b).abs().max().item()
print(f"matmul by three loops and by @: largest difference {difference}")
assert difference == 0
assert torch.equal(a @ b, (a[:, :, None] * b[None]).sum(1))  # the same by broadcasting: (2, 3, 4), summed over k

# %% How much slower are the loops?
# Guess first: 20 x 20 times 20 x 20 is 8,000 multiplications. In the loops each of them is several calls from Python,
# and each call costs about a thousand times what the multiplication itself does. The larger the matrices, the larger
# the factor. (What is printed depends on your machine, so nothing is asserted about it.)
import time

square = torch.rand(20, 20)
start = time.perf_counter()
for i in range(20):
    for j in range(20):
        sum(square[i, k] * square[k, j] for k in range(20))
by_loops = time.perf_counter() - start
start = time.perf_counter()
for _ in range(100):
    square @ square
by_matmul = (time.perf_counter() - start) / 100
print(f"20 x 20: the loops take {by_loops / by_matmul:,.0f} times as long as @")

# %% Reductions: which axis goes?
# sum, mean, max and their kin **reduce**: they take an axis (dim) away. sum(dim=0) of a (2, 3) adds the rows up and
# leaves (3,); sum(dim=1) adds within each row and leaves (2,). keepdim=True leaves a 1 where the axis was, so that the
# result broadcasts against what it came from.
grades = torch.tensor([[1.0, 2.0, 3.0], [4.0, 6.0, 8.0]])
print(f"{tuple(grades.shape)}: sum(dim=0) {grades.sum(dim=0).tolist()}, sum(dim=1) {grades.sum(dim=1).tolist()}")
centred = grades - grades.mean(dim=1, keepdim=True)  # (2, 3) - (2, 1)
print(f"each row less its mean: {centred.tolist()}")
assert grades.sum(dim=0).tolist() == [5, 8, 11]
assert grades.mean(dim=1, keepdim=True).shape == (2, 1)
assert centred.sum(dim=1).tolist() == [0, 0]
try:  # without keepdim the shapes are (2, 3) and (2,), and 3 does not match 2
    grades - grades.mean(dim=1)
except RuntimeError as error:
    print("without keepdim:", str(error)[:55])

# %% Joining, reordering, picking
# stack makes a new axis, cat lengthens one that is there. permute reorders axes (a view), unsqueeze adds one of size 1.
# gather picks one entry of each row: how a loss picks the score of the right class.
rows = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0])]
print(f"stack {tuple(torch.stack(rows).shape)}, cat {tuple(torch.cat(rows).shape)}")
photo = torch.zeros(28, 30, 3)  # height, width, colour: how a file holds it
print(f"permute {tuple(photo.permute(2, 0, 1).shape)}: colour first, as torch's layers want it")
picked = torch.stack(rows).gather(1, torch.tensor([[2], [0]]))
print(f"gather places 2 and 0: {picked.flatten().tolist()}")
assert torch.stack(rows).shape == (2, 3)
assert torch.cat(rows).shape == (6,)
assert photo.permute(2, 0, 1).data_ptr() == photo.data_ptr()
assert rows[0].unsqueeze(1).shape == (3, 1)
assert picked.tolist() == [[3], [4]]

# %% NumPy shares the memory
# from_numpy and .numpy() copy nothing; torch.tensor copies. NumPy's default is float64, which is slower and does not
# mix with float32 in a matmul: convert once, where the data enter.
import numpy as np

array = np.zeros(3)
shared, copied = torch.from_numpy(array), torch.tensor(array)
shared[0] = 7
print(f"NumPy sees the change: {array[0]}; the copy does not: {copied[0].item()}; dtype {shared.dtype}")
assert array[0] == 7
assert copied[0] == 0
assert shared.dtype == torch.float64
assert x.numpy().dtype == np.float32

# %% Code for any device
# Choose the device once, and make or move tensors there. Nothing below this line knows which one it is.
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
moved = x.to(device)
total = (moved @ moved.T + torch.eye(2, device=device)).sum()
print(f"on any device the sum is {total.item()}")
assert total.device.type == device.type
assert total.item() == 157.0

# %% The first error: shapes
# Read the two shapes in the message: "2x3 and 2x3" means the inner sizes are 3 and 2. One side must be transposed.
try:
    x @ x
except RuntimeError as error:
    message = str(error)
print(f"shape error: {message}")
assert "2x3 and 2x3" in message
assert (x @ x.T).shape == (2, 2)

# %% The second error: dtypes
# Labels that are floats cannot be an index. The message names what it wants ("long" is int64).
labels = torch.tensor([1.0, 0.0])
try:
    x[labels]
except IndexError as error:
    message = str(error)
print(f"dtype error: {message}")
assert "long" in message
assert torch.equal(x[labels.long()], x[[1, 0]])
print("dtype error, mended by .long()")

# %% The third error: devices
# Two operands must live on one device. Without a GPU the "meta" device shows it: its tensors have shapes, no numbers.
# On a GPU the message names "cuda:0" and "cpu". Make a new tensor where the other one is, or move it there by .to.
elsewhere = torch.ones(2, 3, device="meta")
try:
    x + elsewhere
except RuntimeError as error:
    message = str(error)
print(f"device error: {message}")
assert "meta" in message
assert (x + torch.ones(2, 3, device=x.device)).device == x.device

# %% What torch does here
# A tensor is a storage (the block of numbers) with sizes, strides and an offset. Indexing with integers and slices,
# view, transpose and expand write new sizes and strides over the same storage; masks, index tensors and reshape of
# what is not contiguous copy. Broadcasting is a stride of 0: one number in memory, read again and again.
repeated = row.expand(3, 4)
print(f"expanded (3, 4): strides {repeated.stride()}, {repeated.untyped_storage().nbytes()} bytes for 12 numbers")
assert repeated.stride() == (0, 1)
assert repeated.untyped_storage().nbytes() == 4 * 4

# %% Exercises
# 1. Make the 10 x 10 multiplication table with one broadcast and no loop, and check that its sum is 55 * 55.
# 2. Normalise each column of torch.randn(100, 3) to mean 0 and standard deviation 1 without a loop. Which shape must
#    the means have, and what does keepdim=True do for normalising rows?
