"""19. Going modular, tracking experiments

What you learn: from one cell of a notebook to modules and a command line with the same result, bit for bit; curves,
images and histograms for TensorBoard; comparing runs, with seeds against chance; what makes a run the same again.

Run: tinytorch lesson 19 (or python examples/19_going_modular_and_tracking_experiments.py)
Time: about 20 s on 2 CPU cores

Expected output (excerpt):
    the cell again, from functions: the same loss, bit for bit: True
    by hand and by torch: the same weights to 1e-9: True
    the command line: the same weights, bit for bit: True
    --lr -1: exit code 2, and a sentence
    history.csv: ... epochs, the best by validation is ...
    TensorBoard: ...
    a rate ten times smaller: worse, beyond chance: True
    one more draw from the global generator: everything after it is different: True
    two processes, two orders of one set: True
    the same batches in another order: other bits: True
"""

# %% How it begins: one cell
# It works, and that is its merit. But each number is written into the middle, a second network means a copy of it all,
# and nobody can test a part of it, or run it from a terminal overnight.
import torch

from tinytorch_course import reference
from tinytorch_course.data import load
from tinytorch_course.models import mlp

digits = load("digits")
x, y = (digits.train.images.double() / 255 - digits.mean[0]) / digits.std[0], digits.train.labels
generator = torch.Generator().manual_seed(0)
module = mlp(reference.layers, widths=(32,)).double()
reference.initializers.reset_parameters(module, generator)
optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
for _ in range(5):
    total = 0.0
    for batch in torch.randperm(len(x), generator=generator).split(64):
        loss = torch.nn.functional.cross_entropy(module(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
print(f"one cell: the loss of epoch 5 is {total / len(x):.4f}")
cell_loss, cell_weights = total / len(x), {name: p.detach().clone() for name, p in module.named_parameters()}
assert cell_loss < 0.5

# %% A package of modules
# A folder with __init__.py is a package; each file in it is a module with one concern. What was a number in the middle
# becomes an argument. First the data. (`%%writefile` does in a notebook what `write` does here.)
import os
from pathlib import Path

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
project = (OUT / "19_project").resolve()
(project / "reader").mkdir(parents=True, exist_ok=True)


def write(name, text):
    (project / "reader" / name).write_text(text, encoding="utf-8")


write("__init__.py", '"""Read handwritten digits."""\n')
write(
    "data.py",
    '''"""The digits as numbers around 0."""

from tinytorch_course.data import load


def read():
    digits = load("digits")

    def numbers(split):
        return (split.images.double() / 255 - digits.mean[0]) / digits.std[0], split.labels

    return numbers(digits.train), numbers(digits.val)
''',
)
print("written:", [path.name for path in (project / "reader").glob("[_d]*.py")])
assert (project / "reader" / "data.py").is_file()

# %% The engine, by torch
# Three functions are all that the rest needs to know of training: start, train_epoch, accuracy.
write(
    "by_torch.py",
    '''"""The engine: modules and autograd."""

import torch

from tinytorch_course import reference
from tinytorch_course.models import mlp


def start(width, lr, generator):
    network = mlp(reference.layers, widths=(width,)).double()
    reference.initializers.reset_parameters(network, generator)
    return {"network": network, "optimizer": torch.optim.SGD(network.parameters(), lr=lr)}


def train_epoch(learner, x, y, batches):
    total = 0.0
    for batch in batches:
        loss = torch.nn.functional.cross_entropy(learner["network"](x[batch]), y[batch])
        learner["optimizer"].zero_grad()
        loss.backward()
        learner["optimizer"].step()
        total += loss.item() * len(batch)
    return total / len(x)


@torch.no_grad()
def accuracy(learner, x, y):
    return (learner["network"](x).argmax(1) == y).double().mean().item()


def weights(learner):
    return learner["network"].state_dict()
''',
)

# %% The engine, by hand
# The same names in the same order, so that nothing else has to know which of the two it has.
write(
    "by_hand.py",
    '''"""The engine: gradients written by hand."""

import torch

from tinytorch_course import scratch
from tinytorch_course.models import mlp


def start(width, lr, generator):
    network, optimizer = mlp(scratch.layers, widths=(width,)), scratch.optimizers.sgd(lr=lr)
    params = {name: tensor.double() for name, tensor in network.init(generator)[0].items()}
    return {"network": network, "optimizer": optimizer, "params": params, "state": optimizer.init(params)}


def train_epoch(learner, x, y, batches):
    total, loss_of = 0.0, scratch.losses.cross_entropy()
    for batch in batches:
        logits, _, cache = learner["network"].forward(learner["params"], {}, x[batch], training=True)
        loss, loss_cache = loss_of.forward(logits, y[batch])
        dlogits = loss_of.backward(torch.ones_like(loss), loss_cache)
        _, grads = learner["network"].backward(dlogits, cache, need_dx=False)
        learner["params"], learner["state"] = learner["optimizer"].update(learner["params"], grads, learner["state"])
        total += loss.item() * len(batch)
    return total / len(x)


def accuracy(learner, x, y):
    logits, _, _ = learner["network"].forward(learner["params"], {}, x, training=False)
    return (logits.argmax(1) == y).double().mean().item()


def weights(learner):
    return learner["params"]
''',
)

# %% Imported, in place of copied
# The same steps as in the cell, so the same numbers to the last bit: that is the test of having moved code. Then by
# hand, where the sums are formed in another order: equal up to rounding.
import sys

sys.path.insert(0, str(project))
from reader import by_hand, by_torch
from reader.data import read


def fit(engine, seed=0, epochs=5):
    (x, y), _ = read()
    generator = torch.Generator().manual_seed(seed)
    learner = engine.start(32, 0.1, generator)
    for _ in range(epochs):
        loss = engine.train_epoch(learner, x, y, torch.randperm(len(x), generator=generator).split(64))
    return loss, engine.weights(learner)


module_loss, torchs = fit(by_torch)
_, ours = fit(by_hand)
print("the cell again, from functions: the same loss, bit for bit:", module_loss == cell_loss)
difference = max((ours[name] - torchs[name]).abs().max().item() for name in torchs)
print("by hand and by torch: the same weights to 1e-9:", difference < 1e-9)
assert module_loss == cell_loss
assert all(torch.equal(torchs[name], cell_weights[name]) for name in torchs)
assert difference < 1e-9

# %% One run
# All that a run is, as one function: what it needs comes in as arguments, what it leaves behind goes into a folder.
write(
    "run.py",
    '''"""One run: train, and write settings, history and weights into a folder."""

import csv
import importlib
import json

import torch

from reader.data import read


def run(engine, lr, width, epochs, seed, out):
    module, generator = importlib.import_module(f"reader.{engine}"), torch.Generator().manual_seed(seed)
    (x, y), (val_x, val_y) = read()
    learner, rows = module.start(width, lr, generator), []
    for epoch in range(1, epochs + 1):
        loss = module.train_epoch(learner, x, y, torch.randperm(len(x), generator=generator).split(64))
        rows.append({"epoch": epoch, "loss": loss, "val_accuracy": module.accuracy(learner, val_x, val_y)})
        print(f"epoch {epoch}: loss {loss:.4f}, validation accuracy {rows[-1]['val_accuracy']:.1%}")
    out.mkdir(parents=True)
    settings = {"engine": engine, "lr": lr, "width": width, "epochs": epochs, "seed": seed, "torch": torch.__version__}
    (out / "settings.json").write_text(json.dumps(settings, indent=2))
    with open(out / "history.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    torch.save(module.weights(learner), out / "model.pt")
''',
)

# %% A command line
# typer makes options of a function's arguments. What is typed is checked before anything begins, and torch, which takes
# seconds, is imported only when it is needed: --help answers at once.
write(
    "train.py",
    '''"""Train a network on handwritten digits: python -m reader.train --help."""

from pathlib import Path

import typer


def main(engine: str = "by_hand", lr: float = 0.1, width: int = 32, epochs: int = 5, seed: int = 0, out: Path = "run"):
    if engine not in ("by_hand", "by_torch"):
        raise typer.BadParameter(f"--engine must be by_hand or by_torch, but it is {engine}")
    if not lr > 0:
        raise typer.BadParameter(f"--lr must be above 0, but it is {lr:g}")
    if out.exists():
        raise typer.BadParameter(f"--out is {out}, which exists already: choose another folder")
    from reader.run import run

    run(engine, lr, width, epochs, seed, out)


if __name__ == "__main__":
    typer.run(main)
''',
)

# %% Run as everybody will run it
# In a process of its own: nothing that happens to lie about in a notebook can help it, or harm it.
import shutil
import subprocess

runs = (OUT / "19_runs").resolve()
shutil.rmtree(runs, ignore_errors=True)  # of an earlier time


def terminal(*words):
    command = [sys.executable, "-m", "reader.train", *words]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "120"}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, encoding="utf-8")


