"""What can be wrong with a training loop, one function for each: from what :class:`~.watch.Watch` saw to a finding.

A rule accuses only on evidence that no right loop gives, and says the numbers; what may be on purpose is a note.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise
from statistics import mean, median
from typing import Any

from torch import Tensor
from torch.utils.data import RandomSampler, SequentialSampler, Subset, WeightedRandomSampler

from tinytorch_course.doctor.checks import NOTE, WRONG, Finding
from tinytorch_course.doctor.watch import Event, Held, Pass, Watch, fingerprint

Rule = Callable[[Watch], Iterator[Finding]]
RULES: list[Rule] = []
FEW = 5  # steps, that say something

LARGE_RATIO, HUGE_RATIO, LEAP, SMALL_RATIO = 0.1, 0.7, 0.5, 1e-6  # of update to weight; 0.001 is healthy
LARGE_INPUT, LARGISH_INPUT = 30.0, 6.0  # root mean square of what enters the first layer; 1 is healthy
EXPLAINED_BY = {  # what is not said beside its cause
    "no-backward": {"all-frozen", "other-parameters", "graph-cut", "cleared-before-step"},
    "zero-gradient": {"softmax-of-one", "dead-relu", "not-finite", "cleared-before-step", "equal-weights"},
    "constant-output": {"softmax-of-one", "not-finite", "lr-too-large", "inputs-not-normalised", "dead-relu"},
    "dead-relu": {"not-finite", "lr-too-large", "inputs-not-normalised"},
    "lr-too-large": {"inputs-not-normalised", "targets-out-of-range"},
    "scale-mismatch": {"inputs-not-normalised"},
}  # fmt: skip
DRIFT = 0.6  # of the classes, from the first third of the labels to the last; at random below 0.3
DEAD = 0.9  # of a layer's units


def diagnose_training(watch: Watch) -> list[Finding]:
    """Everything that is found, the accusations first."""
    found = [finding for rule in RULES for finding in rule(watch)]
    names = {finding.name for finding in found if finding.state == WRONG}
    quiet = {name for name, causes in EXPLAINED_BY.items() if names & causes}
    quiet |= {"loss-does-not-fall"} if names else set()  # a symptom
    return sorted((one for one in found if one.name not in quiet), key=lambda one: one.state != WRONG)


def rule(function: Rule) -> Rule:
    """Add to the rules."""
    RULES.append(function)
    return function


def wrong(name: str, where: str, text: str, advice: str, state: str = WRONG) -> Finding:
    """A finding with its line."""
    return Finding("training", name, state, f"{where}: {text}" if where else text, advice)


def note(name: str, where: str, text: str, advice: str) -> Finding:
    """What may be on purpose."""
    return wrong(name, where, text, advice, NOTE)


# --- gradients and the optimizer -------------------------------------------------------------------------------------


@rule
def gradients_accumulate(watch: Watch) -> Iterator[Finding]:
    """Those of a step before are still there when the next backward adds its own."""
    steps = [event for event in watch.of("step") if not event.data.closure]
    stale = [event for event in steps if event.data.stale]
    if len(stale) >= 2:
        first, last = steps[0].data.norm, stale[-1].data.norm
        text = (
            f"in {len(stale)} of {len(steps)} steps the gradients still contained those of the steps before (length "
            f"{first:.3g} at step 1, {last:.3g} at step {stale[-1].step + 1})"
        )
        yield wrong(
            "zero-grad-missing", stale[0].where, text, "call optimizer.zero_grad() once per step, before backward"
        )


@rule
def steps_without_backward(watch: Watch) -> Iterator[Finding]:
    """A second step on the same gradient, or on none."""
    steps = [event for event in watch.of("step") if not event.data.closure]
    for key in dict.fromkeys(id(event.data.optimizer) for event in steps):
        own = [event for event in steps if id(event.data.optimizer) == key]
        idle = [event for event in own if not event.data.fresh and event.data.gradients]
        empty = [event for event in own if not event.data.gradients]
        if len(idle) >= max(2, len(own) // 4) and watch.backwards:
            text = f"{len(idle)} of {len(own)} steps came without a new backward: the same gradient twice"
            yield wrong("step-twice", idle[-1].where, text, "one optimizer.step() for each loss.backward()")
        elif len(empty) == len(own) >= FEW:
            text = f"optimizer.step() was called {len(empty)} times without a gradient: no backward gave it one"
            yield wrong("no-backward", empty[0].where, text, "call loss.backward() before optimizer.step()")
    cleared = [event for event in steps if event.data.fresh and event.data.gave and event.data.norm == 0]
    if len(cleared) >= max(2, len(steps) // 2):
        text = f"in {len(cleared)} of {len(steps)} steps every gradient was gone again when the optimizer's step came"
        yield wrong("cleared-before-step", cleared[0].where, text, "the order is zero_grad(), backward(), step()")


@rule
def parameters_held(watch: Watch) -> Iterator[Finding]:
    """The optimizer's parameters against those that the loss depends on."""
    steps = watch.of("step")
    if not steps:
        return
    unheld = [one for one in watch.held.values() if one.reached and not one.optimizers and one.tensor.requires_grad]
    known = {
        id(p) for optimizer in watch.optimizers.values() for group in optimizer.param_groups for p in group["params"]
    }
    unheld = [one for one in unheld if id(one.tensor) not in known and one.module is not None]
    for key in dict.fromkeys(id(event.data.optimizer) for event in steps):
        own = [one for one in watch.held.values() if key in one.optimizers]
        built = watch.built.get(key, "")
        step = next(event for event in steps if id(event.data.optimizer) == key)
        if step.data.trainable == 0:
            text = (
                f"none of the {len(own)} parameters that the optimizer holds requires a gradient: no step changes any"
            )
            yield wrong(
                "all-frozen", built, text, "freeze only what should stay, and give the optimizer what should learn"
            )
            return
        if not any(one.reached for one in own) and unheld and not step.data.closure:
            text = (
                f"the optimizer holds {len(own)} parameters, and the loss depends on none of them, but on "
                f"{len(unheld)} others: {_names(unheld)}"
            )
            advice = "build the optimizer from the parameters of the model that is trained, after the model is complete"
            yield wrong("other-parameters", built, text, advice)
            return
    if unheld:
        on_purpose = all(id(one.module) in watch.loaded or (one.module and not one.module.training) for one in unheld)
        text = f"{len(unheld)} parameters get a gradient, but no optimizer holds them: {_names(unheld)}"
        advice = "give them to the optimizer; if they should stay as they are, say requires_grad_(False)"
        yield wrong("not-in-optimizer", "", text, advice, NOTE if on_purpose else WRONG)


