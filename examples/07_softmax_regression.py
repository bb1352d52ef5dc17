"""07. Softmax regression

What you learn: softmax, argmax and one-hot, categorical cross-entropy and its short gradient, log-sum-exp against
overflow, a softmax module of your own, straight boundaries between classes, and what the weights for digits look like.

Run: tinytorch lesson 07 (or python examples/07_softmax_regression.py)
Time: about 7 s on 2 CPU cores

Expected output (excerpt):
    softmax of 1000, 1001, 1002: plain [nan, nan, nan], shifted [0.09, 0.245, 0.665]
    gradient by hand and by autograd: equal to 1e-12: True
    three classes: both ways end at the same weights: True
    digits: over 90 % of 300 test images are right: True
"""

# %% Softmax turns scores into probabilities
# e to each score, divided by their sum: positive, adding up to 1, in the same order. Only differences matter.
import torch

scores = torch.tensor([2.0, 0.0, 1.0])
probabilities = torch.exp(scores) / torch.exp(scores).sum()
print(f"scores {scores.tolist()} -> {[round(p, 3) for p in probabilities.tolist()]}")
assert torch.allclose(probabilities, torch.softmax(scores, dim=0))
assert torch.allclose(torch.softmax(scores + 5, dim=0), probabilities)

# %% Argmax and one-hot
# The class that is chosen is the place of the largest score; softmax changes nothing about it. One-hot is the way back:
# a class as a row with a single 1.
chosen = scores.argmax().item()
labels = torch.tensor([2, 0])
one_hot = torch.zeros(2, 3).scatter(1, labels[:, None], 1.0)
print(f"argmax: {chosen}; one-hot of {labels.tolist()}: {one_hot.int().tolist()}")
assert chosen == probabilities.argmax() == 0
assert torch.equal(one_hot, torch.nn.functional.one_hot(labels, 3).float())
assert torch.equal(one_hot.argmax(1), labels)

# %% Overflow, and the shift that ends it
# e^1000 is beyond every float. Since only differences matter, subtract the largest score first: then no exponent is
# above 0, and nothing is lost.
large = torch.tensor([1000.0, 1001.0, 1002.0])
plain = torch.exp(large) / torch.exp(large).sum()
shifted = torch.exp(large - large.max()) / torch.exp(large - large.max()).sum()
rounded = [round(p, 3) for p in shifted.tolist()]
print(f"softmax of 1000, 1001, 1002: plain {plain.tolist()}, shifted {rounded}")
assert plain.isnan().all()
assert torch.allclose(shifted, torch.softmax(large, dim=0))


# %% Cross-entropy, by log-sum-exp
# The loss of a sample is -log of the probability of its class: log(sum of e^score) - score of the class. Taking the
# logarithm after the softmax fails where a probability has become 0.
def log_sum_exp(scores):
    largest = scores.amax(1, keepdim=True)
    return largest + torch.log(torch.exp(scores - largest).sum(1, keepdim=True))


far = torch.tensor([[0.0, 200.0]])
naive = -torch.log(torch.softmax(far, dim=1))[0, 0].item()
stable = (log_sum_exp(far) - far)[0, 0].item()
print(f"loss of a probability of e^-200: by log(softmax) {naive}, by log-sum-exp {stable}")
assert naive == float("inf")
assert stable == 200