done = terminal("--engine", "by_torch", "--out", str(runs / "first"))
print(f"$ python -m reader.train --engine by_torch --out first\n{done.stdout}", end="")
saved = torch.load(runs / "first" / "model.pt", weights_only=True)
same = all(torch.equal(saved[name], torchs[name]) for name in torchs)
print("the command line: the same weights, bit for bit:", same)
assert done.returncode == 0, done.stderr
assert same

# %% What is wrong is said before anything begins
# Exit code 2 is for whatever was typed wrongly; a script that calls yours can tell. And no run is ever written over.
refused = [terminal("--lr", "-1"), terminal("--out", str(runs / "first"))]
sentence = " ".join(refused[0].stderr.split())
print(f"--lr -1: exit code {refused[0].returncode}, and a sentence")
assert [one.returncode for one in refused] == [2, 2]
assert "must be above 0" in sentence
assert "Traceback" not in sentence

# %% What a run leaves behind
# Settings, history, weights: enough to draw it, compare it, use it, do it again. A CSV file needs no program at all.
import csv

with open(runs / "first" / "history.csv", newline="") as file:
    history = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
best = max(history, key=lambda row: row["val_accuracy"])
print(f"history.csv: {len(history)} epochs, the best by validation is {best['epoch']:.0f}")
assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
assert history[-1]["loss"] == cell_loss
assert history[-1]["loss"] < history[0]["loss"]