def _names(held: list[Held]) -> str:
    return ", ".join(one.name or "a tensor" for one in held[:4]) + (", ..." if len(held) > 4 else "")


@rule
def parameters_without_gradient(watch: Watch) -> Iterator[Finding]:
    """Held, meant to learn, but the loss does not know them."""
    held = [one for one in watch.held.values() if one.steps >= FEW and one.tensor.requires_grad]
    cut = [one for one in held if one.absent == one.steps and not one.reached]
    if not cut or not any(one.reached for one in held):
        return
    called = [one for one in cut if id(one.module) in watch.called]
    unused = [one for one in cut if one not in called]
    if called:
        few = len(called) < 0.25 * len(held)  # a layer whose output nobody needs, such as BERT's pooler
        text = (
            f"{len(called)} of {len(held)} parameters never get a gradient, though their layers run: {_names(called)}"
        )
        advice = "look for .detach(), .data, .item(), .numpy() or no_grad between them and the loss"
        yield wrong("graph-cut", "", text, advice, NOTE if few else WRONG)
    elif unused:
        yield note(
            "unused", "", f"{len(unused)} parameters of the optimizer are in no forward: {_names(unused)}",
            "use their layers, or leave them out",
        )  # fmt: skip


@rule
def zero_gradients(watch: Watch) -> Iterator[Finding]:
    """A gradient that is exactly 0 at every step."""
    held = [one for one in watch.held.values() if one.steps >= FEW and one.reached and not one.absent]
    zero = [one for one in held if one.zero == one.steps and one.module is not None]
    learnt = any(losses) if (losses := _losses(watch)) else True  # a loss of 0 has nothing to teach
    if zero and learnt and not any(event.data.gave and event.data.norm == 0 for event in watch.of("step")):
        text = f"the gradient of {len(zero)} of {len(held)} parameters is exactly 0 at every step: {_names(zero)}"
        yield wrong("zero-gradient", "", text, "what comes after them gives the same for any input: look there")


