"""18. Why float32 paths part

What you learn: what a float32 can hold, why the order of a sum matters, how a difference in one last digit grows until
two trainings have nothing in common, what TF32 and bfloat16 leave out, and what "the same" can mean all the same.

Run: tinytorch lesson 18 (or python examples/18_why_float32_paths_part.py)
Time: about 16 s on 2 CPU cores

Expected output (excerpt):
    16777216 + 1 in float32: 16777216
    100,000 summands in two orders: the sums differ: True
    float32: after 10 steps rounding still, after 300 two different networks: True
    float64: after 100 steps still the same to 1e-8: True
    in bfloat16, 1 - 0.001 is 1.0: the step is lost
    5 seeds: the accuracies differ by less than two points on average: True
"""

# %% 24 binary digits
# A float32 has 24 significant binary digits, about 7 decimal ones; a float64 has 53, about 16. The distance to the next
# number is one ulp, a unit in the last place. From 2^24 on it is more than 1: then adding 1 changes nothing.
import torch

one, large = torch.tensor(1.0), torch.tensor(16777216.0)
ulp = (torch.nextafter(one, torch.tensor(2.0)) - one).item()
print(
    f"the float32 after 1 is 1 + {ulp:.3e}, which is 2^-23; in float64 it is 1 + {torch.finfo(torch.float64).eps:.3e}"
)
print(f"16777216 + 1 in float32: {(large + 1).item():.0f}")
assert ulp == 2**-23 == torch.finfo(torch.float32).eps
assert large + 1 == large
assert large.double() + 1 != large.double()

# %% Brackets matter
# Each operation rounds its result. So (a + b) + c and a + (b + c) may be two numbers: both right, neither exact.
a, b, c = torch.tensor(1.0), torch.tensor(1e8), torch.tensor(-1e8)
print(f"(1 + 1e8) - 1e8 = {((a + b) + c).item()}, but 1 + (1e8 - 1e8) = {(a + (b + c)).item()}")
assert (a + b) + c == 0
assert a + (b + c) == 1

# %% A long sum in two orders
# One after the other, the error grows with every addition; in pairs, then pairs of pairs, it hardly does. Libraries
# choose what is fast on the machine at hand: by vector width, by cache, by number of threads.
import numpy as np

random = torch.Generator().manual_seed(0)
summands = torch.rand(100_000, generator=random)
exact = summands.double().sum().item()
in_turn = float(np.add.accumulate(summands.numpy())[-1])  # NumPy's running sum adds one after the other, in float32
in_blocks = summands.reshape(100, 1000).sum(1).sum().item()
print(f"exact {exact:.4f}, one after the other {in_turn:.4f}, in blocks {in_blocks:.4f}")
print("100,000 summands in two orders: the sums differ:", in_turn != in_blocks)
assert abs(in_blocks - exact) < abs(in_turn - exact) < 1e-3 * exact

# %% A matmul is such sums
# Every output of a layer adds up 784 products. Added from the first to the last and from the last to the first, nearly
# all outputs change in their last digits. Which order torch takes depends on the machine; it is near both.
x, weight = torch.randn(64, 784, generator=random), torch.randn(128, 784, generator=random) / 28
products = (x[:, None] * weight).numpy()  # (64 images, 128 units, 784 products)
forwards = torch.from_numpy(np.add.accumulate(products, axis=2)[..., -1])
backwards = torch.from_numpy(np.add.accumulate(products[..., ::-1], axis=2)[..., -1])
differing = (forwards != backwards).double().mean().item()
print(f"{differing:.0%} of the outputs differ, the largest difference is {(forwards - backwards).abs().max():.0e}")
assert differing > 0.5
assert (forwards - backwards).abs().max() < 1e-4
assert (x @ weight.T - forwards).abs().max() < 1e-4

# %% Real digits
# MNIST's where they have been downloaded (or $TINYTORCH_DATA holds them), otherwise the embedded ones: 1,280 images.
from tinytorch_course.data import MemoryLoader, default_data_dir, epoch_order, load

digits = load("mnist" if (default_data_dir() / "MNIST" / "raw").is_dir() else "digits", limit=1280)
device = torch.device("cpu")
loaders = {}
for dtype in (torch.float32, torch.float64):
    loaders[dtype] = MemoryLoader(digits.train, digits.mean, digits.std, device=device, dtype=dtype)
print(f"{digits.title}: {len(digits.train.images):,} images to train, {len(digits.test.images):,} to test")
assert len(digits.train.images) == 1280

# %% Two implementations of one training
# The course's learners: "scratch" has its gradients written by hand, "torch" uses autograd. From one seed both draw the
# same weights.
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import make_learner


def new_learner(impl, dtype=torch.float32, seed=0):
    settings = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "dtype": str(dtype).removeprefix("torch.")}
    return make_learner(TrainConfig(impl=impl, model="mlp", seed=seed, **settings))


