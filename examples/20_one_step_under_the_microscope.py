"""20. One step under the microscope

What you learn: every number of one training step of the CNN, on one real batch: convolution, batch norm, ReLU, pooling,
dropout, linear layer, loss, all the way back, and Adam's update; each by arithmetic you can redo, and beside torch's.

Run: tinytorch lesson 20 (or python examples/20_one_step_under_the_microscope.py)
Time: about 9 s on 2 CPU cores

Expected output (excerpt):
    421,738 numbers to learn, the same in both networks: True
    forward: 14 outputs and the loss, each equal to torch's to 1e-10: True
    of the four places under the pool's window, one gets the gradient
    backward: 10 gradients, each equal to torch's to 1e-10: True
    after Adam's step: 10 tensors of weights, each equal to torch's to 1e-10: True
    the same batch again: the loss fell: True
"""

# %% A real batch
# 32 images: MNIST's where it has been downloaded (or $TINYTORCH_DATA holds it), otherwise the embedded digits. Pixels
# are normalised: less the mean of all training pixels, divided by their standard deviation. float64, so that rounding
# does not blur what we look at (lesson 18 is about that blur).
import torch

from tinytorch_course.data import MemoryLoader, default_data_dir, load

digits = load("mnist" if (default_data_dir() / "MNIST" / "raw").is_dir() else "digits")
loader = MemoryLoader(digits.train, digits.mean, digits.std, device=torch.device("cpu"), dtype=torch.float64)
x, y = next(loader.batches(None, 32))
print(f"{digits.title}: batch {tuple(x.shape)}, the first image is a {y[0]}")
print(f"pixels from {x.min():.3f} (no ink) to {x.max():.3f}")
assert x.shape == (32, 1, 28, 28)
assert x.min() < 0 < x.max()

# %% One network, twice
# The same function of a namespace of layers gives the network with hand-written gradients and the nn.Module. The
# parameters have the same names, so the twin simply loads ours.
from tinytorch_course import reference, scratch
from tinytorch_course.models import mnist_cnn

network = mnist_cnn(scratch.layers)
params, state = network.init(torch.Generator().manual_seed(0))
params = {name: tensor.double() for name, tensor in params.items()}
state = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
twin = mnist_cnn(reference.layers).double()
twin.load_state_dict(params | state)
for name, tensor in params.items():
    print(f"  {name:14} {tuple(tensor.shape)!s:16} {tensor.numel():7,} numbers")
count = sum(tensor.numel() for tensor in params.values())
print(f"{count:,} numbers to learn, the same in both networks:", count == sum(p.numel() for p in twin.parameters()))
assert count == sum(p.numel() for p in twin.parameters()) == 421738


# %% Torch goes first, and is watched
# A hook keeps each layer's output, and retain_grad its gradient, which autograd would otherwise throw away. The masks
# of dropout come from a generator with a seed, so that we can draw the same ones.
from functools import partial

seen = {}


def watch(module, inputs, out, name):
    out.retain_grad()
    seen[name] = out


for name, layer in twin.named_children():
    layer.register_forward_hook(partial(watch, name=name))
reference.layers.set_generator(twin, torch.Generator().manual_seed(1))
their_loss = torch.nn.functional.cross_entropy(twin(x), y)
their_loss.backward()
print(f"torch: loss {their_loss.item():.10f}; {len(seen)} outputs kept: {', '.join(seen)}")
assert len(seen) == 14

# %% How the two are put beside each other
# One entry of a tensor, ours and torch's, and the largest difference over all its entries.
forward_errors, backward_errors = {}, {}


def beside(name, ours, theirs, entry, errors):
    errors[name] = (ours - theirs).abs().max().item()
    place = f"{name}[{', '.join(map(str, entry))}]"
    print(f"  {place:26} ours {ours[entry].item():+.10f}  torch {theirs[entry].item():+.10f}")
    assert ours.shape == theirs.shape
    assert errors[name] < 1e-10


# %% conv1: nine products
# Every output is the sum of a 3 x 3 window of pixels times a 3 x 3 filter. We follow one place: in the first image,
# where filter 5 answers most strongly.
from tinytorch_course.scratch.ops.convolution import conv2d_backward, conv2d_forward

conv1, conv1_cache = conv2d_forward(x, params["conv1.weight"], padding=1)  # (32, 32, 28, 28)
place = int(conv1[0, 5, 1:27, 1:27].argmax())
p, q = 1 + place // 26, 1 + place % 26
window, kernel = x[0, 0, p - 1 : p + 2, q - 1 : q + 2], params["conv1.weight"][5, 0]
for row in range(3):
    print("   +", " + ".join(f"{window[row, k]:.4f} * {kernel[row, k]:.4f}" for k in range(3)))
