"""22. A network that will not learn

What you learn: what to look at when the loss does not fall, in order: the loss at the start, overfitting one batch,
dead units, the learning rate, the size of updates, NaN; and five planted mistakes, each found by one of these tests.

Run: tinytorch lesson 22 (or python examples/22_debugging.py)
Time: about 15 s on 2 CPU cores

Expected output (excerpt):
    healthy: loss at the start ...; log 10 is 2.303
    healthy: one batch learnt by heart: True ...
    a bias of -5: ... of 64 units of the first layer are dead
    the first value that is not finite comes out of: log
    five planted mistakes, each shown by its test: True
"""

# %% Nothing crashes
# A wrong program usually stops. A wrong training goes on: it draws a loss curve that is a little too high, and nobody
# knows what it should have been. So do not stare at the curve. Ask questions whose answers you know beforehand, from
# the cheapest on. First a network that is right, so that we know what right looks like. (MNIST if it is there, else the
# embedded digits.)
import math

import torch
from torch import nn

from tinytorch_course.data import default_data_dir, load

found = any(default_data_dir().glob("MNIST/raw/train-images-idx3-ubyte*"))
digits = load("mnist" if found else "digits", limit=1000)
x = (digits.train.images / 255 - digits.mean[0]) / digits.std[0]
y = digits.train.labels


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 64), nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x):
        hidden = torch.relu(self.fc1(x.flatten(1)))
        return self.fc3(torch.relu(self.fc2(hidden)))


def make(seed=0, kind=Net):
    torch.manual_seed(seed)
    return kind()


print(f"{digits.title}: {len(x)} images, {sum(p.numel() for p in make().parameters()):,} parameters")
assert x.shape[1:] == (1, 28, 28)


# %% 1. Look at what goes in
# Not at the file: at the tensor that enters the network, with its label, just before `forward`. Most mistakes are here:
# images and labels shuffled apart, pixels divided by 255 twice, a channel too many. Four questions answer themselves.
def look(x, y):
    counts = torch.bincount(y, minlength=10)
    return {"mean": x.mean().item(), "std": x.std().item(), "rarest": counts.min().item(), "finite": x.isfinite().all()}


seen = look(x, y)
print(f"mean {seen['mean']:.2f}, standard deviation {seen['std']:.2f}, rarest class {seen['rarest']} times")
assert abs(seen["mean"]) < 0.1
assert abs(seen["std"] - 1) < 0.1
assert seen["finite"]
assert seen["rarest"] > 50

# %% 2. The loss at the start
# You know it without running: a network that knows nothing gives each of C classes 1 / C, and cross-entropy is log C.
# Guess it for 10 classes before you read on. A value far above says that the network starts sure of itself and wrong:
# the last layer's weights are too large, or the inputs are. A value far below
# means that something tells it the answer.
cross_entropy = nn.functional.cross_entropy
first = cross_entropy(make()(x[:200]), y[:200]).item()
raw = cross_entropy(make()(digits.train.images[:200].float()), y[:200]).item()  # normalising forgotten
print(f"healthy: loss at the start {first:.3f}; log 10 is {math.log(10):.3f}")
print(f"pixels from 0 to 255: loss at the start {raw:.1f}")
assert abs(first - math.log(10)) < 0.3
assert raw > 2 * math.log(10)


# %% 3. Overfit one batch
# Take 20 samples, and nothing else, and train on them alone. A network with fifty thousand parameters can learn 20
# labels by heart, so the loss must go to almost 0. If it does not, no amount of data or time will help: something
# between input and update is broken. This one test finds most mistakes.
def overfit(net, x=x[:20], y=y[:20], steps=100, lr=1e-2):
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
    return loss.item()


batch_loss = overfit(make())
print(f"healthy: one batch learnt by heart: {batch_loss < 0.01} (loss {batch_loss:.0e})")
assert batch_loss < 0.01