start = {impl: new_learner(impl).state_dict() for impl in ("scratch", "torch")}
equal = all(torch.equal(start["scratch"][name], start["torch"][name]) for name in start["torch"])
print("both start from the same bits:", equal)
assert equal


# %% Training that is watched
# Every tenth step (and the first) all weights are kept, in one long vector.
def train(learner, steps, seed=0, lr=0.1, turn=False):
    loader, path, step = loaders[learner.dtype], {}, 0
    while True:
        for x, y in loader.batches(epoch_order(len(loader), seed, step), 64):
            step += 1
            if turn:  # the same images, the last first: the same sums in another order
                x, y = x.flip(0), y.flip(0)
            learner.train_step(x, y, None, {"lr": lr})
            if step == 1 or step % 10 == 0:
                path[step] = torch.cat([tensor.detach().flatten() for tensor in learner.state_dict().values()])
            if step == steps:
                return path


def distances(one, other):
    return {step: ((one[step] - other[step]).norm() / one[step].norm()).item() for step in one}


# %% One ulp
# Torch against torch, but with one of 109,386 weights moved to the next float32. Against torch with each batch's images
# in another order. And ours against torch.
steps = 300
torch_path = train(new_learner("torch"), steps)
nudged = new_learner("torch")
with torch.no_grad():
    row = nudged.net.fc1.weight[0]
    row[400] = torch.nextafter(row[400], torch.tensor(1.0))
apart = {"torch, one weight moved by an ulp": distances(torch_path, train(nudged, steps))}
apart["torch, batches in another order"] = distances(torch_path, train(new_learner("torch"), steps, turn=True))
apart["ours and torch"] = distances(torch_path, train(new_learner("scratch"), steps))
for label, path in apart.items():
    print(f"  {label:34}", ", ".join(f"step {step}: {path[step]:.0e}" for step in (1, 10, 100, 300)))

# %% It grows, whoever computes
# The path reacts to a small push by moving away from it, exponentially: each step multiplies the difference. A ReLU
# that opens in one and not in the other makes a jump. In the end the weights have little in common.
parted = all(path[10] < 1e-3 and path[300] > 1e-4 and path[300] > 100 * path[10] for path in apart.values())
print("float32: after 10 steps rounding still, after 300 two different networks:", parted)
assert parted
assert all(path[1] < 1e-6 for path in apart.values())

# %% In float64 the same mathematics stays together
# Growth is the same, but it starts nine digits lower. That is why the course proves its gradients in float64: what
# differs there is a mistake, not rounding.
double = torch.float64
apart["ours and torch, float64"] = distances(
    train(new_learner("torch", double), steps), train(new_learner("scratch", double), steps)
)
path = apart["ours and torch, float64"]
print(f"  ours and torch, float64: step 1: {path[1]:.0e}, step 100: {path[100]:.0e}, step 300: {path[300]:.0e}")
print("float64: after 100 steps still the same to 1e-8:", path[100] < 1e-8)
assert path[1] < 1e-14
assert path[100] < 1e-8

# %% Drawn
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
plt.rcParams["font.size"] = 13
figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
styles = (("#e69f00", "s"), ("#009e73", "^"), ("#0072b2", "o"), ("#000000", "D"))
for place, ((label, path), (color, marker)) in enumerate(zip(apart.items(), styles, strict=True)):
    every = (place, 4)  # curves lie on each other: their markers shall not
    axes.semilogy(list(path), list(path.values()), color=color, marker=marker, markevery=every, label=label)
axes.set(xlabel="step", ylabel="distance of the weights, relative")
axes.legend(loc="lower right")
figure.savefig(OUT / "18_paths_part.png", dpi=120)


# %% Fewer digits: TF32 and bfloat16
# Both keep float32's range and drop digits: of 24 binary digits TF32 keeps 11 and bfloat16 8. TF32 is what the matmul
# units of NVIDIA's GPUs read when they are allowed to. Its rounding can be had anywhere: add half of the last digit
# that stays, and clear the 13 behind it.
def to_tf32(x):
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


truth = x.double() @ weight.double().T
rounded = {"float32": (x, weight), "TF32": (to_tf32(x), to_tf32(weight))}
rounded["bfloat16"] = x.bfloat16().float(), weight.bfloat16().float()
errors = {name: ((a @ b.T - truth).norm() / truth.norm()).item() for name, (a, b) in rounded.items()}
print("relative error of a matmul:", ", ".join(f"{name} {error:.0e}" for name, error in errors.items()))
assert errors["float32"] < 1e-6 < 1e-4 < errors["TF32"] < 1e-3 < errors["bfloat16"] < 1e-2

