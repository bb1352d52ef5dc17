"""21. Machine learning in one sitting

What you learn: a rule by hand against a learned rule on one small task, then supervised learning, self-supervised
learning (rotation and reconstruction) and transfer, each by the same ten lines, by hand and by torch.

Run: tinytorch lesson 21 (or python examples/21_machine_learning_in_one_sitting.py)
Time: about 20 s on 2 CPU cores

Expected output (excerpt):
    0 or 1: the rule by hand and the learned ones are all right nine times in ten: True
    3 or 5: the old rule fails, the same ten lines learn a new one: True
    supervised: both ways end at the same weights to 1e-8: True
    self-supervised, rotation: without a label from people, right far more often than a guess: True
    self-supervised, reconstruction: 32 learned numbers beat 32 random ones: True
    transfer: 20 labels on the letters' trunk beat 20 labels alone: True
"""

# %% One small task
# Is it a 0 or a 1? MNIST's digits where they have been downloaded (or $TINYTORCH_DATA holds them), otherwise the
# embedded ones.
import torch

from tinytorch_course.data import default_data_dir, load

digits = load("mnist" if (default_data_dir() / "MNIST" / "raw").is_dir() else "digits", limit=1280)
ink, labels = digits.train.images.double() / 255, digits.train.labels  # from 0 to 1
test_ink, test_labels = digits.test.images.double() / 255, digits.test.labels
task, test_task = labels < 2, test_labels < 2  # the zeros and ones
print(f"{digits.title}: {int(task.sum())} zeros and ones to learn from, {int(test_task.sum())} to test")
assert task.sum() > 200
assert test_task.sum() > 50


# %% A rule by hand
# A 0 has a hole: little ink in the middle. So: with more than 0.3 there, say 1. A person looked, thought, and chose.
def middle(ink):
    return ink[:, 0, 11:17, 12:16].mean(dim=(1, 2))


def share_right(answers, labels):
    return (answers == labels).double().mean().item()


by_hand = share_right((middle(test_ink[test_task]) > 0.3).long(), test_labels[test_task])
print(f"the rule by hand: {by_hand:.1%} of the test images right")
assert by_hand > 0.9

# %% The number is learned
# The same rule, but its 0.3 is chosen by examples: of a hundred numbers, the one that errs least. That is learning, at
# its smallest: a parameter, a measure of error, data.
candidates = torch.linspace(0, 1, 101, dtype=torch.float64)
answers = (middle(ink[task])[:, None] > candidates).long()  # (N, 101)
errors = (answers != labels[task][:, None]).double().mean(0)
threshold = candidates[errors.argmin()]
one_number = share_right((middle(test_ink[test_task]) > threshold).long(), test_labels[test_task])
print(f"learned: {threshold:.2f} instead of 0.3; {one_number:.1%} right")
assert one_number > 0.9


# %% The rule is learned
# Nobody says where to look: 784 weights, one for each pixel, found by gradient descent on the cross-entropy.
def learn_rule(ink, yes, steps=200):
    x, w, b = ink.flatten(1), torch.zeros(784, dtype=torch.float64), 0.0
    for _ in range(steps):
        dlogit = (1 / (1 + torch.exp(-(x @ w + b))) - yes) / len(x)
        w, b = w - 0.5 * x.T @ dlogit, b - 0.5 * dlogit.sum()
    return w, b


w, b = learn_rule(ink[task], labels[task])
learned = share_right((test_ink[test_task].flatten(1) @ w + b > 0).long(), test_labels[test_task])
print(f"784 learned weights: {learned:.1%} right")
good = min(by_hand, one_number, learned) > 0.9
print("0 or 1: the rule by hand and the learned ones are all right nine times in ten:", good)
assert good

# %% Where rules end
# Is it a 3 or a 5? The rule knows nothing about that; a person would have to look and think again. The learner only
# needs other examples.
task, test_task = (labels == 3) | (labels == 5), (test_labels == 3) | (test_labels == 5)
old_rule = share_right((middle(test_ink[test_task]) > threshold).long(), (test_labels[test_task] == 5).long())
old_rule = max(old_rule, 1 - old_rule)  # whichever way round it is taken
w_new, b = learn_rule(ink[task], (labels[task] == 5).double())
new_rule = share_right(test_ink[test_task].flatten(1) @ w_new + b > 0, test_labels[test_task] == 5)
print(f"3 or 5: the old rule {old_rule:.1%}, learned anew {new_rule:.1%}")
print("3 or 5: the old rule fails, the same ten lines learn a new one:", old_rule < 0.8 < 0.88 < new_rule)
assert old_rule < 0.8
assert new_rule > 0.88

