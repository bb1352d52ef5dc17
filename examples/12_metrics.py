"""12. Metrics

What you learn: the confusion matrix, precision, recall and F1 per class and averaged, unbalanced data where accuracy
lies, thresholds and their curves, how sure an accuracy is, comparing two networks, and calibration.

Run: tinytorch lesson 12 (or python examples/12_metrics.py)
Time: about 9 s on 2 CPU cores

Expected output (excerpt):
    confusion matrix by counting and by scikit-learn: equal: True
    precision, recall and F1, by hand and by scikit-learn: equal to 1e-12: True
    the mean of the batches' accuracies is not the accuracy: True
    never saying 9: over 98 % right, recall 0.0, balanced accuracy 0.5
    area under the ROC curve, by counting pairs and by scikit-learn: equal: True
    99 of 100 right: the simple interval ends at 1.010, Wilson's at 0.998
    a temperature changes no answer, and the calibration error is smaller: True
    the course's score() agrees in all of them: True
"""

# %% A classifier that errs
# 784-64-10, trained by hand on only 100 digits, so that there are errors to look at. 397 other images are kept for
# later choices, 1,300 are for testing.
import torch

from tinytorch_course.data import load
from tinytorch_course.scratch import layers, losses, optimizers

digits = load("digits")
parts = (digits.train, digits.val, digits.test)
images = torch.cat([part.images for part in parts]).float() / 255
images = (images - digits.mean[0]) / digits.std[0]
targets = torch.cat([part.labels for part in parts])
train, held, test = slice(0, 100), slice(100, 497), slice(497, None)
network = layers.sequential(layers.flatten(), layers.linear(784, 64), layers.relu(), layers.linear(64, 10))
print("images:", [len(targets[part]) for part in (train, held, test)])
assert [len(targets[part]) for part in (train, held, test)] == [100, 397, 1300]


# %% Its training, and its answers
def answers_of(seed, train=train):
    params, state = network.init(torch.Generator().manual_seed(seed))
    optimizer, entropy = optimizers.adam(lr=3e-3), losses.cross_entropy()
    opt_state = optimizer.init(params)
    for _ in range(300):
        logits, _, cache = network.forward(params, state, images[train], training=True)
        _, loss_cache = entropy.forward(logits, targets[train])
        _, gradients = network.backward(entropy.backward(torch.ones(()), loss_cache), cache, need_dx=False)
        params, opt_state = optimizer.update(params, gradients, opt_state)
    return network.forward(params, state, images, training=False)[0]  # the logits of all images


logits, labels = answers_of(0), targets[test]
answers = logits[test].argmax(1)
accuracy = (answers == labels).double().mean().item()
print(f"{(answers == labels).sum()} of {len(labels)} test images are right: {accuracy:.1%}")
assert 0.8 < accuracy < 0.97

# %% The confusion matrix
# A row for each class, a column for each answer: how often they met. The diagonal is what was right. Each pair becomes
# one number, row * 10 + column, and numbers are counted by bincount.
from sklearn import metrics

confusion = torch.bincount(labels * 10 + answers, minlength=100).reshape(10, 10)
same = torch.equal(confusion, torch.from_numpy(metrics.confusion_matrix(labels, answers)))
print("confusion matrix by counting and by scikit-learn: equal:", same)
assert same
assert confusion.sum() == 1300
assert confusion.trace() == (answers == labels).sum()

# %% Drawn
# Colours by the share of the row, on a scale of roots: errors are few, and shall be seen all the same.
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
plt.rcParams["font.size"] = 13
figure, axes = plt.subplots(figsize=(7.5, 7), layout="constrained")
share = confusion / confusion.sum(1, keepdim=True)
axes.imshow(share.sqrt(), cmap="cividis")
for row, column in confusion.nonzero().tolist():
    color = "white" if share[row, column] < 0.25 else "black"
    axes.text(column, row, confusion[row, column].item(), ha="center", va="center", color=color, fontsize=13)
axes.set(xticks=range(10), yticks=range(10))
axes.set_xlabel("what the network answers", fontsize=15)
axes.set_ylabel("what it is", fontsize=15)
figure.savefig(OUT / "12_confusion.png", dpi=120)

# %% Precision and recall
# Of the images called 8, how many are an 8? That is precision: down a column. Of the 8s, how many were called 8? That
# is recall: along a row. F1 is their harmonic mean, near the smaller of the two.
hits = confusion.diag().double()
precision, recall = hits / confusion.sum(0), hits / confusion.sum(1)
f1 = 2 * precision * recall / (precision + recall)
theirs = metrics.precision_recall_fscore_support(labels, answers)
difference = max(abs(mine.numpy() - other).max() for mine, other in zip((precision, recall, f1), theirs, strict=False))
for digit in (0, 8):
    print(f"{digit}: precision {precision[digit]:.3f}, recall {recall[digit]:.3f}, F1 {f1[digit]:.3f}")