# %% And with labels that mean nothing
# With shuffled labels it works too, for it is memory, not reading. So this test says nothing about the data: it cannot
# see that images and labels do not belong together. What can: the loss on *other* images, which then stays at log 10.
shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
by_heart = overfit(make(), y=shuffled[:20])
fooled, honest = make(), make()
overfit(fooled, x[:500], shuffled[:500], steps=30, lr=1e-3)
overfit(honest, x[:500], y[:500], steps=30, lr=1e-3)
unseen = [cross_entropy(net(x[500:]), y[500:]).item() for net in (honest, fooled)]
print(f"shuffled labels: one batch {by_heart:.0e}; other images {unseen[1]:.2f}, with the true labels {unseen[0]:.2f}")
assert by_heart < 0.01
assert unseen[0] < 1.5 < 2.2 < unseen[1]


# %% 4. Dead units
# A ReLU unit that is 0 for every sample has gradient 0 and never changes (lesson 08). Count them. A hook sees what
# comes out of a layer. Usual causes: a learning rate so large that one step threw the bias far below 0, or a bad start.
def dead_units(net, layer="fc1"):
    outputs = []
    handle = getattr(net, layer).register_forward_hook(lambda module, args, out: outputs.append(out))
    with torch.no_grad():
        net(x)
    handle.remove()
    return (outputs[0] <= 0).all(0).sum().item()


low, burnt = make(), make()
with torch.no_grad():
    low.fc1.bias -= 5
overfit(burnt, x[:200], y[:200], steps=20, lr=3.0)  # Adam with a rate that is 3000 times too large
print(f"healthy: {dead_units(make())} dead; after a rate of 3: {dead_units(burnt)}")
print(f"a bias of -5: {dead_units(low)} of 64 units of the first layer are dead")
assert dead_units(make()) < 5
assert dead_units(low) > 10
assert dead_units(burnt) > 10