print(f"   = {(window * kernel).sum():+.10f}, at row {p}, column {q}")
beside("conv1", conv1, seen["conv1"], (0, 5, p, q), forward_errors)
assert abs((window * kernel).sum() - conv1[0, 5, p, q]) < 1e-12

# %% norm1: mean 0 and variance 1
# All 32 * 28 * 28 outputs of filter 5 share a mean and a variance; eps keeps the root from 0. (weight is 1 and bias 0
# at the start.) The running statistics, for evaluation, move a tenth of the way.
from tinytorch_course.scratch.ops.normalization import batch_norm_backward, batch_norm_forward

weight, bias = params["norm1.weight"], params["norm1.bias"]
running = state["norm1.running_mean"], state["norm1.running_var"]
norm1, running, norm1_cache = batch_norm_forward(conv1, *running, weight, bias, training=True)
channel = conv1[:, 5]
mean, variance = channel.mean(), ((channel - channel.mean()) ** 2).mean()
by_hand = (conv1[0, 5, p, q] - mean) / torch.sqrt(variance + 1e-5)
print(f"   ({conv1[0, 5, p, q]:.6f} - {mean:.6f}) / sqrt({variance:.6f} + 0.00001) = {by_hand:+.10f}")
print(f"   running mean: 0.9 * 0 + 0.1 * {mean:.6f} = {running[0][5]:.6f}, torch's {twin.norm1.running_mean[5]:.6f}")
beside("norm1", norm1, seen["norm1"], (0, 5, p, q), forward_errors)
assert abs(by_hand - norm1[0, 5, p, q]) < 1e-12
assert torch.allclose(running[0], twin.norm1.running_mean, rtol=0, atol=1e-12)

# %% relu1 and pool1
# What is negative becomes 0, and of each 2 x 2 window only the largest goes on. Over the empty background two of the
# four are equal but for rounding: either may win, and another machine may choose another. So that ours and torch's pool
# face the same ties, ours is given torch's numbers, which have just been seen to be the same to 1e-10.
from tinytorch_course.scratch.ops.activation import relu_backward, relu_forward
from tinytorch_course.scratch.ops.pooling import max_pool2d_backward, max_pool2d_forward

