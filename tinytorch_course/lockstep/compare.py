"""Two implementations, one training run: from scratch and torch in lock-step, compared tensor by tensor.

Same first weights, same batches, same dropout masks. In float64 the two stay together for as long as anyone looks; in
float32 they part after some steps, as torch parts from itself when it is given another number of threads.
"""

import contextlib
import copy
import dataclasses
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tinytorch_course import scratch
from tinytorch_course.errors import InputError
from tinytorch_course.instruments.memory import peak_memory
from tinytorch_course.instruments.recording import (
    KINDS,
    KINKED,
    Quantity,
    Tensors,
    scratch_state,
    torch_state,
    watch_scratch,
    watch_torch,
)
from tinytorch_course.lockstep.inject import Injection
from tinytorch_course.lockstep.source import Makers, Source, source_of_schedule, source_of_step
from tinytorch_course.lockstep.ties import Ties, find_ties
from tinytorch_course.lockstep.timeline import (
    Distance,
    Entry,
    Timeline,
    beyond_rounding,
    distance,
    is_shown,
    largest_error,
    spell,
    worst_entry,
)
from tinytorch_course.models import Model
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import Learner, Rates, ScratchLearner, TorchLearner, make_schedule, of_kind
from tinytorch_course.training.metrics import Metrics
from tinytorch_course.training.setup import Setup

if TYPE_CHECKING:
    from tinytorch_course.lockstep.display import PlainDisplay

IMPLS = ("scratch", "torch")
ROUNDING = {"float64": 1e-12, "float32": 1e-4}  # up to this relative error two tensors differ by rounding alone


class ComparedStep(NamedTuple):
    """One step, in numbers."""

    step: int  # from 1
    losses: dict[str, float]  # by implementation
    gradients: Distance  # the largest over all parameters' gradients
    parameters: Distance  # the largest over all parameters
    seconds: dict[str, float]  # of the step alone, without what it takes to compare
    ties: Ties = Ties()  # counted where some were broken differently, else none
    handed_over: bool = False  # whether our optimizer was given torch's gradients, because rounding had grown

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "step": self.step,
            "loss": {impl: spell(loss) for impl, loss in self.losses.items()},
            "gradients": spell(self.gradients.error),
            "parameters": spell(self.parameters.error),
            "seconds": self.seconds,
            "ties": self.ties._asdict() if self.ties.differ else None,
            "handed_over": self.handed_over,
        }


class Divergence(NamedTuple):
    """The first tensor out of tolerance; without one, beyond what rounding can do in one step."""

    step: int
    quantity: Quantity
    distance: Distance
    entry: Entry  # in which the two differ most
    source: Source  # the line of the from-scratch code that made it

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "step": self.step,
            "kind": self.quantity.kind,
            "name": self.quantity.name,
            "relative_error": spell(self.distance.error),
            "index": list(self.entry.place),
            "scratch": spell(self.entry.ours),
            "torch": spell(self.entry.twin),
            "source": self.source._asdict(),
        }


@dataclasses.dataclass(frozen=True)
class FinalScores:
    """Both networks on the test images, at the end."""

    accuracies: dict[str, float]
    different: int  # predictions that differ
    count: int