@rule
def backward_itself(watch: Watch) -> Iterator[Finding]:
    """A loss without a graph, one that keeps it, losses that are hoarded."""
    events = watch.of("backward")
    if leaves := [event for event in events if event.data.leaf]:
        text = "the loss has no graph behind it (a new tensor, or .data, with requires_grad switched on)"
        yield wrong(
            "graph-cut", leaves[0].where, text, "call backward on the very tensor that the loss function returned"
        )
    if len(events) >= FEW and len(kept := watch.of("kept")) >= FEW:
        text = f"losses are added up with their graphs ({len(kept)} times): memory grows with every step"
        yield wrong("graph-kept", kept[0].where, text, "add loss.item()")
    elif events and events[-1].data.alive >= max(FEW, len(events) // 2):
        text = f"{events[-1].data.alive} losses of earlier steps are still kept, each with its graph: memory grows"
        yield note("graph-kept", events[-1].where, text, "keep loss.item()")
    retained = [event for event in events if event.data.retain]
    if len(retained) == len(events) >= FEW and len(events) <= watch.steps + 1:
        text = "backward keeps the graph (retain_graph=True), though nothing runs through it a second time"
        yield note("retain-graph", retained[0].where, text, "leave it out: it costs memory and hides mistakes")


@rule
def clipping(watch: Watch) -> Iterator[Finding]:
    """Clipped are gradients between backward and step, or nothing is."""
    clips = watch.of("clip")
    late = [event for event in clips if event.data.late]
    if len(late) >= max(2, len(clips) // 2):
        text = f"gradients are clipped after the step or before the backward ({len(late)} of {len(clips)} times)"
        yield wrong("clip-order", late[-1].where, text, "clip between loss.backward() and optimizer.step()")


@rule
def schedules(watch: Watch) -> Iterator[Finding]:
    """Before the first step, or at every batch where every epoch was meant."""
    for key in dict.fromkeys(id(event.data.scheduler) for event in watch.of("schedule")):
        events = [event for event in watch.of("schedule") if id(event.data.scheduler) == key]
        name = type(events[0].data.scheduler).__name__
        if events[0].step == 0 and watch.steps:
            text = f"{name}.step() comes before the first optimizer.step(): the first rate is left out"
            yield wrong("scheduler-order", events[0].where, text, "call scheduler.step() after optimizer.step()")
        highest = list(accumulate((event.data.lr for event in events), max))
        for event, high in zip(events, highest, strict=True):
            batch, batches = event.data.position or (1, 1)
            if event.data.lr < 0.01 * high and batch < 0.8 * batches:
                text = (
                    f"{name}.step() at every batch: the learning rate fell from {high:.1e} to {event.data.lr:.1e} "
                    f"within the first {batch} of {batches} batches of an epoch"
                )
                advice = "call it once per epoch, or give it the number of steps"
                yield wrong("scheduler-per-batch", event.where, text, advice)
                break


@rule
def learning_rate(watch: Watch) -> Iterator[Finding]:
    """The size of updates beside the weights, together with what the loss does."""
    steps, losses = [event.data for event in watch.of("step")], _losses(watch)
    if any(step.closure for step in steps):
        return  # LBFGS and its like search for their rate
    layers = [list(filter(math.isfinite, one.ratios)) for one in watch.held.values()]
    layers = [ratios for ratios in layers if len(ratios) >= 2]
    if not layers or len(steps) < FEW or not all(map(math.isfinite, losses[:1])):
        return
    ratio, rate = median(median(ratios[1:]) for ratios in layers), steps[-1].lr
    top, most = max(median(ratios[1:]) for ratios in layers), max(max(ratios) for ratios in layers)
    finite = [loss for loss in losses if math.isfinite(loss)]
    worse = len(finite) < len(losses) or (len(finite) >= 2 * FEW and mean(finite[-FEW:]) > 2 * abs(mean(finite[:2])))
    where = next((event.where for event in watch.of("step")), "")
    leap = median(mean(ratios[:3]) for ratios in layers) > LEAP and max(losses[1:10], default=0) > 1.3 * losses[0]
    if (worse and top > LARGE_RATIO) or ratio > HUGE_RATIO or leap:
        course = f", and the loss went from {losses[0]:.3g} to {losses[-1]:.3g}" if losses else ""
        summed = "; the loss is a sum over the batch, not its mean" if _summed(watch) else ""
        first = max(ratios[0] for ratios in layers)
        text = (
            f"the first update is {100 * first:.3g} % of a layer's weights, the usual one {100 * top:.3g} % (learning "
            f"rate {rate:.3g}){course}{summed}"
        )
        advice = (
            "take the mean of the loss"
            if summed
            else "try a tenth and a hundredth of it; look at the inputs' scale too"
        )
        yield wrong("lr-too-large", where, text, advice)
    rising = steps[-1].lr > steps[0].lr
    if most < SMALL_RATIO and not rising and any(step.norm for step in steps):
        text = f"no layer changes by more than {most:.0e} of its weights at a step (learning rate {rate:.3g})"
        yield wrong(
            "lr-too-small", where, text, "a healthy update is about 0.001 of the weights: raise the learning rate"
        )


def _losses(watch: Watch) -> list[float]:
    return [event.data.value for event in watch.of("backward") if event.data.value is not None]


def _summed(watch: Watch) -> bool:
    made = Counter(event.data.made for event in watch.of("backward"))
    return (
        any(event.data.reduction == "sum" for event in watch.of("loss")) or made.most_common(1)[0][0] == "SumBackward0"
    )


# --- modes -----------------------------------------------------------------------------------------------------------


@rule
def modes(watch: Watch) -> Iterator[Finding]:
    """eval() while training, train() while evaluating, dropout that does not listen, gradients nobody wants."""
    forwards = [event for event in watch.of("forward") if event.data.switched]
    trained = [event for event in watch.of("forward") if event.data.trained]
    still = [event for event in forwards if event.data.trained and not event.data.training and _learns(watch, event)]
    still = [event for event in still if not event.data.active]
    if still:
        kinds = " and ".join(sorted({type(module).__name__ for module in still[0].data.switched}))
        text = f"from step {still[0].step + 1} on the network is in evaluation mode while it learns: {kinds} are off"
        yield wrong("eval-while-training", still[0].where, text, "call model.train() at the start of every epoch")
    tests = evaluations(watch)
    on = [event for event in tests if event.data.active]
    if on and trained:
        kinds = " and ".join(sorted({type(module).__name__ for module in on[0].data.switched}))
        text = f"the network is evaluated in training mode ({len(on)} forwards): {kinds} work as in training"
        yield wrong("train-while-evaluating", on[0].where, text, "call model.eval() before the evaluation")
    if loose := [event for event in watch.of("dropout") if event.data.wrong]:
        text = f"dropout of {loose[0].data.p:g} is active though its module is in evaluation mode"
        yield wrong(
            "dropout-in-evaluation", loose[0].where, text, "F.dropout(x, p, training=self.training), or nn.Dropout"
        )
    if strong := [event for event in watch.of("dropout") if event.data.p >= 0.8]:
        text = f"dropout with p = {strong[0].data.p:g} drops {100 * strong[0].data.p:.0f} % of what goes in"
        yield note("dropout-p", strong[0].where, text, "p is what is dropped, not what is kept")
    graphs = [event for event in tests if event.data.grad and not event.data.training]
    if len(graphs) >= 2:
        text = "the evaluation builds graphs that no backward uses"
        yield note("eval-with-grad", graphs[0].where, text, "wrap it in with torch.no_grad(): less memory and time")
    for module in watch.roots.values():
        own = type(module).train.__qualname__.partition(".")[0]
        if "train" in vars(type(module)) and id(module) not in watch.put_to_training and trained:
            text = f"{own} has a train() of its own, which nobody called before training"
            yield note("train-not-called", trained[0].where, text, "call model.train() before the loop")


def evaluations(watch: Watch) -> list[Event]:
    """The forwards whose output is measured and not learnt from."""
    forwards = watch.of("forward")
    if forwards and forwards[-1].data.grad:
        forwards.pop()  # its backward may have been to come
    return [event for event in forwards if event.data.trained is False and event.data.metric]


def _learns(watch: Watch, event: Event) -> bool:
    return any(watch.hold(p).optimizers for p in event.data.module.parameters() if p.requires_grad)


# --- the loss --------------------------------------------------------------------------------------------------------


@rule
def scores(watch: Watch) -> Iterator[Finding]:
    """What the loss is given: scores, probabilities or their logarithms."""
    events = [event for event in watch.of("loss") if event.data.training and event.data.grad]
    for name in dict.fromkeys(event.data.name for event in events):
        calls = [event for event in events if event.data.name == name]
        made, where = calls[0].data.made, calls[0].where
        sums = [call.data.sums for call in calls if call.data.sums is not None]
        normal = sums and all(one < 1e-3 and low >= 0 for one, low, _ in sums) and calls[0].data.classes > 1
        if name == "cross_entropy" and normal:
            text = "cross_entropy is given probabilities (rows of 0 or more that sum to 1), and takes softmax again"
            yield wrong("softmax-twice", where, text, "give it the scores of the last layer, without softmax")
        elif name == "cross_entropy" and made == "LogSoftmax":
            text = "cross_entropy is given log_softmax, and takes it again, which changes nothing"
            yield note("softmax-twice", where, text, "leave one of them out")
        elif name == "binary_cross_entropy_with_logits" and made in ("Sigmoid", "Softmax"):
            text = f"{name} is given what {made.lower()} made, and takes the sigmoid again"
            yield wrong("softmax-twice", where, text, "give it the scores of the last layer, without sigmoid")
        elif name == "nll_loss" and sums and all(log > 1e-2 for _, _, log in sums):
            what = "probabilities, not their logarithms" if normal else "scores, not logarithms of probabilities"
            text = f"nll_loss is given {what} (logsumexp of a row is up to {max(log for _, _, log in sums):.3g}, not 0)"
            yield wrong(
                "log-softmax-missing", where, text, "use F.cross_entropy on the scores, or log_softmax before nll_loss"
            )
        if made == "Relu" and name in ("cross_entropy", "binary_cross_entropy_with_logits"):
            text = f"the scores that {name} is given come out of a ReLU: none can be below 0"
            yield wrong("relu-before-loss", where, text, "no activation after the last layer")
    if ones := watch.of("softmax_of_one"):
        text = f"softmax over a single number (shape {ones[0].data.shape}) is always 1"
        yield wrong(
            "softmax-of-one", ones[0].where, text, "one output needs a sigmoid (binary cross-entropy), or no activation"
        )
    if logs := [event for event in watch.of("log_of_scores") if event.data.low < 1e-6 or event.data.high > 1]:
        text = f"the logarithm of a layer's scores, which are no probabilities (from {logs[0].data.low:.3g} to "
        text += f"{logs[0].data.high:.3g})"
        yield wrong(
            "log-softmax-missing", logs[0].where, text, "take softmax or sigmoid before, or use F.cross_entropy"
        )


@rule
def shapes(watch: Watch) -> Iterator[Finding]:
    """(N, 1) beside (N,)."""
    losses = [event for event in watch.of("loss") if event.data.grad and event.data.classes is None]
    pairs = [(event.where, (event.data.input, event.data.target)) for event in losses if event.data.crossed]
    pairs += [(event.where, event.data.shapes) for event in watch.of("broadcast")]
    if pairs:
        where, (one, other) = pairs[0]
        text = f"shapes {one} and {other} are broadcast: every prediction meets every target"
        yield wrong("broadcast", where, text, "make them equal: pred.squeeze(1), or target[:, None]")


@rule
def labels(watch: Watch) -> Iterator[Finding]:
    """Targets that do not fit the loss or the number of outputs."""
    events = [event for event in watch.of("loss") if event.data.training and event.data.grad]
    for name in dict.fromkeys(event.data.name for event in events):
        calls = [event for event in events if event.data.name == name and event.data.low is not None]
        if not calls:
            continue
        low, high = min(call.data.low for call in calls), max(call.data.high for call in calls)
        if name.startswith("binary") and (low < 0 or high > 1):
            text = f"targets of {name} reach from {low:.3g} to {high:.3g}, but must lie within 0 and 1"
            yield wrong("targets-out-of-range", calls[0].where, text, "scale them to 0..1, or use another loss")
        counts: Counter = Counter()
        for call in calls:
            counts.update(call.data.labels or call.data.counts or {})
        classes, total = calls[0].data.classes or 0, sum(counts.values())
        shifted = low == 1 and classes > 2 and set(counts) == set(range(1, classes)) and total >= 20 * classes
        if shifted and calls[0].data.ignored != 0:
            text = f"{total} labels run from 1 to {high:g}; output 0 of {classes} is never the right one"
            yield wrong("labels-shifted", calls[0].where, text, "labels start at 0: subtract 1")
        if name == "mse_loss" and 3 <= len(counts) <= 20 and all(float(value).is_integer() for value in counts):
            text = f"mse_loss against whole numbers from {low:g} to {high:g}: are these numbers of classes?"
            yield note("classes-by-regression", calls[0].where, text, "for classes: one output each, and cross_entropy")


@rule
def order(watch: Watch) -> Iterator[Finding]:
    """Samples in the order of their classes, and each epoch alike."""
    calls = [event for event in watch.of("loss") if event.data.training and event.data.grad and event.data.own]
    rows = [call.data.labels for call in calls]
    if all(len(set(row)) == 1 for row in rows) and sum(a[0] != b[0] for a, b in pairwise(rows)) > len(rows) / 4:
        rows = []  # a batch of each class in turn is on purpose
    if not rows:  # binary ones, as the loader gave them
        rows = [part.tolist() for one in watch.passes if one.trained for part in one.labels if _binary(part)]
    labels = [label for row in rows for label in row]
    if len(labels) >= 100 and len(rows) >= FEW and max(map(len, rows)) > 1:
        where, outputs = (calls[0].where, calls[0].data.classes) if calls else ("", 2)
        counts, known = Counter(labels), {label for one in watch.passes if one.trained for label in _classes(one)}
        changes = sum(a != b for a, b in pairwise(labels))
        expected = len(labels) * (1 - sum((count / len(labels)) ** 2 for count in counts.values()))
        drift = _drift(labels) if len(counts) * 10 <= len(labels) else 0.0
        text = f"the data come in the order of their classes: {len(labels)} labels in {len(rows)} batches "
        if len(counts) == 1 == len(known):
            text = f"all {len(labels)} labels seen are {labels[0]:g}, of {outputs} classes; the data have no other"
            advice = "look at how the labels are made: a scale or a cast may have lost them"
            yield wrong("labels-all-equal", where, text, advice)
        elif (len(counts) == 1 and outputs > 1) or (len(counts) > 1 and changes < 0.2 * expected) or drift > DRIFT:
            text += f"are all {labels[0]:g}" if len(counts) == 1 else f"change {changes} times"
            text += f", where a random order would {expected:.0f} times" if changes < 0.2 * expected else ""
            text += (
                f"; their shares shift by {100 * drift:.0f} % from the first third to the last" if drift > DRIFT else ""
            )
            yield wrong(
                "not-shuffled", where, text, "shuffle: DataLoader(..., shuffle=True), or a new order each epoch"
            )
            return
    again = [one for one in watch.passes if one.trained and len(one.prints) >= 3]
    for one in again:
        others = [two for two in again if two is not one and two.loader.dataset is one.loader.dataset]
        if others and others[0].prints[:3] == one.prints[:3] and isinstance(one.loader.sampler, SequentialSampler):
            text = "every epoch has the same batches in the same order"
            yield note("same-order", "", text, "shuffle=True, unless it is a series")
            return


def _drift(labels: list[Any]) -> float:
    """How much the classes of the first third differ from those of the last: half the sum of the differences."""
    third = len(labels) // 3
    first, last = Counter(labels[:third]), Counter(labels[-third:])
    return sum(abs(first[label] - last[label]) for label in first | last) / (2 * third)


def _binary(part: Any) -> bool:
    return set(part.tolist()) <= {0, 1}


def _classes(one: Pass) -> set[Any]:
    """The labels of the set behind a loader, where they can be seen."""
    data = one.loader.dataset
    data = data.dataset if isinstance(data, Subset) else data
    found = getattr(data, "targets", None)
    found = (getattr(data, "tensors", None) or [[]])[-1] if found is None else found
    return set(found[:100_000].flatten().tolist() if isinstance(found, Tensor) else found)


# --- data ------------------------------------------------------------------------------------------------------------


@rule
def batches(watch: Watch) -> Iterator[Finding]:
    """Batches that come again, and whose parts have different sizes."""
    for one in watch.passes:
        sampler = one.loader.sampler
        replaced = isinstance(sampler, WeightedRandomSampler) or getattr(sampler, "replacement", False)
        seen = Counter(batch for batch in one.prints if len(set(batch)) > 1)
        again = sum(count - 1 for count in seen.values())
        drawn = one.loader.num_workers > 0 or isinstance(sampler, RandomSampler)
        rich = len({row for batch in one.prints for row in batch}) > 4 * max(map(len, one.prints), default=0)
        if again >= max(2, len(one.prints) // 4) and rich and drawn and not replaced and one.trained:
            text = f"{again} of {len(one.prints)} batches of one epoch repeat another to the last bit"
            advice = "workers may draw the same random numbers: seed each by worker_init_fn, or use torch's generator"
            yield wrong("repeated-batches", "", text, advice)
            break
        mixed = [sizes for sizes in one.sizes if 1 in sizes and max(sizes) > 1]
        if one.trained and len(mixed) == len(one.sizes) >= FEW and len(one.single) > 1:  # a mask would stay the same
            sizes = " and ".join(map(str, mixed[0]))
            text = f"a batch's tensors have {sizes} rows: the one row is used for all samples"
            advice = "look at collate_fn or the preprocessing: each sample needs its own row"
            yield wrong("batch-sizes", "", text, advice)
            break
    ones = [one for one in watch.passes if one.count == 1 and one.trained and one.prints]
    if len(ones) >= 2 * FEW and len({one.prints[0] for one in ones}) == 1 and len(ones[0].loader) > 1:
        text = f"{len(ones)} steps used the same first batch: next(iter(loader)) starts anew each time"
        yield wrong("same-batch", "", text, "iterate over the loader, or make the iterator once")


@rule
def leakage(watch: Watch) -> Iterator[Finding]:
    """Samples of the evaluation that are trained on."""
    tests = {id(event.data.loader): event.data.loader for event in evaluations(watch)}
    checks = [one for one in tests.values() if one is not None and not one.trained]
    learnt = [one for one in watch.passes if one.trained]
    clean, findings = False, []
    for one in {id(check.loader.dataset): check for check in checks}.values():
        same = [other for other in learnt if other.models & one.models]  # not another fold's
        shares = [_overlap(one.loader.dataset, other.loader.dataset) for other in same]
        shared, size = max(shares, default=(0, 0))
        clean |= bool(size) and not shared
        if shared and not any(one.loader.dataset is other.loader.dataset for other in same):
            text = f"{shared} of {size} samples of the evaluation are among those that are trained on"
            findings.append(wrong("validation-in-training", "", text, "split once, and train on one part alone"))
        elif shared:
            findings.append(
                note("metric-on-training-data", "", "the evaluation runs over the training data", "keep a part back")
            )
    if not clean:
        yield from findings[:1]


def _overlap(test: Any, train: Any) -> tuple[int, int]:
    """How many samples two sets share, and how many the first has; (0, 0) if that cannot be seen."""
    (base, mine), (other, theirs) = _parts(test), _parts(train)
    if base is other:
        return len(mine & theirs), len(mine)
    pair = [getattr(data, "tensors", [None])[0] for data in (base, other)]
    if any(x is None or len(x) > 20_000 for x in pair):
        return 0, 0
    rows = [[p for start in range(0, len(x), 256) for p in fingerprint(x[start : start + 256])] for x in pair]
    first, second = [rows[0][i] for i in mine], {rows[1][i] for i in theirs}
    if len(set(first)) < 0.9 * len(first) or len(first) < 10:
        return 0, 0  # samples that are equal by nature
    shared = sum(row in second for row in first)
    return (shared, len(first)) if shared > 0.01 * len(first) else (0, len(first))


def _parts(data: Any) -> tuple[Any, set[int]]:
    chosen = range(len(data)) if hasattr(data, "__len__") else []
    while isinstance(data, Subset):
        chosen, data = [data.indices[i] for i in chosen], data.dataset
    return data, set(chosen)


@rule
def inputs(watch: Watch) -> Iterator[Finding]:
    """The scale of what enters the first layer, in training and beside the evaluation."""
    forwards = [event for event in watch.of("forward") if event.data.first]
    trained = [event for event in forwards if event.data.trained]
    if bad := [event for event in forwards if not event.data.first["finite"]]:
        yield wrong(
            "input-not-finite", bad[0].where, "the input holds NaN or inf", "look at the data: torch.isfinite(x).all()"
        )
        return
    if not trained:
        return
    size = median(math.hypot(e.data.first["mean"], e.data.first["std"]) for e in trained)
    low, high = min(e.data.first["low"] for e in trained), max(e.data.first["high"] for e in trained)
    if size > LARGISH_INPUT:
        text = f"what enters the first layer reaches from {low:.3g} to {high:.3g}, {size:.3g} on average, not 1"
        advice = "normalise: subtract the mean and divide by the standard deviation of the training data"
        yield wrong("inputs-not-normalised", trained[0].where, text, advice, WRONG if size > LARGE_INPUT else NOTE)
    tests = [e for e in evaluations(watch) if e.data.first and e.data.module is trained[0].data.module]
    tests = [event for event in tests if event.data.first["count"] >= 20 and event.data.first["std"] > 0]
    if tests:
        theirs = median(math.hypot(e.data.first["mean"], e.data.first["std"]) for e in tests)
        if not 0.1 < theirs / max(size, 1e-30) < 10:
            text = f"inputs of the evaluation are {theirs:.3g} on average, those of training {size:.3g}"
            yield wrong("scale-mismatch", tests[0].where, text, "prepare both in the same way")


# --- values ----------------------------------------------------------------------------------------------------------


@rule
def finiteness(watch: Watch) -> Iterator[Finding]:
    """NaN and inf, and where they were born."""
    bad = [number for number, loss in enumerate(_losses(watch), start=1) if not math.isfinite(loss)]
    norms = [event for event in watch.of("step") if not math.isfinite(event.data.norm)]
    if not bad and not norms:
        return
    what = (
        f"the loss is NaN or infinite from backward {bad[0]} on"
        if bad
        else "gradients are NaN or infinite, the loss is not"
    )
    first = watch.of("backward")[bad[0] - 1].step if bad else 0
    born = sorted(watch.not_finite.items(), key=lambda item: (item[1] != first, item[1]))
    (name, where), step = born[0] if born else (("", ""), 0)
    text = what + (f"; the first such value came out of {name} at step {step + 1}" if name and bad else "")
    advice = (
        "a logarithm, exponential, root or division: F.cross_entropy, log_softmax, or an eps within; else a "
        " smaller learning rate or normalised inputs"
    )
    yield wrong("not-finite", where if bad else norms[0].where, text, advice)


@rule
def outputs(watch: Watch) -> Iterator[Finding]:
    """The same answer for every sample, dead units, weights that stay alike."""
    trained = [event for event in watch.of("forward") if event.data.trained and event.data.spread is not None]
    for key in dict.fromkeys(id(event.data.module) for event in trained):
        own = [event for event in trained if id(event.data.module) == key]
        if len(own) >= FEW and all(event.data.spread < 1e-6 for event in own):
            text = f"the network gives every sample of a batch the same output, in all {len(own)} forwards"
            yield wrong(
                "constant-output",
                own[0].where,
                text,
                "look for an activation, a layer or a reduction that loses the input",
            )
    for units in watch.units.values():
        dead, total = int((~units.alive).sum()), len(units.alive)
        if units.calls >= FEW and total > 1 and dead >= DEAD * total:
            text = f"{dead} of {total} units of a ReLU give 0 for every sample: they no longer learn"
            yield wrong(
                "dead-relu", units.where, text, "a smaller learning rate, normalised inputs, the layers' default start"
            )
    for one in watch.held.values():
        weight = one.tensor.detach()
        layer = weight.ndim > 1 and type(one.module).__name__.startswith(("Linear", "Conv"))
        if layer and one.steps >= FEW and one.reached and len(weight) > 1 and (weight == weight[:1]).all():
            text = f"all units of {one.name} have the same weights, and keep them: they learn the same"
            yield wrong("equal-weights", "", text, "start from random weights (the layers' default)")


@rule
def progress(watch: Watch) -> Iterator[Finding]:
    """Whether it learns at all."""
    losses = [loss for loss in _losses(watch) if math.isfinite(loss)]
    steps = watch.of("step")
    many = len(losses) >= 4 * FEW and len({id(event.data.optimizer) for event in steps}) == 1
    if many and mean(losses[-2 * FEW :]) >= 0.995 * mean(losses[: 2 * FEW]) > 0:
        text = f"the loss does not fall: {mean(losses[: 2 * FEW]):.4g} in the first {2 * FEW} backwards, "
        text += f"{mean(losses[-2 * FEW :]):.4g} in the last"
        yield note("loss-does-not-fall", "", text, "train on one batch alone: it must be learnt by heart (lesson 22)")