# %% TensorBoard
# It draws what is written for it: scalars as curves, images, tensors as histograms by epoch, all of them given with a
# name and a step. It is an extra, `pip install 'tinytorch-course[tensorboard]'`; without it the CSV file has to do.
try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:
    print("TensorBoard: not installed, so this part is skipped; history.csv holds the curves")
else:
    with SummaryWriter(str(runs / "first" / "tensorboard")) as writer:
        for row in history:
            writer.add_scalar("loss", row["loss"], int(row["epoch"]))
        writer.add_images("digits", digits.train.images[:16] / 255, 0)  # (16, 1, 28, 28), from 0 to 1
        for epoch, weights in ((1, fit(by_torch, epochs=1)[1]), (5, torchs)):
            writer.add_histogram("fc1.weight", weights["fc1.weight"], epoch)
    print("TensorBoard: written; look at it by: tensorboard --logdir", runs)

# %% Read back
# Its files can be read by programs too: so that what was written can be checked, or drawn elsewhere.
if "SummaryWriter" in globals():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(runs / "first" / "tensorboard"), {"histograms": 0})  # 0: all
    events.Reload()
    read_back = [event.value for event in events.Scalars("loss")]
    counted = [sum(event.histogram_value.bucket) for event in events.Histograms("fc1.weight")]
    print(f"read back: {len(read_back)} losses, {len(events.Images('digits'))} image, {len(counted)} histograms")
    assert all(abs(row["loss"] - value) < 1e-6 for row, value in zip(history, read_back, strict=True))  # in float32
    assert counted == [torchs["fc1.weight"].numel()] * 2
else:
    print("read back: skipped, as there is no TensorBoard")

# %% Drawn: what the histograms are for
# Weights start evenly spread within bounds; training moves those that matter out of them.
import matplotlib.pyplot as plt

untrained = by_torch.weights(by_torch.start(32, 0.1, torch.Generator().manual_seed(0)))["fc1.weight"]
figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
bins = torch.linspace(-0.15, 0.15, 80).numpy()
for weights, name, color, line in (
    (untrained, "at the start", "#e69f00", "-"),
    (torchs["fc1.weight"], "after 5 epochs", "#0072b2", "--"),
):
    axes.hist(weights.flatten(), bins, histtype="step", linewidth=2.5, color=color, linestyle=line, label=name)