@dataclasses.dataclass
class Comparison:
    """What a comparison came to."""

    config: TrainConfig
    device: str
    tolerance: float | None
    injection: Injection | None
    timeline: Timeline
    rows: list[ComparedStep]
    divergence: Divergence | None
    memory: dict[str, int | None]  # bytes at the peak of one step
    test: FinalScores | None  # None after a divergence

    def seconds(self) -> dict[str, float]:
        """The median time of a step; the first, which warms up, does not count if there are others."""
        rows = self.rows[1:] or self.rows
        return {impl: statistics.median(row.seconds[impl] for row in rows) for impl in IMPLS}

    def ties(self) -> Ties:
        """All ties of the steps in which some were broken differently."""
        return reduce(Ties.plus, (row.ties for row in self.rows), Ties())

    def handed_over(self) -> int:
        """In how many steps our optimizer was given torch's gradients."""
        return sum(row.handed_over for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the timeline."""
        return {
            "config": {name: value for name, value in self.config.to_dict().items() if name != "impl"},
            "device": self.device,
            "tolerance": self.tolerance,
            "injected": self.injection and self.injection.name,
            "steps": len(self.rows),
            "divergence": self.divergence and self.divergence.to_dict(),
            "largest_errors": {
                kind: spell(found[2].error) for kind in KINDS if (found := self.timeline.largest([kind])) is not None
            },
            "ties": {"steps": sum(row.ties.differ for row in self.rows), **self.ties()._asdict()},
            "steps_handed_over": self.handed_over(),
            "seconds_per_step": self.seconds(),
            "peak_memory_bytes": self.memory,
            "test": self.test and dataclasses.asdict(self.test),
            "rows": [row.to_dict() for row in self.rows],
        }


class SeedRun(NamedTuple):
    """The accuracy on the test images that both implementations reached from one seed."""

    seed: int
    accuracies: dict[str, float]

    @property
    def difference(self) -> float:
        """Scratch − torch."""
        return self.accuracies["scratch"] - self.accuracies["torch"]


@dataclasses.dataclass
class SeedComparison:
    """Final accuracies over several seeds."""

    config: TrainConfig
    device: str
    injection: Injection | None
    steps: int
    test_count: int
    runs: list[SeedRun]

    def mean(self, impl: str) -> float:
        """Of one implementation's accuracies."""
        return statistics.mean(run.accuracies[impl] for run in self.runs)

    def deviation(self, impl: str) -> float:
        """The standard deviation of one implementation's accuracies."""
        return statistics.stdev(run.accuracies[impl] for run in self.runs)

    @property
    def difference(self) -> float:
        """The mean of scratch − torch over the seeds."""
        return statistics.mean(run.difference for run in self.runs)

    @property
    def standard_error(self) -> float:
        """Of the difference. The runs of one seed share start and batches, so they are compared pair by pair."""
        return statistics.stdev(run.difference for run in self.runs) / math.sqrt(len(self.runs))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "config": {name: value for name, value in self.config.to_dict().items() if name not in ("impl", "seed")},
            "device": self.device,
            "injected": self.injection and self.injection.name,
            "steps": self.steps,
            "test_images": self.test_count,
            "runs": [{"seed": run.seed, **run.accuracies} for run in self.runs],
            "mean": {impl: self.mean(impl) for impl in IMPLS},
            "standard_deviation": {impl: self.deviation(impl) for impl in IMPLS},
            "difference": self.difference,
            "standard_error": self.standard_error,
        }


