"""15. Residual learning

What you learn: why a plain network of 20 layers does not begin to learn and one with **shortcuts** (skip connections)
does, measured by gradient and by loss; what batch norm can do about it, and what it leaves (degradation); and ResNet-18
in both implementations, with torchvision's keys.

Run: tinytorch lesson 15 (or python examples/15_residual_learning.py)
Time: about 15 s on 2 CPU cores

Expected output (excerpt):
    one word differs: 20 layers and 14,522 numbers in each: True
    a shortcut hands the gradient on whole: dx = dout + the body's dx: True
    at every layer our gradients equal torch's, plain and residual: True
    loss after 40 steps: the plain network still guesses, the residual one learns: True
    ResNet-18: 11,689,512 parameters under 122 names with buffers: True
    ResNet-18: outputs, loss and all 62 gradients equal torch's to 1e-9: True
"""

# %% Twenty factors
# The chain rule multiplies one factor for each layer. With 0.4 a layer, a gradient is gone after twenty; with
# 1 + something, which is what a shortcut makes of it, it is not.
plain, with_shortcut = 0.4**20, 1.04**20
print(f"0.4 multiplied by itself 20 times: {plain:.0e}; 1.04: {with_shortcut:.1f}")
assert plain < 1e-7
assert 2 < with_shortcut < 3


# %% Twenty layers, with or without shortcuts
# A convolution, nine blocks of two, a linear layer. A residual block adds its input to what its layers made of it;
# the same layers without that are a plain sequence. One word differs.
def build(L, blocks=9, *, shortcut, norm=False):
    block = L.residual if shortcut else L.sequential
    layers = {"conv": L.conv2d(1, 8, 3, stride=2, padding=1), "relu": L.relu(), "pool": L.max_pool2d(2)}  # 7 x 7
    for number in range(1, blocks + 1):
        parts = {"conv1": L.conv2d(8, 8, 3, padding=1), "norm1": L.batch_norm2d(8), "relu": L.relu()}
        parts |= {"conv2": L.conv2d(8, 8, 3, padding=1), "norm2": L.batch_norm2d(8), "activation": L.relu()}
        if not norm:
            del parts["norm1"], parts["norm2"]
        layers[f"block{number}"] = block(**parts)
    return L.sequential(**layers, flatten=L.flatten(), fc=L.linear(8 * 49, 10))


# %% The same numbers in each
import torch

from tinytorch_course import reference, scratch

starts = {}
for shortcut in (False, True):
    starts[shortcut], _ = build(scratch.layers, shortcut=shortcut).init(torch.Generator().manual_seed(0))
layers = [name for name in starts[True] if name.endswith(".weight")]
count = sum(tensor.numel() for tensor in starts[True].values())
same = all(torch.equal(starts[False][name], starts[True][name]) for name in starts[True])
print(f"one word differs: {len(layers)} layers and {count:,} numbers in each:", same and len(layers) == 20)
assert same
assert len(layers) == 20
assert starts[False].keys() == starts[True].keys()

# %% What a shortcut does to the gradient
# out = body(x) + x, so dx = the body's own dx + dout. Whatever the body does to the gradient, dout arrives too.
L = scratch.layers
body, block = L.sequential(conv=L.conv2d(4, 4, 3, padding=1)), L.residual(conv=L.conv2d(4, 4, 3, padding=1))
random = torch.Generator().manual_seed(1)
params, state = body.init(random)
x, dout = torch.randn(2, 4, 5, 5, generator=random), torch.randn(2, 4, 5, 5, generator=random)
through_body, _ = body.backward(dout, body.forward(params, state, x, training=True)[2])
through_block, _ = block.backward(dout, block.forward(params, state, x, training=True)[2])
norms = [f"{tensor.norm():.2f}" for tensor in (dout, through_body, through_block)]
print(f"norm of dout {norms[0]}; behind the body {norms[1]}, behind body and shortcut {norms[2]}")
equal = torch.allclose(through_block, through_body + dout, atol=1e-6)
print("a shortcut hands the gradient on whole: dx = dout + the body's dx:", equal)
assert equal
assert through_block.norm() > 1.5 * through_body.norm()