relu1, relu1_cache = relu_forward(norm1)
beside("relu1", relu1, seen["relu1"], (0, 5, p, q), forward_errors)
winners = [max_pool2d_forward(maps, 2, return_indices=True)[1] for maps in (relu1, seen["relu1"].detach())]
other = int((winners[0] != winners[1]).sum())
print(f"   in {other:,} of {winners[0].numel():,} windows rounding made another place win in torch: both are right")
relu1 = seen["relu1"].detach()
pool1, pool1_cache = max_pool2d_forward(relu1, 2)  # (32, 32, 14, 14)
four = relu1[0, 5, p // 2 * 2 : p // 2 * 2 + 2, q // 2 * 2 : q // 2 * 2 + 2]
print(f"   the largest of {[round(value, 6) for value in four.flatten().tolist()]}: {four.max():.6f}")
beside("pool1", pool1, seen["pool1"], (0, 5, p // 2, q // 2), forward_errors)
assert four.max() == pool1[0, 5, p // 2, q // 2]
assert abs(four.max() - norm1[0, 5, p, q]) < 1e-12

# %% conv2: 288 products
# Now every filter looks at all 32 maps: 32 * 3 * 3 products in each sum. We follow filter 0, in the middle.
conv2, conv2_cache = conv2d_forward(pool1, params["conv2.weight"], padding=1)  # (32, 64, 14, 14)
products = pool1[0, :, 6:9, 6:9] * params["conv2.weight"][0]
print(f"   {products.numel()} products from {products.min():.4f} to {products.max():.4f}, in all {products.sum():.10f}")
beside("conv2", conv2, seen["conv2"], (0, 0, 7, 7), forward_errors)
assert products.numel() == 288
assert abs(products.sum() - conv2[0, 0, 7, 7]) < 1e-12

# %% norm2, relu2, pool2, and flatten
# The same three once more; then the 64 maps of 7 x 7 become one row of 3,136 numbers for each image.
running = state["norm2.running_mean"], state["norm2.running_var"]
weight, bias = params["norm2.weight"], params["norm2.bias"]
norm2, running, norm2_cache = batch_norm_forward(conv2, *running, weight, bias, training=True)
relu2, relu2_cache = relu_forward(norm2)
beside("norm2", norm2, seen["norm2"], (0, 0, 7, 7), forward_errors)
beside("relu2", relu2, seen["relu2"], (0, 0, 7, 7), forward_errors)
relu2 = seen["relu2"].detach()  # for the ties, as above
pool2, pool2_cache = max_pool2d_forward(relu2, 2)  # (32, 64, 7, 7)
flat = pool2.flatten(1)  # (32, 3136)
beside("pool2", pool2, seen["pool2"], (0, 0, 3, 3), forward_errors)
beside("flatten", flat, seen["flatten"], (0, 24), forward_errors)
assert flat[0, 24] == pool2[0, 0, 3, 3]  # row 3 of 7, column 3: 3 * 7 + 3

# %% drop1: a quarter is struck out
# A random number below 0.25 makes a 0; what stays is divided by 0.75, so that the sum is as large as before on average.
from tinytorch_course.scratch.ops.dropout import dropout_backward, dropout_forward

masks = torch.Generator().manual_seed(1)  # as torch's
drop1, drop1_cache = dropout_forward(flat, 0.25, training=True, generator=masks)
alive, kept = flat != 0, drop1_cache.mask
print(f"   kept {kept.double().mean():.4f} of the numbers; sum before {flat.sum():.1f}, after {drop1.sum():.1f}")
beside("drop1", drop1, seen["drop1"], (0, int((alive & kept)[0].double().argmax())), forward_errors)
assert abs(kept.double().mean() - 0.75) < 0.01
assert torch.allclose(drop1[kept], flat[kept] / 0.75)
assert (drop1[~kept] == 0).all()

# %% fc1, relu3, drop2, fc2: to ten scores
# A linear unit is one long sum: 3,136 products and a bias. fc2 makes one score for each class.
from tinytorch_course.scratch.ops.linear import linear_backward, linear_forward

fc1, fc1_cache = linear_forward(drop1, params["fc1.weight"], params["fc1.bias"])  # (32, 128)
relu3, relu3_cache = relu_forward(fc1)
drop2, drop2_cache = dropout_forward(relu3, 0.5, training=True, generator=masks)
logits, fc2_cache = linear_forward(drop2, params["fc2.weight"], params["fc2.bias"])  # (32, 10)
unit = int(drop2[0].argmax())
for name, ours in (("fc1", fc1), ("relu3", relu3), ("drop2", drop2)):
    beside(name, ours, seen[name], (0, unit), forward_errors)
beside("fc2", logits, seen["fc2"], (0, int(y[0])), forward_errors)
one = (drop2[0] * params["fc2.weight"][y[0]]).sum() + params["fc2.bias"][y[0]]
print(f"   score of the right class, {y[0]}: 128 products and a bias = {one:.10f}")
assert abs(one - logits[0, y[0]]) < 1e-12

# %% The loss
# e to each score, divided by their sum, are probabilities; the loss is the mean over the batch of -log of the right
# one. Before any training each class is about as likely as another: near log 10 = 2.303.
probabilities = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
losses = -torch.log(probabilities[range(32), y])
loss = losses.mean()
print("   first image, probabilities:", " ".join(f"{value:.3f}" for value in probabilities[0]))
print(f"   its loss: -log {probabilities[0, y[0]]:.4f} = {losses[0]:.4f}; mean of all 32: {loss:.10f}")
forward_errors["loss"] = abs(loss - their_loss).item()
equal = len(forward_errors) == 15 and max(forward_errors.values()) < 1e-10
print("forward: 14 outputs and the loss, each equal to torch's to 1e-10:", equal)
assert equal
assert 1.5 < loss < 3.5

# %% Drawn: the way forward
# The first image, what filter 5 makes of it, and the first maps of the second convolution.
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
stages = {"image": x[0, 0]} | {n: seen[n][0, 5].detach() for n in ("conv1", "norm1", "relu1", "pool1")}
stages |= {n: seen[n][0, 0].detach() for n in ("conv2", "relu2", "pool2")}
figure, panels = plt.subplots(2, 4, figsize=(11, 6), layout="constrained")
for axes, (name, shown) in zip(panels.flat, stages.items(), strict=True):
    drawn = axes.imshow(shown, cmap="cividis")
    axes.set_title(f"{name}, {shown.shape[0]} x {shown.shape[1]}", fontsize=14)
    axes.set(xticks=[], yticks=[])
    figure.colorbar(drawn, ax=axes, shrink=0.8)
figure.savefig(OUT / "20_forward.png", dpi=120)

# %% Back: the loss's gradient is p - 1 at the right class
# Divided by 32, for the loss is a mean. The ten entries of an image add up to 0: what one class gains others lose.
one_hot = torch.zeros(32, 10, dtype=torch.float64)
one_hot[range(32), y] = 1
dlogits = (probabilities - one_hot) / 32
print("   first image, 32 times:", " ".join(f"{32 * value:+.3f}" for value in dlogits[0]))
beside("d fc2 (the scores)", dlogits, seen["fc2"].grad, (0, int(y[0])), backward_errors)
assert dlogits.sum(1).abs().max() < 1e-15

# %% fc2: a weight's gradient is a sum over the batch
# scores = drop2 weight^T + bias. A weight met every image's number once: its gradient is the sum of score gradient
# times number. A bias met a 1. A number met ten weights.
ddrop2, dweight, dbias = linear_backward(dlogits, fc2_cache)
gradients = {"fc2.weight": dweight, "fc2.bias": dbias}
summands = dlogits[:, y[0]] * drop2[:, unit]
print(f"   weight [{y[0]}, {unit}]: {int((summands != 0).sum())} of 32 images take part, sum {summands.sum():+.10f}")
beside("fc2.weight", dweight, twin.fc2.weight.grad, (int(y[0]), unit), backward_errors)
beside("fc2.bias", dbias, twin.fc2.bias.grad, (int(y[0]),), backward_errors)
beside("d drop2", ddrop2, seen["drop2"].grad, (0, unit), backward_errors)
assert abs(summands.sum() - dweight[y[0], unit]) < 1e-14
assert abs(dlogits[0] @ params["fc2.weight"][:, unit] - ddrop2[0, unit]) < 1e-14

# %% drop2 and relu3: two gates
# What was struck out gets nothing, and what was negative gets nothing; dropout's factor 1 / 0.5 applies again.
drelu3 = dropout_backward(ddrop2, drop2_cache)
dfc1 = relu_backward(drelu3, relu3_cache)
open_gates = drop2_cache.mask & (fc1 > 0)
print(f"   {int(open_gates.sum()):,} of {open_gates.numel():,} gates are open; gradients that are not 0: ", end="")
print(f"{int((dfc1 != 0).sum()):,}")
beside("d relu3", drelu3, seen["relu3"].grad, (0, unit), backward_errors)
beside("d fc1", dfc1, seen["fc1"].grad, (0, unit), backward_errors)
assert torch.equal(dfc1 != 0, open_gates)
assert torch.allclose(dfc1[open_gates], 2 * ddrop2[open_gates])

# %% fc1, drop1, flatten
ddrop1, dweight, dbias = linear_backward(dfc1, fc1_cache)
gradients |= {"fc1.weight": dweight, "fc1.bias": dbias}
dflat = dropout_backward(ddrop1, drop1_cache)
dpool2 = dflat.reshape(32, 64, 7, 7)  # flatten only renamed the places
beside("fc1.weight", dweight, twin.fc1.weight.grad, (unit, 24), backward_errors)
beside("fc1.bias", dbias, twin.fc1.bias.grad, (unit,), backward_errors)
beside("d drop1", ddrop1, seen["drop1"].grad, (0, 24), backward_errors)
beside("d flatten", dflat, seen["flatten"].grad, (0, 24), backward_errors)
beside("d pool2", dpool2, seen["pool2"].grad, (0, 0, 3, 3), backward_errors)
assert dpool2[0, 0, 3, 3] == dflat[0, 24]

# %% pool2: the winner takes it all
# The largest of the four went forward, so all of the gradient goes back to it. On a tie (often four zeros, where ReLU
# then stops it) the first in reading order wins, in torch too.
drelu2 = max_pool2d_backward(dpool2, pool2_cache)
image, m, i, j = (int(place) for place in torch.unravel_index((pool2 * dpool2.abs()).argmax(), pool2.shape))
values = relu2[image, m, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].flatten()
back = drelu2[image, m, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].flatten()
winner = int(back.abs().argmax())
print(f"   forward {[round(v, 4) for v in values.tolist()]}, the first of the largest is number {winner}")
print(f"   back    {[round(v, 6) for v in back.tolist()]}")
print("of the four places under the pool's window, one gets the gradient")
place = (image, m, 2 * i + winner // 2, 2 * j + winner % 2)
beside("d relu2", drelu2, seen["relu2"].grad, place, backward_errors)
assert int((back != 0).sum()) == 1
assert values[winner] == values.max()
assert back[winner] == dpool2[image, m, i, j]

# %% relu2 and norm2: what comes out has no mean
# Batch norm takes away each channel's mean and size, so its input's gradient can neither shift nor stretch a channel:
# its sum over the channel is 0, and so is its sum times the input (but for eps).
dnorm2 = relu_backward(drelu2, relu2_cache)
dconv2, dweight, dbias = batch_norm_backward(dnorm2, norm2_cache)
gradients |= {"norm2.weight": dweight, "norm2.bias": dbias}
shift, size = dconv2[:, 0].sum().abs().item(), dnorm2[:, 0].sum().abs().item()
stretch = (dconv2[:, 0] * norm2[:, 0]).sum().abs().item()
print(f"   channel 0: the gradient's sum is {size:.6f} behind the norm, {shift:.0e} before it; along x: {stretch:.0e}")
for name, ours in (("d norm2", dnorm2), ("d conv2", dconv2)):
    beside(name, ours, seen[name[2:]].grad, place, backward_errors)
beside("norm2.weight", dweight, twin.norm2.weight.grad, (m,), backward_errors)
beside("norm2.bias", dbias, twin.norm2.bias.grad, (m,), backward_errors)
assert shift < 1e-12
assert stretch < 1e-3

# %% conv2: a weight's gradient is a sum over every place
# A filter's weight is used at all 14 * 14 places of all 32 images: its gradient adds up 6,272 products of a gradient
# and the pixel that lay under the weight. Here the weight in the filter's middle, which lay on the pixel itself.
dpool1, dweight, _ = conv2d_backward(dconv2, conv2_cache)
gradients["conv2.weight"] = dweight
middle = dconv2[:, 0] * pool1[:, 5]
print(f"   weight [0, 5, 1, 1]: {middle.numel():,} products, in all {middle.sum():+.10f}")
beside("conv2.weight", dweight, twin.conv2.weight.grad, (0, 5, 1, 1), backward_errors)
beside("d pool1", dpool1, seen["pool1"].grad, (0, 5, p // 2, q // 2), backward_errors)
assert middle.numel() == 6272
assert abs(middle.sum() - dweight[0, 5, 1, 1]) < 1e-12

# %% pool1, relu1, norm1, conv1
# The same again, back to the first filters. Nobody needs the image's own gradient: it is not computed.
drelu1 = max_pool2d_backward(dpool1, pool1_cache)
dnorm1 = relu_backward(drelu1, relu1_cache)
dconv1, dweight, dbias = batch_norm_backward(dnorm1, norm1_cache)
gradients |= {"norm1.weight": dweight, "norm1.bias": dbias}
for name, ours in (("d relu1", drelu1), ("d norm1", dnorm1), ("d conv1", dconv1)):
    beside(name, ours, seen[name[2:]].grad, (0, 5, p, q), backward_errors)
beside("norm1.weight", dweight, twin.norm1.weight.grad, (5,), backward_errors)
beside("norm1.bias", dbias, twin.norm1.bias.grad, (5,), backward_errors)
dx, dweight, _ = conv2d_backward(dconv1, conv1_cache, need_dx=False)
gradients["conv1.weight"] = dweight
beside("conv1.weight", dweight, twin.conv1.weight.grad, (5, 0, 1, 1), backward_errors)
assert dx is None

# %% All gradients, beside torch's
for name, parameter in twin.named_parameters():
    ours, theirs = gradients[name].norm().item(), parameter.grad.norm().item()
    print(f"  norm of {name:13} ours {ours:.10f}  torch {theirs:.10f}")
found = [name for name in backward_errors if name in params]
equal = len(found) == len(params) == 10 and max(backward_errors.values()) < 1e-10
print(f"backward: {len(found)} gradients, each equal to torch's to 1e-10:", equal)
assert equal

# %% In two calls
# What we did by hand is what the composed layers do: forward in order, backward in reverse.
masks = torch.Generator().manual_seed(1)
logits_again, new_state, cache = network.forward(params, state, x, training=True, generator=masks)
_, gradients_again = network.backward(dlogits, cache, need_dx=False)
errors = [(gradients[name] - gradients_again[name]).abs().max().item() for name in params]
same = max(errors) < 1e-12 and (logits - logits_again).abs().max().item() < 1e-12
print("network.forward and network.backward give the same to 1e-12:", same)
assert same

# %% Drawn: the way back
# Where the gradient arrives, on the same image. Orange: more here raises the loss, purple: lowers it.
stages = {f"d {n}": seen[n].grad[0, 5 if n.endswith("1") else 0] for n in ("pool2", "relu2", "conv2")}
stages |= {f"d {n}": seen[n].grad[0, 5] for n in ("pool1", "relu1", "conv1")}
figure, panels = plt.subplots(2, 3, figsize=(10, 6.5), layout="constrained")
for axes, (name, shown) in zip(panels.flat, stages.items(), strict=True):
    bound = shown.abs().max().item() or 1
    drawn = axes.imshow(shown, cmap="PuOr_r", vmin=-bound, vmax=bound)
    axes.set_title(f"{name}, {shown.shape[0]} x {shown.shape[1]}", fontsize=14)
    axes.set(xticks=[], yticks=[])
    figure.colorbar(drawn, ax=axes, shrink=0.8)
figure.savefig(OUT / "20_backward.png", dpi=120)

# %% Adam, on one weight
# Two running means, of the gradient and of its square, start at 0 and are too small at first; dividing by 1 - beta^t
# puts that right. In step 1 they are g and g^2 again, so every weight moves by lr, whatever its gradient's size.
g, w = gradients["conv1.weight"][5, 0, 1, 1].item(), params["conv1.weight"][5, 0, 1, 1].item()
m, v = 0.9 * 0 + 0.1 * g, 0.999 * 0 + 0.001 * g**2
m_hat, v_hat = m / (1 - 0.9**1), v / (1 - 0.999**1)
step = 0.001 * m_hat / (v_hat**0.5 + 1e-8)
print(f"   g {g:+.8f}; m {m:+.8f}, corrected {m_hat:+.8f}; v {v:.3e}, corrected {v_hat:.3e}")
print(f"   conv1.weight[5, 0, 1, 1]: {w:+.8f} - {step:+.8f} = {w - step:+.8f}")
assert abs(m_hat - g) < 1e-15
assert abs(abs(step) - 0.001) < 1e-6

# %% Adam, on all of them
optimizer = scratch.optimizers.adam(lr=0.001)
new_params, opt_state = optimizer.update(params, gradients, optimizer.init(params))
torch.optim.Adam(twin.parameters(), lr=0.001).step()
errors = {name: (new_params[name] - theirs).abs().max().item() for name, theirs in twin.named_parameters()}
entry = new_params["conv1.weight"][5, 0, 1, 1].item()
print(f"   conv1.weight[5, 0, 1, 1]: ours {entry:+.10f}, torch {twin.conv1.weight[5, 0, 1, 1].item():+.10f}")
equal = len(errors) == 10 and max(errors.values()) < 1e-10
print(f"after Adam's step: {len(errors)} tensors of weights, each equal to torch's to 1e-10:", equal)
assert equal
assert abs(entry - (w - step)) < 1e-14

# %% Did it help?
# The same batch and masks once more, with the new weights.
masks = torch.Generator().manual_seed(1)
logits, _, _ = network.forward(new_params, new_state, x, training=True, generator=masks)
after = torch.nn.functional.cross_entropy(logits, y)
print(f"   loss {loss:.4f} before the step, {after:.4f} after it")
print("the same batch again: the loss fell:", bool(after < loss))
assert after < loss

# %% What torch does here
# Every output remembers what made it, in grad_fn, and that remembers where its inputs came from: backward() walks this
# list, which is our functions in reverse.
node, walk = their_loss.grad_fn, []
while node is not None:
    walk.append(type(node).__name__.removesuffix("Backward0"))
    parents = [parent for parent, _ in node.next_functions if parent is not None]
    # Parameters end in AccumulateGrad (a linear layer's weight behind its transpose, T): not our way.
    onward = [parent for parent in parents if type(parent).__name__ not in ("AccumulateGrad", "TBackward0")]
    node = onward[0] if onward else None
print("   " + " <- ".join(walk))
assert "Convolution" in walk[-1]
assert sum("BatchNorm" in name for name in walk) == sum("MaxPool" in name for name in walk) == 2

# %% Exercises
# 1. In the first step every weight moves by 0.001. Take a second step on the same batch by hand: which weights move
#    less, and what does that say about their two gradients?
# 2. Plant a mistake: let pool2's backward give a quarter of the gradient to each of the four places. Which of the ten
#    gradients stay right, and what does `tinytorch compare --list-mistakes` offer for such questions?