print("precision, recall and F1, by hand and by scikit-learn: equal to 1e-12:", bool(difference < 1e-12))
assert difference < 1e-12
assert f1[0] > f1[8]  # an 8 is confused with many, a 0 with few
assert (f1 <= torch.maximum(precision, recall)).all()

# %% One number for all classes
# Macro: the plain mean, each class counts alike. Weighted: each image counts alike. Micro: hits and misses of all
# classes in one pot, which for one answer per image is the accuracy again.
support = confusion.sum(1).double() / confusion.sum()
macro, weighted = f1.mean().item(), (f1 * support).sum().item()
micro = metrics.f1_score(labels, answers, average="micro")
print(f"F1: macro {macro:.4f}, weighted {weighted:.4f}, micro {micro:.4f}; accuracy {accuracy:.4f}")
assert abs(macro - metrics.f1_score(labels, answers, average="macro")) < 1e-12
assert abs(weighted - metrics.f1_score(labels, answers, average="weighted")) < 1e-12
assert abs(micro - accuracy) < 1e-12
assert abs((recall * support).sum() - accuracy) < 1e-12  # the weighted recall is the accuracy too

# %% Count images, not batches
# A loop over batches must add up hits and images. The mean of the batches' accuracies gives those in a short last batch
# too much weight: here 20 images count as much as 64.
batches = (answers == labels).double().split(64)
of_means = torch.stack([batch.mean() for batch in batches]).mean().item()
of_sums = sum(batch.sum() for batch in batches).item() / sum(len(batch) for batch in batches)
print(f"last batch: {len(batches[-1])} images; mean of means {of_means:.5f}, hits over images {of_sums:.5f}")
print("the mean of the batches' accuracies is not the accuracy:", of_means != accuracy)
assert abs(of_sums - accuracy) < 1e-12
assert abs(of_means - accuracy) > 1e-6

# %% Where accuracy lies
# Let 9 be rare: of its images every tenth stays. Whoever never says 9 is now right on 99 % and finds none. Recall shows
# it, and so does balanced accuracy, the mean of the recalls of yes and no.
is_nine = labels == 9
keep = ~is_nine
keep[is_nine.nonzero()[::10, 0]] = True
nine = is_nine[keep]
never = torch.zeros_like(nine)
right = (never == nine).double().mean().item()
found = never[nine].double().mean().item()
balanced = (found + (~never[~nine]).double().mean().item()) / 2
print(f"{nine.sum()} nines among {len(nine)} images: never saying 9 is right on {right:.1%}")
print(f"never saying 9: over 98 % right, recall {found}, balanced accuracy {balanced}")
assert right > 0.98
assert (found, balanced) == (0, 0.5)
assert metrics.f1_score(nine, never) == 0

# %% The network is better, and looks worse
# It finds many nines and calls some other digits 9. By accuracy it loses against never, by recall and F1 it wins.
said = answers[keep] == 9
tp, fp, fn = (int(both.sum()) for both in (said & nine, said & ~nine, ~said & nine))
by_network = (said == nine).double().mean().item()
print(f"network: {tp} found, {fn} missed, {fp} false positives; F1 {2 * tp / (2 * tp + fp + fn):.2f}")
print(
    f"precision {tp / (tp + fp):.2f}, recall {tp / (tp + fn):.2f}; right {by_network:.1%}, never saying 9 {right:.1%}"
)
assert tp / (tp + fn) > 0.4
assert tp / (tp + fp) < 0.6  # rare things are hard: few false positives in a thousand outnumber the hits
assert by_network < right

# %% A threshold trades one for the other
# The answer "9" needs no majority: any probability above a threshold may count as yes. Sorted by it, from the surest
# on, true and false positives are cumulative sums, and give precision and recall at every threshold at once.
probability = torch.softmax(logits[test].double(), dim=1)[keep, 9]
order = probability.argsort(descending=True, stable=True)
hit = nine[order].double().cumsum(0)
precisions, recalls = hit / torch.arange(1, len(hit) + 1), hit / nine.sum()
average = ((recalls.diff(prepend=torch.zeros(1))) * precisions).sum().item()  # the area under the curve
for threshold in (0.9, 0.5, 0.01):
    last = (probability > threshold).sum() - 1
    print(f"threshold {threshold}: precision {precisions[last]:.2f}, recall {recalls[last]:.2f}")