# %% Real digits
# MNIST's where they have been downloaded (or $TINYTORCH_DATA holds them), otherwise the embedded ones: 1,280 images.
from tinytorch_course.data import MemoryLoader, default_data_dir, epoch_order, load

digits = load("mnist" if (default_data_dir() / "MNIST" / "raw").is_dir() else "digits", limit=1280)
loader = MemoryLoader(digits.train, digits.mean, digits.std, device=torch.device("cpu"), dtype=torch.float32)
x, y = next(loader.batches(None, 64))
print(f"{digits.title}: {len(loader):,} images to train, the first batch {tuple(x.shape)}")
assert len(loader) == 1280


# %% The gradient at the start, by hand
# In float64: forward, loss and backward of the from-scratch network.
def our_gradients(blocks=9, **options):
    network = build(scratch.layers, blocks, **options)
    params, state = network.init(torch.Generator().manual_seed(0))
    params, state = ({n: t.double() if t.is_floating_point() else t for n, t in d.items()} for d in (params, state))
    out, _, cache = network.forward(params, state, x.double(), training=True)
    loss, loss_cache = scratch.losses.cross_entropy_forward(out, y)
    dout = scratch.losses.cross_entropy_backward(torch.ones_like(loss), loss_cache)
    return network.backward(dout, cache, need_dx=False)[1]


ours = {shortcut: our_gradients(shortcut=shortcut) for shortcut in (False, True)}
first = {shortcut: ours[shortcut]["conv.weight"].norm().item() for shortcut in ours}
print(f"norm of the first layer's gradient: plain {first[False]:.0e}, residual {first[True]:.0e}")
assert first[False] < 1e-6
assert first[True] > 1e-3


# %% By autograd
# The same function with the other namespace is an nn.Module. Its gradients must be ours, also those that are tiny.
def their_gradients(**options):
    module = build(reference.layers, **options)
    reference.initializers.reset_parameters(module, torch.Generator().manual_seed(0))
    torch.nn.functional.cross_entropy(module.double()(x.double()), y).backward()
    return {name: parameter.grad for name, parameter in module.named_parameters()}


errors = {}
for shortcut in ours:
    theirs = their_gradients(shortcut=shortcut)
    errors[shortcut] = max(((ours[shortcut][n] - theirs[n]).norm() / theirs[n].norm()).item() for n in theirs)
equal = max(errors.values()) < 1e-8
print("at every layer our gradients equal torch's, plain and residual:", equal)
assert equal

# %% Layer by layer
# The plain network's gradient shrinks at each layer on its way back, though not by the same factor everywhere: it
# depends on what the layer's inputs look like. **Vanishing gradients**, measured:
norms = {"plain": ours[False], "residual": ours[True]}
norms = {label: [gradients[name].norm().item() for name in layers] for label, gradients in norms.items()}
for number in (0, 4, 9, 14, 19):
    print(f"  layer {number + 1:2}: plain {norms['plain'][number]:.0e}, residual {norms['residual'][number]:.0e}")
for first, last in ((1, 5), (5, 10), (10, 15), (15, 20)):
    factor = (norms["plain"][first - 1] / norms["plain"][last - 1]) ** (1 / (last - first))
    print(f"  plain, layers {last} to {first}: times {factor:.2f} a layer")
shrink = (norms["plain"][1] / norms["plain"][18]) ** (1 / 17)
print(f"plain: times {shrink:.2f} a layer on average")
assert 0.2 < shrink < 0.7
assert min(norms["residual"]) > 1e-3

# %% The deeper, the worse
# With 1, 3 and 9 blocks (4, 8 and 20 layers): the plain network's first gradient falls by orders of magnitude.
by_depth = {}
for shortcut in (False, True):
    by_depth[shortcut] = [our_gradients(n, shortcut=shortcut)["conv.weight"].norm().item() for n in (1, 3, 9)]