# %% What was learned can be looked at
# Orange: ink here speaks for the second digit, purple: for the first.
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
figure, panels = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for axes, weights, title in zip(panels, (w, w_new), ("0 or 1", "3 or 5"), strict=True):
    bound = weights.abs().max().item()
    drawn = axes.imshow(weights.reshape(28, 28), cmap="PuOr_r", vmin=-bound, vmax=bound)
    axes.set_title(title, fontsize=16)
    axes.set(xticks=[], yticks=[])
    figure.colorbar(drawn, ax=axes, label="weight of the pixel")
figure.savefig(OUT / "21_learned_rules.png", dpi=120)

# %% Supervised learning, by hand
# Ten digits, each image with its label, and a network in place of one sum. Ten lines learn any of what follows.
from tinytorch_course import reference, scratch

cross_entropy = scratch.losses.cross_entropy()
x, test_x = ((part.flatten(1) - digits.mean[0]) / digits.std[0] for part in (ink, test_ink))


def learn(network, x, target, loss=cross_entropy, steps=150, lr=0.003):
    params, _ = network.init(torch.Generator().manual_seed(0))
    params, optimizer = {name: tensor.double() for name, tensor in params.items()}, scratch.optimizers.adam(lr=lr)
    opt_state, order = optimizer.init(params), torch.Generator().manual_seed(1)
    for _ in range(steps):
        batch = torch.randint(len(x), (64,), generator=order)
        out, _, cache = network.forward(params, {}, x[batch], training=True)
        value, loss_cache = loss.forward(out, target[batch])
        _, gradients = network.backward(loss.backward(torch.ones_like(value), loss_cache), cache, need_dx=False)
        params, opt_state = optimizer.update(params, gradients, opt_state)
    return params


def classifier(L, classes=10):
    return L.sequential(fc1=L.linear(784, 64), relu=L.relu(), fc2=L.linear(64, classes))


# %% How good is it?
def answer(network, params, x):
    return network.forward(params, {}, x, training=False)[0].argmax(1)


network = classifier(scratch.layers)
params = learn(network, x, labels)
supervised = share_right(answer(network, params, test_x), test_labels)
print(f"supervised, {len(x):,} labels: {supervised:.1%} of ten digits right")
assert supervised > 0.8