axes.set_xlabel("weight of fc1", fontsize=14)
axes.set_ylabel("how many", fontsize=14)
axes.legend(fontsize=13)
figure.savefig(OUT / "19_histogram.png", dpi=120)
print(f"largest weight: {untrained.abs().max():.3f} at the start, {torchs['fc1.weight'].abs().max():.3f} after it")
assert untrained.abs().max() < torchs["fc1.weight"].abs().max()

# %% Many runs
# The course's own trainer works like this project, only larger: `tinytorch train --model mlp-32 --lr 0.001 --seed 1`.
# Three settings, three seeds each, a folder for each run.
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.loop import train

settings = {
    "32 units": {"model": "mlp-32", "lr": 1e-3},
    "36 units": {"model": "mlp-36", "lr": 1e-3},
    "small rate": {"model": "mlp-32", "lr": 1e-4},
}
for name, changes in settings.items():
    for seed in range(3):
        config = TrainConfig(data="digits", epochs=5, schedule="constant", impl="torch", seed=seed, **changes)
        train(config, out=str(runs / f"{name} {seed}"))
print(sorted(path.name for path in (runs / "32 units 0").iterdir() if not path.name.startswith(".")))
assert len(list(runs.glob("*/result.json"))) == 9

# %% Compared: more than chance?
# Two runs always differ. How much do they differ by seed alone? A difference of settings must be large against that,
# or more seeds are needed. (`tinytorch train --seeds 0-4` does this at once.)
import json

accuracies = {
    name: torch.tensor(
        [json.loads((runs / f"{name} {seed}" / "result.json").read_text())["val_accuracy"] for seed in range(3)]
    )
    for name in settings
}
base = accuracies["32 units"]
for name, values in accuracies.items():
    mean, deviation = 100 * values.mean(), 100 * values.std()
    print(f"{name}: validation accuracy {mean:.1f} % on average, from seed to seed +- {deviation:.1f}")


def by_chance(one, other):  # the difference of two means, in units of what three seeds make of it
    return ((one.mean() - other.mean()) / ((one.var() + other.var()) / 3).sqrt()).item()


worse = by_chance(base, accuracies["small rate"])
print(
    f"32 against 36 units: {abs(by_chance(base, accuracies['36 units'])):.1f} standard errors: not to be told apart yet"
)
print("a rate ten times smaller: worse, beyond chance:", worse > 4)
assert worse > 4
assert abs(by_chance(base, accuracies["36 units"])) < 4

# %% Drawn: every run a line
# Draw all seeds, not their best. `tinytorch report` makes a page of such runs: curves, mistakes, filters, settings.
from tinytorch_course.cli.app import run as tinytorch

figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
for name, color, line in zip(settings, ("#0072b2", "#e69f00", "#009e73"), ("-", "--", ":"), strict=True):
    for seed in range(3):
        rows = [json.loads(row) for row in (runs / f"{name} {seed}" / "history.jsonl").read_text().splitlines()]
        curve = [100 * row["val_accuracy"] for row in rows]
        axes.plot(range(1, 6), curve, color=color, linestyle=line, linewidth=2, label=name if seed == 0 else None)
axes.set_xlabel("epoch", fontsize=14)
axes.set_ylabel("validation accuracy, %", fontsize=14)
axes.set_xticks(range(1, 6))
axes.legend(fontsize=13)
figure.savefig(OUT / "19_runs.png", dpi=120)
code = tinytorch(["report", *(str(runs / f"{name} 0") for name in settings), "--out", str(runs / "report.html")])
assert code == 0
assert "36" in (runs / "report.html").read_text(encoding="utf-8")

# %% The same again: seeds
# torch.manual_seed seeds one generator that everybody draws from. So one line more, a preview of three random images,
# and all that comes after is different. A generator of its own for each purpose does not care.
from tinytorch_course.seeds import derive_seed


def experiment(preview):
    torch.manual_seed(0)
    if preview:
        torch.randint(1000, (3,))
    return torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(derive_seed("init", 0)))


(drawn, own), (drawn_again, own_again) = experiment(False), experiment(True)
print("one more draw from the global generator: everything after it is different:", not torch.equal(drawn, drawn_again))
print("a generator of its own, seeded by its purpose: the same:", torch.equal(own, own_again))
assert not torch.equal(drawn, drawn_again)
assert torch.equal(own, own_again)