print("first layer's gradient at 4, 8, 20 layers: plain", ", ".join(f"{norm:.0e}" for norm in by_depth[False]), end="")
print("; residual", ", ".join(f"{norm:.0e}" for norm in by_depth[True]))
assert by_depth[False][0] > 5 * by_depth[False][1] > 1000 * by_depth[False][2]
assert min(by_depth[True]) > 1e-3

# %% Batch norm is another way out
# It brings every layer's output back to standard deviation 1, on each step, so that nothing can shrink away. So
# vanishing gradients are not why ResNets were invented: He et al. (2016) had batch norm in all their networks, and
# found that plain ones nevertheless got *worse* when made deeper, even on the training images. They called it
# **degradation**: the deeper network could copy the shallower one and leave its other layers the identity, but descent
# does not find that. With a shortcut the identity is where a block starts.
normed = our_gradients(shortcut=False, norm=True)
norms["plain, batch norm"] = [normed[name].norm().item() for name in layers]
print(f"first layer's gradient, plain with batch norm: {norms['plain, batch norm'][0]:.0e}")
assert norms["plain, batch norm"][0] > 1e-2


# %% Training, by hand
# SGD with momentum: forward, loss, backward, update, on the same batches for all.
order = epoch_order(len(loader), 0, 0)  # one epoch: 40 batches of 32


def train_ours(**options):
    network, optimizer, losses = build(scratch.layers, **options), scratch.optimizers.sgd(lr=0.02, momentum=0.9), []
    params, state = network.init(torch.Generator().manual_seed(0))
    opt_state, cross_entropy = optimizer.init(params), scratch.losses.cross_entropy()
    for x, y in loader.batches(order, 32):
        out, state, cache = network.forward(params, state, x, training=True)
        loss, loss_cache = cross_entropy.forward(out, y)
        _, gradients = network.backward(cross_entropy.backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)
        params, opt_state = optimizer.update(params, gradients, opt_state)
        losses.append(loss.item())
    return losses


# %% Forty steps of both
# log 10 = 2.303 is the loss of a guess among ten classes.
curves = {label: train_ours(shortcut=label == "residual") for label in ("plain", "residual")}
ends = {label: sum(losses[-10:]) / 10 for label, losses in curves.items()}
print(f"mean loss of the last 10 steps: plain {ends['plain']:.3f}, residual {ends['residual']:.3f}")
learns = ends["plain"] > 2.2 and ends["residual"] < 1.5
print(f"loss after {len(curves['plain'])} steps: the plain network still guesses, the residual one learns:", learns)
assert learns
assert len(curves["plain"]) == 40


# %% Training, by torch
# The same with an nn.Module, autograd and torch.optim.
def train_torch(**options):
    module, losses = build(reference.layers, **options), []
    reference.initializers.reset_parameters(module, torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9)
    for x, y in loader.batches(order, 32):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# %% The same losses
# Until rounding has grown (lesson 18). The fair pair: both with batch norm, one with shortcuts, one without. The plain
# network with batch norm learns too, but in the same steps it does not get as far. (In so few steps the residual
# network without batch norm leads: its blocks are small against their shortcuts, so it starts as an almost shallow
# network.)
theirs = {label: train_torch(shortcut=label == "residual") for label in ("plain", "residual")}
apart = max(abs(a - b) for label in theirs for a, b in zip(curves[label][:5], theirs[label][:5], strict=True))
curves["plain, batch norm"] = train_torch(shortcut=False, norm=True)
curves["residual, batch norm"] = train_torch(shortcut=True, norm=True)
ends = {label: sum(losses[-10:]) / 10 for label, losses in curves.items()}
print(f"ours and torch's losses in the first 5 steps: within 0.001 of each other: {apart < 1e-3}")
print("mean loss of the last 10 steps:", ", ".join(f"{label} {loss:.2f}" for label, loss in ends.items()))
assert apart < 1e-3
assert ends["residual"] < ends["plain, batch norm"] < 2.2
assert ends["residual, batch norm"] < ends["plain, batch norm"]