# %% Why weights stay in float32
# A step is often a thousandth of its weight. In bfloat16 the numbers beside 1 are 0.996 and 1.008: subtracting 0.001
# rounds back to 1, however often. Mixed precision therefore multiplies in bfloat16 and keeps the weights in float32.
halved, full = torch.ones((), dtype=torch.bfloat16), torch.ones(())
for _ in range(100):
    halved, full = halved - 0.001, full - 0.001
print(f"in bfloat16, 1 - 0.001 is {(torch.ones((), dtype=torch.bfloat16) - 0.001).item()}: the step is lost")
print(f"a hundred such steps: bfloat16 {halved.item()}, float32 {full.item():.4f}")
assert halved == 1
assert abs(full - 0.9) < 1e-5

# %% CPU against CUDA
# Another machine is another order of summation, so one step differs by rounding, no more, as long as TF32 is off: it is
# for matmul, but cuDNN's convolutions use it unless told not to. Without a GPU this cell compares the CPU with itself.
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
elsewhere = "cuda" if torch.cuda.is_available() else "cpu"
x, y = next(loaders[torch.float32].batches(None, 64))
gradients = {}
for place in ("cpu", elsewhere):
    module = new_learner("torch").net.to(place)
    torch.nn.functional.cross_entropy(module(x.to(place)), y.to(place)).backward()
    gradients[place] = torch.cat([parameter.grad.flatten().cpu() for parameter in module.parameters()])
difference = ((gradients[elsewhere] - gradients["cpu"]).norm() / gradients["cpu"].norm()).item()
print(f"gradients of one batch, cpu and {elsewhere}: relative difference {difference:.0e}")
assert difference < 1e-4


# %% What does not part: the statistics
# Five seeds, each trained by both for 200 steps at half the learning rate; the two share start and batches. Whether the
# weights have parted by then depends on data and seed: where they have, a few answers differ, and where they have not,
# none does, and the comparison below compares the same networks. Look at the numbers before you believe the averages.
test = MemoryLoader(digits.test, digits.mean, digits.std, device=device, dtype=torch.float32)
x, y = next(test.batches(None, 300))
pairs, parted_seeds = torch.zeros(5, 2), 0
for seed in range(5):
    learners = [new_learner(impl, seed=seed) for impl in ("scratch", "torch")]
    distance = distances(*[train(learner, 200, seed, lr=0.05) for learner in learners])[200]
    answers = [learner.predict(x).argmax(1) for learner in learners]
    pairs[seed] = torch.stack([(answer == y).float().mean() for answer in answers])
    differ = int((answers[0] != answers[1]).sum())
    print(f"  seed {seed}: weights {distance:.0e} apart; answers that differ: {differ} of {len(y)}")
    assert distance < 1
    parted_seeds = parted_seeds + int(differ > 0)

# %% Compared
# Accuracy of different seeds differs by a point or so; ours and torch's of one seed must differ by less.
mean, spread = pairs.mean(0), pairs.std(0)
print(f"in {parted_seeds} of 5 seeds the two gave different answers")
print(f"accuracy over 5 seeds: ours {mean[0]:.2%} +- {spread[0]:.2%}, torch {mean[1]:.2%} +- {spread[1]:.2%}")
difference = (mean[0] - mean[1]).abs().item()
print("5 seeds: the accuracies differ by less than two points on average:", difference < 0.02)
assert difference < 0.02
assert mean.min() > 0.85

# %% What "the same" can mean
# From the weakest promise to the strongest: the same distribution of results; the same numbers but for rounding, for a
# step or ten; the same bits. The last needs the same machine, versions, threads and order, as here.
again = train(new_learner("torch"), 10)
for step, vector in again.items():
    same = torch.equal(vector, torch_path[step])
    print(f"torch once more, nothing changed, step {step}: the same bits: {same}")
assert max(distances(again, torch_path).values()) < 1e-4

# %% What torch does here
# Torch promises the same bits only for the same version, machine and number of threads, and on CUDA only with
# torch.use_deterministic_algorithms(True), which refuses what has no deterministic kernel (lesson 19). Its own tests
# compare float32 with this tolerance: torch.testing.assert_close.
torch.testing.assert_close(forwards, backwards)  # 1.3e-6 of each number, and 1e-5
try:  # told to be float64, the same numbers are too far apart
    torch.testing.assert_close(forwards.double(), backwards.double())
except AssertionError as error:
    message = str(error).splitlines()[0]
print(f"as float32 they are close; as float64: {message}")
assert "not close" in message

# %% Exercises
# 1. Replace ReLU by tanh (build(L) with L.tanh()) and measure the paths again. Does the difference still jump?
# 2. Sum the 100,000 numbers one after the other with Kahan's compensation, which carries along what each addition
#    rounded off. How near does that come to the exact sum in float32?