print(f"average precision {average:.4f}, by scikit-learn {metrics.average_precision_score(nine, probability):.4f}")
assert abs(average - metrics.average_precision_score(nine, probability)) < 1e-6
assert (recalls.diff() >= 0).all()

# %% ROC: how well yes and no are sorted
# The area under this other curve has a plain meaning: the share of pairs, a yes and a no, in which the yes has the
# higher score. It does not feel how rare a yes is, so it looks fine where precision is poor.
yes, no = probability[nine], probability[~nine]
pairs = (yes[:, None] > no).double() + 0.5 * (yes[:, None] == no).double()
area = pairs.mean().item()
same = abs(area - metrics.roc_auc_score(nine, probability)) < 1e-12
print(f"{len(yes)} yes, {len(no)} no, {pairs.numel()} pairs: area {area:.3f}, average precision {average:.3f}")
print("area under the ROC curve, by counting pairs and by scikit-learn: equal:", same)
assert same
assert area > average + 0.1

# %% Both curves, drawn
figure, (left, right_panel) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
left.step(recalls, precisions, where="pre", color="#0072b2", linewidth=2.5)
left.axhline(nine.double().mean(), linestyle="--", color="black", label="guessing")
false_positives = (~nine[order]).double().cumsum(0) / (~nine).sum()
right_panel.plot(false_positives, recalls, color="#0072b2", linewidth=2.5)
right_panel.plot([0, 1], [0, 1], "--", color="black", label="guessing")
for axes, x, y in ((left, "recall", "precision"), (right_panel, "false positive rate", "recall (true positive rate)")):
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_xlabel(x, fontsize=14)
    axes.set_ylabel(y, fontsize=14)
    axes.legend(fontsize=13)
left.set_title(f"precision and recall: area {average:.2f}", fontsize=15)
right_panel.set_title(f"ROC: area {area:.2f}", fontsize=15)
figure.savefig(OUT / "12_curves.png", dpi=120)


# %% How sure is an accuracy?
# Another 1,300 images would give another number: the count of hits is binomial, with standard deviation sqrt(p (1 - p)
# / n). The simple 95 % interval p +- 1.96 standard deviations can leave [0, 1]; Wilson's asks which true p would make
# this result likely.
def simple(hits, n):
    p = hits / n
    half = 1.96 * (p * (1 - p) / n) ** 0.5
    return p - half, p + half


def wilson(hits, n, z=1.96):
    p = hits / n
    centre, half = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


low, high = wilson(int((answers == labels).sum()), 1300)
print(f"accuracy {accuracy:.1%}: between {low:.1%} and {high:.1%}")
print(f"99 of 100 right: the simple interval ends at {simple(99, 100)[1]:.3f}, Wilson's at {wilson(99, 100)[1]:.3f}")
assert low < accuracy < high
assert simple(99, 100)[1] > 1 > wilson(99, 100)[1]

# %% Do they keep their word?
# 20,000 times 100 images for a network that is right 97 % of the time: how often does the interval hold 97 %?
random = torch.Generator().manual_seed(0)
counts = (torch.rand(20000, 100, generator=random) < 0.97).sum(1).double()
held_by = {}
for interval in (simple, wilson):
    lower, upper = interval(counts, 100)
    held_by[interval.__name__] = ((lower <= 0.97) & (upper >= 0.97)).double().mean().item()
print("promised 95 %, held:", {name: f"{share:.1%}" for name, share in held_by.items()})
assert held_by["simple"] < 0.85
assert 0.92 < held_by["wilson"] < 0.99