# %% The same ten lines in torch
def learn_torch(module, x, target, loss=torch.nn.functional.cross_entropy, steps=150, lr=0.003):
    reference.initializers.reset_parameters(module, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(module.double().parameters(), lr=lr)
    order = torch.Generator().manual_seed(1)
    for _ in range(steps):
        batch = torch.randint(len(x), (64,), generator=order)
        optimizer.zero_grad()
        loss(module(x[batch]), target[batch]).backward()
        optimizer.step()
    return module


module = learn_torch(classifier(reference.layers), x, labels)
difference = max((params[name] - theirs).abs().max().item() for name, theirs in module.named_parameters())
print("supervised: both ways end at the same weights to 1e-8:", difference < 1e-8)
assert difference < 1e-8


# %% Self-supervised: which way up?
# The data label themselves: each image is turned by 0, 90, 180 or 270 degrees, and the network must say by how much. To
# tell, it has to learn what digits look like.
def turned(x):
    images = torch.cat([torch.rot90(x.reshape(-1, 28, 28), quarter, (1, 2)) for quarter in range(4)])
    return images.flatten(1), torch.arange(4).repeat_interleave(len(x))


network = classifier(scratch.layers, classes=4)
rotation = share_right(answer(network, learn(network, *turned(x)), turned(test_x)[0]), turned(test_x)[1])
print(f"self-supervised, rotation: {rotation:.1%} right, a guess has 25 %")
print("self-supervised, rotation: without a label from people, right far more often than a guess:", rotation > 0.7)
assert rotation > 0.7


# %% Self-supervised: say it in 32 numbers
# An autoencoder must give back its input, but its middle has room for 32 numbers only. What goes in is also the target.
def encoder(L):
    return L.sequential(fc1=L.linear(784, 128), relu=L.relu(), fc2=L.linear(128, 32))


def autoencoder(L):
    return L.sequential(encoder=encoder(L), relu=L.relu(), decoder=L.linear(32, 784))


network = autoencoder(scratch.layers)
params = learn(network, x, x, scratch.losses.mse(), steps=200)
given_back = network.forward(params, {}, test_x, training=False)[0]
left = ((given_back - test_x) ** 2).mean().item() / ((test_x - x.mean(0)) ** 2).mean().item()
print(f"reconstruction: the squared error is {left:.0%} of what always answering the mean image costs")
assert left < 0.65

# %% And by torch
module = learn_torch(autoencoder(reference.layers), x, x, torch.nn.functional.mse_loss, steps=200)
difference = max((params[name] - theirs).abs().max().item() for name, theirs in module.named_parameters())
print(f"reconstruction: both ways end at the same weights to 1e-6: {difference < 1e-6}")
assert difference < 1e-6

# %% Drawn: what 32 numbers keep
figure, panels = plt.subplots(2, 8, figsize=(12, 3.6), layout="constrained")
for column in range(8):
    panels[0, column].imshow(test_x[column].reshape(28, 28), cmap="gray")
    panels[1, column].imshow(given_back[column].reshape(28, 28), cmap="gray")
for axes in panels.flat:
    axes.set(xticks=[], yticks=[])
for axes, name in zip(panels[:, 0], ("784 pixels", "from 32\nnumbers"), strict=True):
    axes.set_ylabel(name, fontsize=15, rotation=0, ha="right", va="center")
figure.savefig(OUT / "21_reconstruction.png", dpi=120)


# %% What are the 32 numbers good for?
# Now let there be labels, but only five of each digit. One linear layer on the 32 numbers that 1,280 images without a
# label taught, against the same layer on 32 numbers of the encoder as it started.
def encode(params, x):
    own = {name.removeprefix("encoder."): tensor for name, tensor in params.items() if name.startswith("encoder.")}
    return encoder(scratch.layers).forward(own, {}, x, training=False)[0]


few = torch.cat([(labels == digit).nonzero()[:5, 0] for digit in range(10)])
start, _ = network.init(torch.Generator().manual_seed(0))
head, shares = scratch.layers.linear(32, 10), []
for tensors in (params, {name: tensor.double() for name, tensor in start.items()}):
    learned_head = learn(head, encode(tensors, x[few]), labels[few], lr=0.01)
    shares.append(share_right(answer(head, learned_head, encode(tensors, test_x)), test_labels))
print(f"50 labels on 32 numbers: learned ones {shares[0]:.1%} right, random ones {shares[1]:.1%}")
print("self-supervised, reconstruction: 32 learned numbers beat 32 random ones:", shares[0] > shares[1] + 0.02)
assert shares[0] > shares[1] + 0.02


# %% Transfer: what letters teach about digits
# A small convolutional network learns 26 letters, of which there are many. Its trunk, all but the last layer, has
# learned about strokes, and strokes are what digits are made of too.
def trunk(L):
    conv1, conv2 = L.conv2d(1, 8, 5, stride=2), L.conv2d(8, 16, 3, stride=2)  # 28 -> 12 -> 5 pixels
    return L.sequential(conv1=conv1, relu1=L.relu(), conv2=conv2, relu2=L.relu(), flatten=L.flatten())


def reader(L, classes):
    return L.sequential(trunk=trunk(L), head=L.linear(16 * 5 * 5, classes))


letters = load("letters", limit=5000)
letter_x = (letters.train.images.double() / 255 - letters.mean[0]) / letters.std[0]
moves = [(0, 0), (2, 1), (-1, 2), (1, -2), (-2, -1)]  # rows and columns, so that the place shall not matter
many = torch.cat([letter_x.roll(move, dims=(2, 3)) for move in moves])
knows_letters = learn(reader(scratch.layers, 26), many, letters.train.labels.repeat(len(moves)), steps=300)
print(f"learned: {len(letters.train.labels):,} letters, each in {len(moves)} places")
assert len(letters.classes) == 26

# %% With two labels of each digit
# The trunk stays as it is, and only a new head learns: the ten lines again, on what the trunk puts out. Against the
# same network, learned from the 20 labels alone. Three times, with other labels each.
trunk_params = {name[6:]: tensor for name, tensor in knows_letters.items() if name.startswith("trunk.")}
pictures, test_pictures = x.reshape(-1, 1, 28, 28), test_x.reshape(-1, 1, 28, 28)
seen, test_seen = (
    trunk(scratch.layers).forward(trunk_params, {}, part, training=False)[0] for part in (pictures, test_pictures)
)  # (N, 400)
whole, head, shares = reader(scratch.layers, 10), scratch.layers.linear(400, 10), []
for draw in (0, 2, 4):
    few = torch.cat([(labels == digit).nonzero()[draw : draw + 2, 0] for digit in range(10)])
    head_params = learn(head, seen[few], labels[few])
    with_letters = share_right(answer(head, head_params, test_seen), test_labels)
    alone = share_right(answer(whole, learn(whole, pictures[few], labels[few]), test_pictures), test_labels)
    shares.append((with_letters, alone))
    print(f"20 labels: on the letters' trunk {with_letters:.1%} right, alone {alone:.1%}")

# %% And by torch
# The trunk in torch, from our file of tensors; requires_grad_(False) freezes it. The head learns from the last draw.
frozen = trunk(reference.layers).double().requires_grad_(False)
frozen.load_state_dict(trunk_params)
module = learn_torch(reference.layers.linear(400, 10), frozen(pictures[few]), labels[few])
difference = max((head_params[name] - theirs).abs().max().item() for name, theirs in module.named_parameters())
gain = sum(with_letters - alone for with_letters, alone in shares) / 3
print(f"transfer: both ways end at the same head to 1e-8: {difference < 1e-8}; gain {100 * gain:.0f} points on average")
print("transfer: 20 labels on the letters' trunk beat 20 labels alone:", gain > 0.02)
assert difference < 1e-8
assert gain > 0.02

# %% Drawn: what was gained, and from what
# (The first row is the network of linear layers from above.)
figure, axes = plt.subplots(figsize=(9, 4.4), layout="constrained")
rows = {
    "1,280 labels": supervised,
    "20 labels, letters' trunk": sum(pair[0] for pair in shares) / 3,
    "20 labels alone": sum(pair[1] for pair in shares) / 3,
    "guessing": 0.1,
}
axes.barh(list(rows), [100 * share for share in rows.values()], color=["#0072b2", "#e69f00", "#999999", "#cccccc"])
axes.invert_yaxis()
for row, share in enumerate(rows.values()):
    axes.text(100 * share + 1, row, f"{share:.0%}", va="center", fontsize=15)
axes.set_xlim(0, 110)
axes.set_xlabel("test images that are right, %", fontsize=14)
axes.tick_params(axis="y", labelsize=14)
figure.savefig(OUT / "21_transfer.png", dpi=120)

# %% What torch does here
# All of it was one loop of four lines: forward, loss, backward, step. In torch a module holds its parameters, autograd
# finds the gradients, the optimizer changes the parameters in place. By hand each of these is an argument or a result.
network, module = classifier(scratch.layers), classifier(reference.layers).double()
params = {name: tensor.detach() for name, tensor in module.named_parameters()}
out, _, cache = network.forward(params, {}, x[:64], training=True)
loss, loss_cache = cross_entropy.forward(out, labels[:64])
dout = cross_entropy.backward(torch.ones_like(loss), loss_cache)
_, gradients = network.backward(dout, cache, need_dx=False)
torch.nn.functional.cross_entropy(module(x[:64]), labels[:64]).backward()
difference = max((gradients[name] - p.grad).abs().max().item() for name, p in module.named_parameters())
print("one step: gradients by hand and by autograd equal to 1e-12:", difference < 1e-12)
assert difference < 1e-12

# %% Exercises
# 1. Write a rule by hand for 3 or 5: look at a few of both first, and choose pixels. How long did it take you, and how
#    far does it get? How many examples does learn_rule need to be as good?
# 2. Take the trunk that learned rotation in place of the letters' (fc1 of the rotation network and its ReLU). Is it a
#    better start for 20 labels than the random one? And with 50 labels, or 200: how long does the trunk's lead last?