# %% The long way back, line by line
# Forward, for each sample with scores z and class y, one operation a line:
#
# $$ e_k = \exp z_k \qquad s = \sum_k e_k \qquad p_k = e_k / s \qquad L = -\log p_y $$
#
# Backward, the same lines from the last to the first. e_k reaches the loss by two ways, by its own quotient and by the
# sum s, so its derivatives add up.
scores = torch.tensor([[2.0, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
one_hot = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)  # the class is 2
e = scores.exp()
s = e.sum(1, keepdim=True)
p = e / s
loss = -(one_hot * p.log()).sum()
with torch.no_grad():
    dp = -one_hot / p  # L = -log p_y
    ds = -(dp * e).sum(1, keepdim=True) / s**2  # p = e / s, the denominator
    de = dp / s + ds  # p = e / s, the numerator; and s = sum of e
    dz = de * e  # e = exp z
autograds = torch.autograd.grad(loss, [p, s, e, scores])
apart = [(mine - its).abs().max().item() for mine, its in zip((dp, ds, de, dz), autograds, strict=True)]
print("dp, ds, de and dz equal autograd's to 1e-12:", max(apart) < 1e-12)
assert max(apart) < 1e-12

# %% And short at its end
# Put the lines into one another. dp is 0 but for the class y, where it is -1 / p_y, so ds = 1 / s. Then
#
# $$ dz_k = e_k (dp_k / s + 1 / s) = p_k\, dp_k + p_k = p_k - [k = y] $$
#
# because p_y dp_y = -1. All that remains is probabilities - one_hot: what the model says minus what is true.
print(f"dz {[round(v, 3) for v in dz[0].tolist()]}, p - one_hot {[round(v, 3) for v in (p - one_hot)[0].tolist()]}")
assert torch.allclose(dz, p - one_hot, rtol=0, atol=1e-12)


# %% Forward and backward of the loss
# Stable, by log-sum-exp, for a batch; the mean over N samples divides the gradient by N.
def cross_entropy_forward(scores, labels):
    losses = log_sum_exp(scores) - scores.gather(1, labels[:, None])  # (N, 1)
    return losses.mean(), (scores, labels)


def cross_entropy_backward(cache):
    scores, labels = cache
    probabilities = torch.exp(scores - log_sum_exp(scores))
    return (probabilities - torch.zeros_like(scores).scatter(1, labels[:, None], 1.0)) / len(scores)


generator = torch.Generator().manual_seed(0)
some = torch.randn(6, 4, generator=generator, dtype=torch.float64)
classes = torch.tensor([0, 3, 1, 1, 2, 0])
print(f"cross-entropy of 6 random rows: {cross_entropy_forward(some, classes)[0]:.4f}")
assert torch.allclose(cross_entropy_forward(some, classes)[0], torch.nn.functional.cross_entropy(some, classes))

# %% Which autograd confirms
# The lines above are the course's own: tinytorch_course.losses has them with checks of its arguments, and gives the
# same.
import tinytorch_course as tt

loss, cache = cross_entropy_forward(some, classes)
leaf = some.clone().requires_grad_()
torch.nn.functional.cross_entropy(leaf, classes).backward()
difference = (cross_entropy_backward(cache) - leaf.grad).abs().max().item()
print("gradient by hand and by autograd: equal to 1e-12:", difference < 1e-12)
assert difference < 1e-12
packaged, packaged_cache = tt.losses.cross_entropy_forward(some, classes)
assert torch.allclose(packaged, loss, rtol=0, atol=1e-12)
package_gradient = tt.losses.cross_entropy_backward(torch.ones_like(packaged), packaged_cache)
assert torch.allclose(package_gradient, cross_entropy_backward(cache), rtol=0, atol=1e-12)

# %% Three clouds of points
# Each class is a cloud of 60 points in the plane. The scores are x @ weight.T + bias: a row of weights a class.
centres = torch.tensor([[-2.0, -1.0], [2.0, -1.0], [0.0, 2.0]], dtype=torch.float64)
labels = torch.arange(3).repeat_interleave(60)
points = centres[labels] + 0.8 * torch.randn(180, 2, generator=generator, dtype=torch.float64)
weight, bias = torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
start = cross_entropy_forward(points @ weight.T + bias, labels)[0].item()
print(f"before training every class has probability 1/3: loss {start:.4f} = log 3")
assert abs(start - torch.tensor(3.0).log().item()) < 1e-6

# %% Training by hand
# out = x weight^T + bias, so dweight = dout^T x and dbias is the sum of dout over the samples (derived in lesson 02).
for _ in range(200):
    loss, cache = cross_entropy_forward(points @ weight.T + bias, labels)
    dout = cross_entropy_backward(cache)
    weight, bias = weight - 0.5 * dout.T @ points, bias - 0.5 * dout.sum(0)
right = ((points @ weight.T + bias).argmax(1) == labels).double().mean().item()
print(f"after 200 steps: loss {loss:.3f}, {right:.1%} right")
assert loss < 0.2
assert right > 0.93


# %% A softmax module of your own
# forward returns scores, not probabilities, because the loss takes scores. predict adds the softmax for people.
class SoftmaxRegression(torch.nn.Module):
    def __init__(self, inputs, classes, dtype=torch.float32):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(classes, inputs, dtype=dtype))
        self.bias = torch.nn.Parameter(torch.zeros(classes, dtype=dtype))

    def forward(self, x):
        return x @ self.weight.T + self.bias

    def predict(self, x):
        return torch.softmax(self(x), dim=1)


sums = SoftmaxRegression(2, 3, torch.float64).predict(points).sum(1)
print(f"its probabilities add up to {sums.min().item():.3f}")
assert torch.allclose(sums, torch.ones(180, dtype=torch.float64))

# %% Both ways, the same weights
module = SoftmaxRegression(2, 3, torch.float64)
optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
for _ in range(200):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(module(points), labels).backward()
    optimizer.step()
same = torch.allclose(module.weight, weight, rtol=0, atol=1e-10) and torch.allclose(
    module.bias, bias, rtol=0, atol=1e-10
)
print("three classes: both ways end at the same weights:", same)
assert same

# %% The boundaries are straight
# Where two classes have the same score lies a straight line: the difference of their scores is w x + b again. Softmax
# regression can cut the plane in no other way. Half-way between two points of a boundary is a point of the boundary.
between, offset = weight[0] - weight[1], bias[0] - bias[1]
ends = torch.tensor([[-4.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
ends[:, 1] = -(ends[:, 0] * between[0] + offset) / between[1]  # where classes 0 and 1 have the same score
scores = ends.mean(0) @ weight.T + bias
print(f"half-way between two points of the boundary: scores {scores[0]:.3f} and {scores[1]:.3f}")
assert abs(scores[0] - scores[1]) < 1e-9

# %% A folder for the pictures
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
plt.rcParams["font.size"] = 13
print("pictures go to the folder", OUT.name)
assert OUT.is_dir()

# %% Drawn
axis = torch.linspace(-4.5, 4.5, 300, dtype=torch.float64)
grid = torch.cartesian_prod(axis, axis)  # (90000, 2): every pair
regions = (grid @ weight.T + bias).argmax(1).reshape(300, 300)
figure, axes = plt.subplots(figsize=(6.5, 6), layout="constrained")
axes.contourf(axis, axis, regions.T, levels=[-0.5, 0.5, 1.5, 2.5], colors=["#0072b2", "#e69f00", "#009e73"], alpha=0.4)
for label, (color, marker) in enumerate(zip(["#0072b2", "#e69f00", "#009e73"], "os^", strict=True)):
    axes.scatter(*points[labels == label].T, color=color, marker=marker, edgecolor="black", label=f"class {label}")
axes.set_xlabel("first input", fontsize=14)
axes.set_ylabel("second input", fontsize=14)
axes.legend(fontsize=12)
figure.savefig(OUT / "07_boundaries.png", dpi=120)

# %% Digits: 784 inputs, ten classes
# scikit-learn's 1,797 handwritten digits, enlarged to 28 x 28 pixels. 300 of them are for testing only.
from tinytorch_course.data import load

digits = load("digits")
images, targets = digits.train.images.flatten(1) / 255, digits.train.labels  # pixels from 0 to 1
module = SoftmaxRegression(784, 10)
optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
for _ in range(100):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(module(images), targets)
    loss.backward()
    optimizer.step()
accuracy = (module(digits.test.images.flatten(1) / 255).argmax(1) == digits.test.labels).float().mean().item()
print(f"digits: loss {loss.item():.2f} on {len(images)} training images, accuracy {accuracy:.1%} on the test images")
print("digits: over 90 % of 300 test images are right:", accuracy > 0.9)
assert accuracy > 0.9

# %% The same by hand
# The loop of the three clouds, with the velocity of SGD with momentum (lesson 10): the same weights.
weight, bias = torch.zeros(10, 784), torch.zeros(10)
velocity = torch.zeros(10, 784), torch.zeros(10)
for _ in range(100):
    dout = cross_entropy_backward(cross_entropy_forward(images @ weight.T + bias, targets)[1])
    gradients = dout.T @ images, dout.sum(0)
    velocity = [0.9 * v + g for v, g in zip(velocity, gradients, strict=True)]
    weight, bias = weight - 0.1 * velocity[0], bias - 0.1 * velocity[1]
apart = ((weight - module.weight).norm() / weight.norm()).item()
print("digits by hand: weights within 0.1 % of torch's:", apart < 1e-3)
assert apart < 1e-3

# %% The weights of a digit are a picture
# One weight for each pixel: orange speaks for the class, purple against it. The 0 does not want ink in its middle.
pictures = module.weight.detach().reshape(10, 28, 28)
figure, panels = plt.subplots(2, 5, figsize=(10, 4.6), layout="constrained")
bound = pictures.abs().max()
for digit, axes in enumerate(panels.flat):
    shown = axes.imshow(pictures[digit], cmap="PuOr_r", vmin=-bound, vmax=bound)
    axes.set(xticks=[], yticks=[])
    axes.set_title(digit, fontsize=15)
figure.colorbar(shown, ax=panels).set_label("weight of the pixel", fontsize=14)
figure.savefig(OUT / "07_digit_weights.png", dpi=120)
middle, ring = pictures[0, 12:16, 12:16].mean().item(), pictures[0, 12:16, 7:10].mean().item()
print(f"class 0: mean weight {middle:.2f} in the middle, {ring:.2f} at the left side of the ring")
assert middle < 0 < ring

# %% What torch does here
# nn.CrossEntropyLoss is log-softmax and the choice of the class's entry in one, so it must be given scores. Giving it
# probabilities is the classic mistake: the softmax is then taken twice, and even a perfect answer costs something.
perfect = torch.tensor([[1.0, 0.0, 0.0]])
twice = torch.nn.CrossEntropyLoss()(perfect, torch.tensor([0])).item()
print(f"cross-entropy of the perfect probabilities 1, 0, 0, taken for scores: {twice:.3f} instead of 0")
assert twice > 0.5

# %% Exercises
# 1. Add a fourth cloud in the middle of the three, at (0, 0). Guess first: can it be told from the others by straight
#    boundaries? Train for 1000 steps and count how many of its points are right. In which region does it win, of which
#    shape is that, and what are its weights and its bias?
# 2. Derive the gradient of mean((softmax(scores) - one_hot)^2) and compare it with autograd's. How large is it where
#    the answer is confidently wrong, and what does cross-entropy do there?