# %% The same without a formula: bootstrap
# Draw 1,300 of the test images again and again, with repetition, and look where the middle 95 % of the accuracies lie.
# It works for F1 too, for which there is no formula.
picks = torch.randint(0, 1300, (4000, 1300), generator=random)
again = (answers == labels).double()[picks].mean(1)
bounds = torch.quantile(again, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
print(f"bootstrap: between {bounds[0]:.1%} and {bounds[1]:.1%}")
assert abs(bounds[0] - low) < 0.005
assert abs(bounds[1] - high) < 0.005

# %% Is another network better?
# On the same images: where both are right or both wrong nothing is learnt; where they differ, luck gives each half.
# McNemar's test: how likely is a split at least as uneven by luck? One rival has another start, one had half the data.
first, by_luck = answers == labels, {}
for name, rival in (("another start", answers_of(1)), ("50 images", answers_of(0, slice(0, 50)))):
    second = rival[test].argmax(1) == labels
    wins, defeats = int((first & ~second).sum()), int((~first & second).sum())
    coins = (torch.rand(20000, wins + defeats, generator=random) < 0.5).sum(1)
    uneven = (2 * coins - wins - defeats).abs() >= abs(wins - defeats)
    by_luck[name] = uneven.double().mean().item()
    print(f"{name}: {second.double().mean():.1%} right, {wins} against {defeats}; by luck: {by_luck[name]:.1%}")
assert by_luck["50 images"] < 0.01
assert by_luck["50 images"] < by_luck["another start"]


# %% Calibration: does 90 % mean nine in ten?
# Answers are sorted into ten bins by their probability; in each the share that is right should be the mean probability.
# The expected calibration error is the mean gap, each bin by its number of images.
def calibration(logits, labels, bins=10):
    confidence, answers = torch.softmax(logits.double(), dim=1).max(1)
    place = (confidence * bins).ceil().long() - 1  # a bin holds its upper edge
    count = torch.bincount(place, minlength=bins)
    right = torch.bincount(place, weights=(answers == labels).double(), minlength=bins)
    sure = torch.bincount(place, weights=confidence, minlength=bins)
    many = count >= 10  # fewer say little: they count, but are not drawn
    return (right - sure).abs().sum().item() / len(labels), (sure / count)[many], (right / count)[many]


error, sure, right_share = calibration(logits[test], labels)
confidence = torch.softmax(logits[test], dim=1).amax(1).mean().item()
print(f"mean probability {confidence:.1%}, right {accuracy:.1%}; expected calibration error {error:.3f}")
assert confidence > accuracy + 0.01  # over-confident, as networks are that know their training images by heart

# %% Temperature: one number makes it honest
# Divide the logits by T > 1: all probabilities come nearer to each other, no answer changes. T is chosen by the
# cross-entropy on the images kept for it.
temperatures = torch.linspace(0.5, 4, 71)
costs = [losses.cross_entropy().forward(logits[held] / t, targets[held])[0].item() for t in temperatures]
best = temperatures[min(range(71), key=costs.__getitem__)].item()
after, sure_after, right_after = calibration(logits[test] / best, labels)
print(f"temperature {best:.2f}: expected calibration error {error:.3f} before, {after:.3f} after")
smaller = after < error and torch.equal((logits[test] / best).argmax(1), answers)
print("a temperature changes no answer, and the calibration error is smaller:", smaller)
assert best > 1.1
assert smaller

# %% Drawn
figure, panels = plt.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
for axes, x, y, title in (
    (panels[0], sure, right_share, f"as trained: error {error:.3f}"),
    (panels[1], sure_after, right_after, f"temperature {best:.2f}: error {after:.3f}"),
):
    axes.plot([0, 1], [0, 1], "--", color="black", label="honest")
    axes.plot(x, y, "o-", color="#d55e00", markersize=9, linewidth=2, label="the network")
    axes.set_title(title, fontsize=15)
    axes.set_xlabel("mean probability of the answers in a bin", fontsize=14)
panels[0].set_ylabel("share of them that is right", fontsize=14)
panels[0].legend(fontsize=13)
figure.savefig(OUT / "12_calibration.png", dpi=120)

# %% What torch does here
# Torch itself has losses but no metrics; torchmetrics and torcheval are packages of their own. The course's score(),
# which `tinytorch evaluate` prints, gives all of this from logits and labels.
from tinytorch_course.evaluation.scores import calibrate, score

scores = score(logits[test], labels, digits.classes)
probabilities, _ = torch.softmax(logits[test].double(), dim=1).max(1)
gaps = [
    abs(scores.accuracy - accuracy),
    abs(scores.macro.f1 - macro),
    max(abs(one.recall - value) for one, value in zip(scores.per_class, recall.tolist(), strict=True)),
    max(abs(a - b) for a, b in zip(scores.interval, (low, high), strict=True)) / 10,  # it takes more digits of 1.96
    abs(calibrate(probabilities, answers == labels, bins=10).ece - error),
]
agree = max(gaps) < 1e-6 and torch.equal(scores.confusion, confusion)
print("the course's score() agrees in all of them:", agree)
assert agree

# %% Exercises
# 1. Balance by weights: train again with `losses.cross_entropy(weight=...)`, class 9 counting ten times. What happens
#    to its precision and its recall, and which threshold on the first network does the same?
# 2. A customer wants over 97.5 %. How many test images are needed before Wilson's interval of a network that gets 98 %
#    of them right lies wholly above that? Draw the number against the network's accuracy.