# %% 5. The learning rate, found in 100 steps
# The **learning-rate range test** (Smith, 2017): start with a tiny rate, multiply it at every step, and watch the loss.
# It first stays, then falls, then explodes. A good rate is where it falls fastest, some three to ten times below where
# it turns upwards.
def range_test(net, lowest=1e-5, highest=10.0, steps=100):
    optimizer = torch.optim.SGD(net.parameters(), lr=lowest, momentum=0.9)
    order, rates, losses = torch.Generator().manual_seed(0), [], []
    for step in range(steps):
        rates.append(lowest * (highest / lowest) ** (step / (steps - 1)))
        optimizer.param_groups[0]["lr"] = rates[-1]
        batch = torch.randint(len(x), (64,), generator=order)
        optimizer.zero_grad()
        loss = cross_entropy(net(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(rates), torch.tensor(losses).nan_to_num(nan=1e6, posinf=1e6)


rates, losses = range_test(make())
smooth = losses.unfold(0, 5, 1).mean(1)  # of five steps
lowest_at = smooth.argmin()
turns, good = rates[lowest_at + 2].item(), rates[lowest_at + 2].item() / 5
print(f"the loss is lowest at the rate {turns:.2f}; a fifth of it: {good:.3f}")
assert smooth[:20].min() > 2  # tiny rates: nothing happens
assert smooth[lowest_at] < 1
assert losses[-10:].max() > 2 * smooth[lowest_at]  # far too large

# %% Does the rate that it found train?
# Against a hundredth of it and thirty times as much, over 60 steps each.
after = {}
for rate in (good / 100, good, 30 * good):
    net, order = make(), torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    for _ in range(60):
        batch = torch.randint(len(x), (64,), generator=order)
        optimizer.zero_grad()
        cross_entropy(net(x[batch]), y[batch]).backward()
        optimizer.step()
    loss = cross_entropy(net(x), y).item()
    after[f"{rate:.1g}"] = loss if math.isfinite(loss) else math.inf
print("loss after 60 steps, by rate:", {rate: f"{loss:.2f}" for rate, loss in after.items()})
small, found_rate, large = after.values()
assert found_rate < 1
assert min(small, large) > 1.5 * found_rate


# %% 6. How large is an update beside its weight?
# The **update-to-weight ratio**: length of the change of a step over length of the weights, layer by layer. About 0.001
# is healthy; 0.1 rewrites the layer at every step, 0.000001 will be done next year. One layer far from the others is
# the one to look at.
def update_ratios(net, lr, steps=10):
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(steps):
        before = {name: p.detach().clone() for name, p in net.named_parameters() if name.endswith("weight")}
        optimizer.zero_grad()
        cross_entropy(net(x[:200]), y[:200]).backward()
        optimizer.step()
    after = dict(net.named_parameters())
    return {name: ((after[name].detach() - old).norm() / old.norm()).item() for name, old in before.items()}


ratios = {rate: update_ratios(make(), rate) for rate in (1e-5, 0.03, 3.0)}
for rate, of in ratios.items():
    print(f"rate {rate}:", {name: f"{ratio:.0e}" for name, ratio in of.items()})
assert max(ratios[1e-5].values()) < 1e-4
assert all(1e-4 < ratio < 3e-2 for ratio in ratios[0.03].values())

# %% Too small and too large, drawn
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
figure, axes = plt.subplots(figsize=(11, 6), layout="constrained")
axes.plot(rates, losses.clamp(max=5), ".", color="0.6", markersize=9, label="loss of a batch (above 5 drawn at 5)")
axes.plot(rates[2:-2], smooth.clamp(max=5), color="#0072b2", linewidth=3, label="mean of five")
axes.axvline(good, color="#009e73", linewidth=3, label=f"a good rate: {good:.2g}")
axes.axvline(turns, color="#d55e00", linestyle="--", linewidth=3, label="here it turns")
axes.axhline(math.log(10), color="black", linestyle=":", label="guessing: log 10")
axes.set_xscale("log")
axes.set_xlabel("learning rate of the step", fontsize=16)
axes.set_ylabel("loss", fontsize=16)
axes.tick_params(labelsize=14)
axes.legend(fontsize=14)
figure.savefig(OUT / "22_range_test.png", dpi=150)

# %% 7. The hunt for NaN
# One nan makes everything nan within a step, so where it is seen is not where it was born. Walk forward operation by
# operation, and stop at the first output that is not finite although its input is. The usual parents: log of 0,
# division by 0, exp of a large number, the root of 0 (whose *gradient* is infinite).
steps = [("softmax", lambda z: torch.softmax(z, 1)), ("log", torch.log), ("mean", torch.mean)]
value = torch.tensor([[0.0, 200.0]])
for name, step in steps:
    before, value = value, step(value)
    if before.isfinite().all() and not value.isfinite().all():
        culprit = name
        print("the first value that is not finite comes out of:", culprit)
assert culprit == "log"  # lesson 07: log_softmax instead

# %% And in backward
# Forward can be finite where backward is not: the root of 0 is 0, its slope is infinite. torch.autograd.detect_anomaly
# names the backward that made the first nan (and is slow: for the hunt only). Cure: an eps under the root.
distance = torch.zeros(3, requires_grad=True)
try:
    with torch.autograd.detect_anomaly(check_nan=True):
        (distance**2).sum().sqrt().backward()
except RuntimeError as error:
    message = str(error)
    print("in backward:", message.split(".")[0])
assert "Backward0" in message
((distance**2).sum() + 1e-12).sqrt().backward()
assert distance.grad.isfinite().all()

# %% 8. Clipping
# Where gradients explode now and then (lesson 08), their length is bounded: longer ones keep their direction and are
# shortened. torch.nn.utils.clip_grad_norm_ does it between backward and step. By hand it is two lines.
net = make()
(1000 * cross_entropy(net(x[:50]), y[:50])).backward()
gradients = [p.grad.clone() for p in net.parameters()]
length = torch.stack([g.norm() for g in gradients]).norm()
clipped = [g * (1.0 / length).clamp(max=1) for g in gradients]
torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=1.0)
difference = max((mine - p.grad).abs().max().item() for mine, p in zip(clipped, net.parameters(), strict=True))
print(f"gradient of length {length:.0f}, clipped to 1; ours equals torch's to 1e-5: {difference < 1e-5}")
assert length > 100
assert difference < 1e-5


# %% Five planted mistakes
# Each runs without a word, and each has been made by everybody once. Read them, and guess which test will show each.
class NoReset(Net):  # A: the gradients are not cleared
    pass


class Twice(Net):  # B: softmax before a loss that takes the softmax itself
    def forward(self, x):
        return torch.softmax(super().forward(x), dim=1)


class AcrossTheBatch(Net):  # C: normalised over the wrong axis: a sample's scores depend on the other samples
    def forward(self, x):
        scores = super().forward(x)
        return scores - scores.mean(0)


class Detached(Net):  # D: a detach (or .data, or .item()) cuts the graph: what lies before it never learns
    def forward(self, x):
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x.flatten(1)))).detach()))