# %% Drawn
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
plt.rcParams["font.size"] = 14
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
styles = {"plain": ("#0072b2", "o"), "residual": ("#d55e00", "s"), "plain, batch norm": ("#009e73", "^")}
styles["residual, batch norm"] = ("#000000", "D")
for label, (color, marker) in styles.items():
    if label in norms:
        left.semilogy(range(1, 21), norms[label], color=color, marker=marker, label=label)
    right.semilogy(range(1, 41), curves[label], color=color, marker=marker, markevery=5, label=label)
left.set(xlabel="layer, from the input", ylabel="norm of the weight's gradient")
right.set(xlabel="step", ylabel="training loss")
right.legend()
figure.savefig(OUT / "15_plain_and_residual.png", dpi=120)

# %% ResNet-18
# Eight such blocks with batch norm, in four stages. Where a stage halves the picture and doubles the channels, the
# input cannot simply be added: a 1 x 1 convolution ("downsample") makes it fit.
from tinytorch_course.models import resnet18_imagenet

network = resnet18_imagenet(scratch.layers, num_classes=1000, in_channels=3)
params, state = network.init(torch.Generator().manual_seed(0))
count, names = sum(tensor.numel() for tensor in params.values()), list(params | state)
print("  in stage 2:", ", ".join(name for name in params if name.startswith("layer2.0")))
print(f"ResNet-18: {count:,} parameters under {len(names)} names with buffers:", (count, len(names)) == (11689512, 122))
assert (count, len(names)) == (11689512, 122)
assert sum(name.endswith("downsample.0.weight") for name in names) == 3

# %% Both implementations
# One picture's size that keeps it quick: 64 x 64 instead of 224 x 224. Training mode, float64.
module = resnet18_imagenet(reference.layers, num_classes=1000, in_channels=3).double()
params, state = ({n: t.double() if t.is_floating_point() else t for n, t in d.items()} for d in (params, state))
module.load_state_dict(params | state)
pictures = torch.randn(2, 3, 64, 64, generator=random, dtype=torch.float64)
out, _, cache = network.forward(params, state, pictures, training=True)
loss, loss_cache = scratch.losses.cross_entropy_forward(out, torch.tensor([3, 7]))
dout = scratch.losses.cross_entropy_backward(torch.ones_like(loss), loss_cache)
_, gradients = network.backward(dout, cache, need_dx=False)
their_out = module(pictures)
their_loss = torch.nn.functional.cross_entropy(their_out, torch.tensor([3, 7]))
their_loss.backward()
print(f"loss: ours {loss.item():.12f}, torch {their_loss.item():.12f}")
assert abs(loss - their_loss) < 1e-10

# %% Compared
# Gradients beside the size of torch's own, the largest over all entries of each.
errors = [((gradients[n] - p.grad).abs().max() / p.grad.abs().max()).item() for n, p in module.named_parameters()]
equal = max(errors) < 1e-9 and (out - their_out).abs().max().item() < 1e-9
print(f"ResNet-18: outputs, loss and all {len(errors)} gradients equal torch's to 1e-9:", equal)
assert len(errors) == len(gradients) == 62
assert equal

# %% What torch does here
# torchvision's resnet18 is the same network under the same names: it takes over our weights (and we could take over
# those it learned on ImageNet).
from torchvision.models import resnet18

theirs = resnet18().double().eval()
theirs.load_state_dict(params | state)  # strict: no name may be missing or left over
with torch.no_grad():
    difference = (network.forward(params, state, pictures, training=False)[0] - theirs(pictures)).abs().max().item()
print("torchvision's resnet18 with our weights: outputs equal ours to 1e-9:", difference < 1e-9)
assert difference < 1e-9

# %% Exercises
# 1. The residual network with batch norm begins far above log 10 (see the picture). Why? Set the weight of every norm2
#    to 0 at the start, which makes each block the identity, and train again.
# 2. Draw the plain network's weights with Kaiming's variance, 2 / (8 * 9), instead of torch's default. What does that
#    do to the factor by which the gradient shrinks at each layer, and does the network learn then?