class QuietDisplay:
    """In place of one of ``lockstep.display``: shows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **keywords: None


QUIET = QuietDisplay()


def compare(
    config: TrainConfig,
    *,
    steps: int | None = None,
    tolerance: float | None = None,
    injection: Injection | None = None,
    display: "PlainDisplay | QuietDisplay" = QUIET,
    model: Model | None = None,
) -> Comparison:
    """Train both implementations side by side, and stop at the first tensor out of ``tolerance``.

    Args:
        config: the run; its ``impl`` does not matter.
        steps: how many. None: ``config.epochs`` epochs.
        tolerance: the largest relative error allowed (see ``Distance``). None: any that float32's rounding can come to;
            in steps 1, 2, 3, 5, 10, ... ours also takes one step from torch's numbers, which must be torch's step.
        injection: a mistake to plant in the from-scratch path.
        display: see ``lockstep.display``; without one nothing is shown.
        model: the network. None: the one that ``config`` names.

    Raises:
        InputError: if the data, the device or the batch size cannot be used.
    """
    with scratch.tuned.using(config.ops), _injected(injection):
        setup = PairSetup(Setup.of(dataclasses.replace(config, impl="scratch"), display.notice, model), steps)
        memory = {impl: peak_memory(*setup.rehearsal(impl), setup.device) for impl in IMPLS}
        pair = _Pair(setup, injection)
        display.start(setup, pair.learners["torch"].parameter_count(), injection)
        timeline, rows, divergence = Timeline(), [], None
        for batch in setup.batches():
            last = batch.step == setup.steps - 1
            evaluate = batch.step == 0 or last or batch.number == setup.run.steps_per_epoch - 1
            row, distances, divergence = pair.step(batch, tolerance, evaluate=evaluate)
            timeline.steps.append(distances)
            rows.append(row)
            display.row(row, last=last or divergence is not None)
            _require_finite(row.losses["torch"], batch.step, setup.config)
            if divergence is not None:
                break
        test = None if divergence else setup.test(pair.learners)
    return Comparison(setup.config, str(setup.device), tolerance, injection, timeline, rows, divergence, memory, test)


def compare_seeds(
    config: TrainConfig,
    count: int,
    *,
    steps: int | None = None,
    injection: Injection | None = None,
    display: "PlainDisplay | QuietDisplay" = QUIET,
) -> SeedComparison:
    """Train both from each of ``count`` seeds, ``config.seed`` and those after it, and compare their test accuracies.

    Args and Raises: as :func:`compare`.
    """
    runs: list[SeedRun] = []
    with scratch.tuned.using(config.ops), _injected(injection):
        run = Setup.of(dataclasses.replace(config, impl="scratch"), display.notice)
        for seed in range(config.seed, config.seed + count):
            setup = PairSetup(run.changed(seed=seed), steps)
            learners = {impl: setup.learner(impl) for impl in IMPLS}
            if not runs:
                display.start_seeds(setup, learners["torch"].parameter_count(), count, injection)
            _alter(injection, learners["scratch"])
            schedules = {impl: setup.schedule(impl) for impl in IMPLS}
            for batch in setup.batches():
                for impl, learner in learners.items():
                    rates = schedules[impl](batch.step)
                    loss, _ = learner.train_step(batch.x, batch.y, setup.run.masks(batch.epoch, batch.number), rates)
                _require_finite(loss.item(), batch.step, setup.config)
                display.seed_step(len(runs), batch.step + 1)
            test = setup.test(learners)
            runs.append(SeedRun(seed, test.accuracies))
            display.seed_row(runs[-1])
    return SeedComparison(setup.config, str(setup.device), injection, setup.steps, test.count, runs)


class Batch(NamedTuple):
    """What a step is made of; all counted from 0."""

    step: int
    epoch: int
    number: int  # in its epoch
    x: Tensor
    y: Tensor


class PairSetup:
    """What both sides share: settings, data, device, batches, masks.

    Args:
        run: the run that both train.
        steps: how many. None: as many as the run has.
    """

    def __init__(self, run: Setup, steps: int | None) -> None:
        self.run, self.config, self.device, self.dataset = run, run.config, run.device, run.dataset
        self.steps = run.epochs * run.steps_per_epoch if steps is None else steps
        # A schedule spans the run: so many steps, or so many epochs.
        self._lengths = (run.steps_per_epoch, run.epochs) if steps is None else (steps, 1)

    def learner(self, impl: str) -> Learner:
        """A new one, with the first parameters that both have."""
        return self.run.changed(impl=impl).make_learner()

    def schedule(self, impl: str) -> Callable[[int], Rates]:
        """That of one implementation."""
        return make_schedule(dataclasses.replace(self.config, impl=impl), *self._lengths)

    def batches(self) -> Iterator[Batch]:
        """Those of `tinytorch train`, as many as there are steps."""
        batches = (
            (epoch, number, x, y)
            for epoch in itertools.count()
            for number, (x, y) in enumerate(self.run.training_batches(epoch))
        )
        for step, batch in zip(range(self.steps), batches, strict=False):
            yield Batch(step, *batch)

    def rehearsal(self, impl: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
        """A step on a learner of its own that warms up, and another one to be measured."""
        learner, schedule = self.learner(impl), self.schedule(impl)
        first = next(self.batches())

        def step() -> None:
            learner.train_step(first.x, first.y, self.run.masks(0, 0), schedule(0))

        def warm_up() -> None:
            step()
            if isinstance(learner, TorchLearner):
                learner.optimizer.zero_grad()  # or the step would give back gradients that it never took

        return warm_up, step

    def test(self, learners: dict[str, Learner]) -> FinalScores:
        """Both networks on the test images."""
        metrics = {impl: Metrics() for impl in IMPLS}
        different = 0
        for x, y in self.run.evaluation_batches(self.dataset.test):
            logits = {}
            for impl, learner in learners.items():
                loss, logits[impl] = learner.evaluate(x, y)
                metrics[impl].add(loss, logits[impl], y)
            different += int((logits["scratch"].argmax(dim=1) != logits["torch"].argmax(dim=1)).sum())
        accuracies = {impl: each.accuracy for impl, each in metrics.items()}
        return FinalScores(accuracies, different, metrics["torch"].count)


class _Trained(NamedTuple):
    """What a step of one side came to."""

    tensors: Tensors
    inputs: dict[str, Tensor]  # as a recorder has them
    loss: float
    seconds: float


class _Pair:
    """Both learners, and recorders that look into them."""

    def __init__(self, setup: PairSetup, injection: Injection | None) -> None:
        self.setup = setup
        self.ours = of_kind(setup.learner("scratch"), ScratchLearner)
        self.twin = of_kind(setup.learner("torch"), TorchLearner)
        self.learners: dict[str, Learner] = {"scratch": self.ours, "torch": self.twin}
        self.schedules = {impl: setup.schedule(impl) for impl in IMPLS}
        self.recorders = {"scratch": watch_scratch(self.ours), "torch": watch_torch(self.twin)}
        _alter(injection, self.ours)

    def step(
        self, batch: Batch, tolerance: float | None, *, evaluate: bool
    ) -> tuple[ComparedStep, dict[Quantity, Distance], Divergence | None]:
        """One step of both, compared; the divergence is the first tensor out of tolerance."""
        before = self._held()
        looked_at = tolerance is None and (evaluate or is_shown(batch.step + 1))
        torchs = copy.deepcopy((self.twin.state_dict(), self.twin.optimizer_state())) if looked_at else None
        self.recorders["scratch"].given_inputs = {}
        trained = {impl: self._train(impl, batch) for impl in IMPLS}
        ours, twin = (trained[impl].tensors for impl in IMPLS)
        repeat = partial(self._repeat, before, batch, ours)
        ties = self._settle_ties(ours, twin, tolerance, repeat)
        handed_over = tolerance is not None and self._hand_over(ours, twin, tolerance, repeat)
        if evaluate:
            ours |= self._evaluate("scratch", batch)
            twin |= self._evaluate("torch", batch)
        distances = self._distances(ours, twin)
        gradients, parameters = (largest_error(distances, kind) for kind in ("gradient", "parameter"))
        losses = {impl: trained[impl].loss for impl in IMPLS}
        seconds = {impl: trained[impl].seconds for impl in IMPLS}
        row = ComparedStep(batch.step + 1, losses, gradients, parameters, seconds, ties, handed_over)
        if tolerance is None:
            return row, distances, torchs and self._beyond_rounding(torchs, batch, trained["torch"], evaluate)
        out = (each for each in Timeline([distances]).quantities() if not distances[each].error <= tolerance)
        first = next(out, None)
        return row, distances, first and self._divergence(first, ours, twin, before, batch)

    def _divergence(
        self, first: Quantity, ours: Tensors, twin: Tensors, before: tuple[Any, ...], batch: Batch
    ) -> Divergence:
        apart, entry = distance(ours[first], twin[first]), worst_entry(ours[first], twin[first])
        return Divergence(batch.step + 1, first, apart, entry, self._source(first, before, batch))

    def _beyond_rounding(
        self, torchs: tuple[dict[str, Tensor], dict[str, Any]], batch: Batch, twin: _Trained, evaluate: bool
    ) -> Divergence | None:
        """In float32 the paths part; but one step from torch's own numbers must be torch's step, but for rounding.

        Ours takes it from the state that torch had, on torch's side of every kink, and moves by torch's gradients.
        """
        after, recorder = self._held(), self.recorders["scratch"]
        self.ours.load_state_dict(torchs[0])
        self.ours.load_optimizer_state(torchs[1])
        before = self._held()
        recorder.given_inputs = {name: twin.inputs[name] for name in self._kinked()}
        recorder.given_gradients = self._torchs_gradients()
        ours = self._train("scratch", batch).tensors
        if evaluate:
            ours |= self._evaluate("scratch", batch)
        first = beyond_rounding(ours, twin.tensors, before[0])
        divergence = first and self._divergence(first, ours, twin.tensors, before, batch)
        self._give_back(after)
        recorder.given_inputs, recorder.given_gradients = {}, {}
        return divergence

    def _kinked(self) -> dict[str, nn.Module]:
        return {name: module for name, module in self.twin.net.named_modules() if isinstance(module, KINKED)}

    def _torchs_gradients(self) -> dict[str, Tensor]:
        grads = {name: param.grad for name, param in self.twin.net.named_parameters()}
        return {name: grad for name, grad in grads.items() if grad is not None}

    def _held(self) -> tuple[Any, ...]:
        """What our learner has learned, to be given back to it later."""
        return self.ours.params, self.ours.state, self.ours.opt_state

    def _give_back(self, held: tuple[Any, ...]) -> None:
        self.ours.params, self.ours.state, self.ours.opt_state = held

    def _settle_ties(self, ours: Tensors, twin: Tensors, tolerance: float | None, repeat: Callable[..., None]) -> Ties:
        """Where the two broke ties differently, and so got other gradients, take ours at torch's own numbers.

        Both are right, and at the same numbers both must choose the same: the step is repeated with relu and max
        pooling differentiated at what entered torch's. What arrives in a pooling window in all does not depend on who
        won, so that the parameters have to agree as they were. Only where a relu took another side may they differ
        too: there ours goes on from the repeated step.
        """
        limit = ROUNDING[self.setup.config.dtype] if tolerance is None else tolerance
        if self._within(limit, self._distances(ours, twin), "output gradient", "gradient", "update gradient"):
            return Ties()
        kinked = self._kinked()
        our_inputs, twin_inputs = (self.recorders[impl].inputs for impl in IMPLS)
        if not all(distance(our_inputs[name], twin_inputs[name]).error <= limit for name in kinked):
            return Ties()  # they differ by more than rounding
        ties = find_ties(kinked, our_inputs, twin_inputs)
        if ties.differ:
            self.recorders["scratch"].given_inputs = {name: twin_inputs[name] for name in kinked}
            repeat(None if ties.other_side else ("output gradient",))
        return ties

    def _hand_over(self, ours: Tensors, twin: Tensors, tolerance: float, repeat: Callable[..., None]) -> bool:
        """Where the two make other steps of gradients that agree, let ours be made of torch's gradients.

        Adam divides a gradient by its own size: where that is nothing but rounding, two right gradients that are
        1e-13 apart move a parameter 1e-8 apart. Of the same gradients both must make the same step.
        """
        distances = self._distances(ours, twin)
        kinds = [kind for kind in KINDS if kind != "parameter"]
        if self._within(tolerance / 10, distances, "parameter") or not self._within(tolerance, distances, *kinds):
            return False
        self.recorders["scratch"].given_gradients = self._torchs_gradients()
        repeat(("parameter", "moment"), go_on=True)
        return True

    def _repeat(
        self, before: tuple[Any, ...], batch: Batch, ours: Tensors, keep: tuple[str, ...] | None, go_on: bool = False
    ) -> None:
        """Our step once more, with what the recorder has been given; ``keep`` are the kinds of tensors to take from it.

        None keeps all of them. Ours then goes on from it, as with ``go_on``.
        """
        after = self._held()
        self._give_back(before)
        repeated = self._train("scratch", batch).tensors
        if keep is not None and not go_on:
            self._give_back(after)
        self.recorders["scratch"].given_gradients = {}
        ours |= {quantity: tensor for quantity, tensor in repeated.items() if keep is None or quantity.kind in keep}

    @staticmethod
    def _within(limit: float, distances: dict[Quantity, Distance], *kinds: str) -> bool:
        return all(each.error <= limit for quantity, each in distances.items() if quantity.kind in kinds)

    def _train(self, impl: str, batch: Batch) -> _Trained:
        """One step of one side."""
        recorder, masks = self.recorders[impl], self.setup.run.masks(batch.epoch, batch.number)
        recorder.start()
        rates = self.schedules[impl](batch.step)
        self._wait()
        began = time.perf_counter()
        loss, _ = self.learners[impl].train_step(batch.x, batch.y, masks, rates)
        self._wait()
        seconds = time.perf_counter() - began
        tensors = recorder.tensors
        tensors[Quantity("loss", "")] = loss
        tensors |= {Quantity("rate", name): torch.tensor(rate, dtype=torch.float64) for name, rate in rates.items()}
        tensors |= scratch_state(self.ours) if impl == "scratch" else torch_state(self.twin)
        return _Trained(tensors, recorder.inputs, loss.item(), seconds)

    def _evaluate(self, impl: str, batch: Batch) -> Tensors:
        recorder = self.recorders[impl]
        recorder.start()
        self.learners[impl].evaluate(batch.x, batch.y)
        return {Quantity("evaluation", name): tensor for (_, name), tensor in recorder.tensors.items()}

    def _distances(self, ours: Tensors, twin: Tensors) -> dict[Quantity, Distance]:
        for quantity in ours:  # torch's are recorded before clipping only, because after it they are still there
            grad = self.twin.net.get_parameter(quantity.name).grad if quantity.kind == "update gradient" else None
            if grad is not None:
                twin[quantity] = grad
        if ours.keys() != twin.keys():
            raise RuntimeError(f"only one implementation computed {sorted(map(str, ours.keys() ^ twin.keys()))}")
        return {quantity: distance(tensor, twin[quantity]) for quantity, tensor in ours.items()}

    def _source(self, quantity: Quantity, before: tuple[Any, ...], batch: Batch) -> Source:
        """The line that made our tensor, found by making it once more under a profiler."""
        if quantity.kind == "rate":
            return source_of_schedule(self.setup.config.schedule.replace("-", "_"))
        with Makers(self.recorders["scratch"]) as makers:
            if quantity.kind == "evaluation":
                self._evaluate("scratch", batch)
                return makers.source_of(Quantity("activation", quantity.name)) or source_of_step()
            self._give_back(before)
            tensors = self._train("scratch", batch).tensors
        return makers.source_of(quantity, tensors[quantity]) or source_of_step()

    def _wait(self) -> None:
        """A CUDA device works on while Python goes ahead; a clock is to be read only when it is done."""
        if self.setup.device.type == "cuda":
            torch.cuda.synchronize(self.setup.device)


def _require_finite(loss: float, step: int, config: TrainConfig) -> None:
    """The twin's loss: where it is lost itself, there is nothing to compare with."""
    if not math.isfinite(loss):
        raise InputError(
            f"training diverged: torch's loss is {loss} in step {step + 1}; try a smaller --lr than {config.lr:g}"
        )


def _injected(injection: Injection | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if injection is None else injection.active()


def _alter(injection: Injection | None, learner: Learner) -> None:
    if injection is not None:
        injection.alter(learner)