class TooLarge(Net):  # E: a last layer that starts a hundred times too large
    def __init__(self):
        super().__init__()
        self.fc3.weight.data *= 100


# %% A is found by looking at the gradient
# backward adds. Run it twice without a change of the weights: the gradient must be the same, not twice as long.
lengths = []
careless = make(kind=NoReset)
for _ in range(2):
    cross_entropy(careless(x[:50]), y[:50]).backward()  # no zero_grad before it
    lengths.append(careless.fc1.weight.grad.norm().item())
shown = {"A": abs(lengths[1] / lengths[0] - 2) < 1e-3}
print(f"A: two backward passes, the gradient's length {lengths[0]:.3f} and {lengths[1]:.3f}")
assert shown["A"]

# %% B is found by overfitting one batch
# A perfect answer of softmax is (1, 0, ..., 0), and cross-entropy takes these for scores: the loss cannot fall below
# log(e + 9) - 1 = 1.46.
floor = math.log(math.e + 9) - 1
stuck = overfit(make(kind=Twice))
shown["B"] = stuck > floor - 1e-3
print(f"B: one batch ends at {stuck:.3f}; its floor is {floor:.3f}")
assert shown["B"]


# %% C is found by asking for the influence of other samples
# The loss of sample 0 may depend on image 0 only. So its gradient with respect to all other images must be exactly 0
# (where there is no batch norm).
def foreign_influence(net):
    inputs = x[:8].clone().requires_grad_()
    net(inputs)[0].pow(2).sum().backward()
    return inputs.grad[1:].abs().max().item()


shown["C"] = foreign_influence(make()) < 1e-9 < 1e-5 < foreign_influence(make(kind=AcrossTheBatch))
print(f"C: influence of other samples {foreign_influence(make(kind=AcrossTheBatch)):.0e}, in the healthy network 0")
assert shown["C"]

# %% D is found by asking which parameters have a gradient
cut = make(kind=Detached)
cross_entropy(cut(x[:50]), y[:50]).backward()
without = [name for name, p in cut.named_parameters() if p.grad is None]
shown["D"] = without == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
print("D: without a gradient:", without)
print(
    f"   one batch, after the same steps: loss {overfit(make(kind=Detached)):.2f}; the healthy network {batch_loss:.0e}"
)
assert shown["D"]

# %% E is found by the loss at the start
sure = cross_entropy(make(kind=TooLarge)(x[:200]), y[:200]).item()
shown["E"] = sure > 2 * math.log(10)
print(f"E: loss at the start {sure:.1f}")
print("five planted mistakes, each shown by its test:", all(shown.values()) and len(shown) == 5)
assert all(shown.values())
assert len(shown) == 5

# %% The order to ask in
# 1. Look at what enters the network. 2. Loss at the start = log C? 3. Overfit one batch. 4. Every parameter has a
#    gradient, and no sample touches another. 5. Range test. 6. Update-to-weight ratios, dead units. 7. Only now: more
#    layers, more data, other optimizers, and one change at a time, with several seeds. Where gradients are written by
#    hand, step 0 is a gradient check (lesson 02); against a second implementation, `tinytorch compare` names the first
#    step and the first tensor that differs.
import tinytorch_course as tt

found = tt.compare("mlp", data="digits", steps=2, dtype="float64")
print("tt.compare: the first difference between the course's two implementations:", found.divergence)
assert found.divergence is None

# %% What torch does here
# register_forward_hook and detect_anomaly are torch's tools for looking inside; nn.utils.clip_grad_norm_ clips;
# torch.isfinite, .grad and named_parameters do the rest. torch.autograd.set_detect_anomaly(True) turns the hunt on for
# a whole program.
print("anomaly detection is off unless asked for:", not torch.is_anomaly_enabled())
assert not torch.is_anomaly_enabled()

# %% Exercises
# 1. Plant a sixth mistake: train with labels that are shifted by one sample against their images. Which of the tests
#    above pass, and which one shows it?
# 2. `tinytorch compare --list-mistakes` has the course's own planted mistakes. Plant one with --inject, look at the
#    loss curve alone first, and write down what you think is wrong. Then read what the command says.