# %% The same again: nothing may depend on a set's order
# Python hashes strings anew in each process. Number the classes by a set, and class 3 is another one tomorrow. Sort.
words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
orders = []
for hash_seed in ("1", "2"):
    code = f"print(list(set({words})), sorted(set({words})), sep='|')"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout
    orders.append(printed.strip().split("|"))
print("two processes, two orders of one set:", orders[0][0] != orders[1][0])
assert orders[0][0] != orders[1][0]
assert orders[0][1] == orders[1][1]

# %% The same again: deterministic algorithms
# Some operations let threads race, on a GPU above all: whoever comes last, or adds last, decides. With this switch
# torch takes a slower way that does not, or refuses if there is none; and memory nobody wrote to is filled with NaN.
torch.use_deterministic_algorithms(True)
unwritten = torch.empty(3)
try:
    torch.zeros(3).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))  # two values for one place: which stays?
    refusal = "none"
except RuntimeError as error:
    refusal = str(error).split(",")[0]
torch.use_deterministic_algorithms(False)
print(f"refused: {refusal}; unwritten memory: {unwritten.tolist()}")
print("CUDA:", "here, and set so too" if torch.cuda.is_available() else "no device here, so that part is not shown")
assert "deterministic" in refusal
assert unwritten.isnan().all()

# %% What still differs
# Seeds fix what is drawn, not how sums are rounded. Turn each batch round: the same images, the same mathematics, other
# bits. Another number of threads, another machine, CPU or GPU, another version of torch do just that (lesson 18).
x32 = x.float()
ends = []
for turned in (False, True):
    net = by_torch.start(32, 0.1, torch.Generator().manual_seed(0))
    net["network"].float()
    order = torch.arange(len(x)).split(64)
    by_torch.train_epoch(net, x32, y, [batch.flip(0) if turned else batch for batch in order])
    ends.append(net["network"].fc1.weight.detach())
apart = (ends[0] - ends[1]).abs().max().item()
print("the same batches in another order: other bits:", apart > 0)
print(f"after an epoch the weights are apart by {apart:.0e}: harmless so far")
assert 0 < apart < 1e-4

# %% Write down what you cannot fix
# So a run's folder should say what it ran on. `tinytorch card RUN` writes that and more, checksums of the data
# included; `tinytorch card --verify RUN/card.json` computes it all again.
import platform

threads = torch.get_num_threads()
sums = {}
for number in (1, 2, 4):
    torch.set_num_threads(number)
    sums[number] = torch.rand(1_000_000, generator=torch.Generator().manual_seed(0)).sum().item()
torch.set_num_threads(threads)
print("one sum by 1, 2 and 4 threads:", list(sums.values()))
print(f"Python {platform.python_version()}, torch {torch.__version__}, {threads} threads, {platform.machine()}")
assert max(sums.values()) - min(sums.values()) < 1e-5 * sums[1]

# %% What torch does here
# A DataLoader draws its order from the generator you give it: epoch 3 is what comes after epochs 1 and 2. The course's
# order is a function of seed and epoch, so a run that stopped can begin at epoch 3.
from torch.utils.data import DataLoader

from tinytorch_course.data import epoch_order

shuffled = [DataLoader(range(100), shuffle=True, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
first, second = ([[int(i) for i in loader] for _ in range(3)] for loader in shuffled)
print("DataLoader: the same seed, the same three epochs:", first == second)
print(
    "ours: epoch 3 without 1 and 2:", torch.equal(epoch_order(100, 0, 2), [epoch_order(100, 0, e) for e in range(3)][2])
)
assert first == second
assert first[0] != first[2]
assert torch.equal(epoch_order(100, 0, 2), [epoch_order(100, 0, e) for e in range(3)][2])
assert not torch.equal(epoch_order(100, 0, 0), epoch_order(100, 0, 2))

# %% Exercises
# 1. Give the project's command an option --resume RUN: save after each epoch what is needed to go on (weights,
#    optimizer state, the generator's get_state()). The test: 2 epochs and 3 more end at the same bits as 5.
# 2. How many seeds does it take to tell 32 units from 36? Guess from the standard errors above, then try. And how many
#    for 32 against 64?
