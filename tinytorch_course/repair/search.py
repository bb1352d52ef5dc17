"""The search: the cheapest edits first, one, then one for each wrong gradient, then two that help each other."""

import ast
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from tinytorch_course.checking.evidence import Quantity
from tinytorch_course.repair.edits import Edit, Surroundings, inserting_edits, plain_edits
from tinytorch_course.repair.relevance import relevant_functions, relevant_statements
from tinytorch_course.repair.sandbox import OutOfBounds, candidate
from tinytorch_course.repair.scope import short_calls
from tinytorch_course.repair.source import Program, patched
from tinytorch_course.repair.truth import NOTHING, Verdict

FIRST = 1.45  # plain edits up to this cost are tried before any that inserts something
TIES = 0.35  # how much more another edit may cost to be looked at beside the first that holds
SEARCHED = 4  # probes that the search sees
BEAM = 24  # edits that help, from which pairs are made


class Probe(Protocol):
    """See ``truth.py``."""

    name: str
    quantities: frozenset[Quantity]
    optional: bool  # whether code that is right may fail on it

    @property
    def size(self) -> int:
        """How many numbers go in: the more, the slower."""

    def judge(self, *, rerun: bool, only_forward: bool = False, twice: bool = False) -> Verdict:
        """Run the program; None if it raises."""

    def forget(self) -> None:
        """Let go of what was kept from one candidate to the next."""


@dataclass
class Subject:
    """What is to be repaired."""

    forward: list[Any]  # functions or classes of the learner's, from which all others are found
    backward: list[Any]
    folder: Path
    probes: Callable[[int], Sequence[Probe]]  # for a seed
    label: Callable[[Quantity], str] = str
    defaults: dict[str, Any] = field(default_factory=dict)  # that torch has for arguments, by name


@dataclass
class Found:
    """Edits that hold on every probe."""

    edits: list[Edit]
    quantities: frozenset[Quantity]  # that they make right
    rest: frozenset[Quantity] = frozenset()  # what is still wrong
    others: list[list[Edit]] = field(default_factory=list)  # that hold as well
    spared: bool = False  # whether inputs on which forward itself is wrong were left out
    narrow: bool = False  # whether it holds for the shapes that were asked for alone


class Search:
    """One search, until something holds or the budget is spent."""

    def __init__(
        self, subject: Subject, budget: float, progress: Callable[[float, int], None] = lambda part, tried: None
    ):
        self.subject, self.budget, self.progress = subject, budget, progress
        self.start = self.wall = 0.0
        self.tried = self._next_look = 0
        self._over = False
        self.before: dict[int, Verdict] = {}  # of each probe, with what holds already
        self.twice = False  # whether it is a second call of backward that is wrong
        self.base: list[Edit] = []  # what holds already: the forward's repair
        self.program = Program(subject.forward, subject.backward, subject.folder)
        self.fresh: dict[int, list[Probe]] = {}

    # --- time ---

    @property
    def spent(self) -> float:
        """Seconds of work; on a machine that is shared, a quarter of those on the clock at least."""
        return max(time.process_time() - self.start, (time.monotonic() - self.wall) / 4)

    def _in_time(self) -> bool:
        if self.tried >= self._next_look:  # to ask for the time is dear beside a candidate
            self._next_look = self.tried + 32
            self._over = self.spent >= self.budget
            self.progress(min(1.0, self.spent / self.budget), self.tried)
        return not self._over

    # --- the whole ---

    def run(self) -> Found | None:
        """The search; None if nothing was found in time."""
        with self.program.observed():
            probes = self._working(self.subject.probes(0))
        self.start, self.wall = time.process_time(), time.monotonic()  # what torch loads at first is not counted
        self.fresh[0] = probes
        if not probes or not list(self.program):
            return None
        wrong = self._wrong(probes)
        if not wrong:
            return self._twice_wrong(probes)
        if not any(isinstance(quantity, str) for quantity in wrong):
            return self._repair(probes, wrong, only_forward=False)
        good = [p for p in probes if {q for q in p.quantities if isinstance(q, str)} <= self.before[id(p)].right]
        if self._wrong(good):  # forward is wrong only here and there: the backward's mistake stands by itself
            found = self._repair(good, self._wrong(good), only_forward=False)
            return found and replace(found, spared=True)
        return self._repair_forward(probes, frozenset(q for q in wrong if isinstance(q, str)))

    def _repair_forward(self, probes: list[Probe], wrong: frozenset[Quantity]) -> Found | None:
        """The forward by itself; then the backward, if it is still wrong."""
        found = self._repair(probes, wrong, only_forward=True)
        if found is None or found.rest:
            return found
        self.base = found.edits
        for probe in probes:
            probe.forget()
        wrong = self._wrong(probes)
        if not wrong:
            return Found(found.edits, self._all(probes), others=found.others)
        behind = self._repair(probes, wrong, only_forward=False)
        if behind is None:
            return Found(found.edits, found.quantities, wrong, found.others)
        return Found(found.edits + behind.edits, found.quantities | behind.quantities, behind.rest)

    def _working(self, probes: Sequence[Probe]) -> list[Probe]:
        """Those on which the code runs, each with the seconds that it took."""
        self.seconds: dict[int, float] = {}
        working: list[Probe] = []
        failing: list[Probe] = []
        for probe in probes:
            begin = time.perf_counter()
            verdict = self._judge(probe, [])
            self.seconds[id(probe)] = time.perf_counter() - begin
            (failing if verdict is None else working).append(probe)
        return working or failing

    def _wrong(self, probes: list[Probe]) -> frozenset[Quantity]:
        found: set[Quantity] = set()
        for probe in probes:
            verdict = self._judge(probe, [])
            if verdict is None:  # backward raises, or forward does
                verdict = self._judge(probe, [], only_forward=True) or NOTHING
            self.before[id(probe)] = verdict
            if not probe.optional:
                found |= probe.quantities - verdict.right
        return frozenset(found)

    @staticmethod
    def _all(probes: list[Probe]) -> frozenset[Quantity]:
        return frozenset().union(*(probe.quantities for probe in probes))

    def _twice_wrong(self, probes: list[Probe]) -> Found | None:
        """All is right the first time: then it is a second call that is not."""
        self.twice = True
        must = [probe for probe in probes if not probe.optional]
        bad = [p for p in must if not (self._judge(p, [], twice=True) or NOTHING).right >= p.quantities]
        if not bad:
            return None
        self.before = {id(p): NOTHING for p in probes}
        return self._one_edit(self._shown(probes, self._all(bad)), probes, self._all(bad), only_forward=False)[0]

    # --- one quantity or several ---

    def _repair(self, probes: list[Probe], wrong: frozenset[Quantity], *, only_forward: bool) -> Found | None:
        shown = self._shown(probes, wrong)
        found, partial, helping = self._one_edit(shown, probes, wrong, only_forward=only_forward)
        if found is None and len(wrong) > 1 and partial:
            found = self._one_by_one(shown, probes, wrong, partial, only_forward=only_forward)
        if found is None or found.rest:
            pair = self._pairs(shown, probes, wrong, helping, only_forward=only_forward)
            found = pair or found
        return found

    def _shown(self, probes: list[Probe], wrong: frozenset[Quantity]) -> list[Probe]:
        """The quickest probes that show what is wrong, between them all of it, and one on which all is right."""
        probes = [probe for probe in probes if not probe.optional]
        by_time = sorted(probes, key=lambda probe: self.seconds[id(probe)] * (1 + probe.size / 1000))
        bad = [p for p in by_time if (p.quantities - self.before[id(p)].right) & wrong]
        bad.sort(key=lambda p: -len((p.quantities - self.before[id(p)].right) & wrong))  # stable: quick ones first
        chosen: list[Probe] = []
        missing = set(wrong)
        for probe in bad:
            if missing & (probe.quantities - self.before[id(probe)].right):
                chosen.append(probe)
                missing -= probe.quantities - self.before[id(probe)].right
        chosen += [probe for probe in bad if probe not in chosen][: max(1, SEARCHED - len(chosen))]
        chosen += [probe for probe in by_time if probe not in bad][:1]
        return chosen

    def _one_edit(
        self, shown: list[Probe], probes: list[Probe], wrong: frozenset[Quantity], *, only_forward: bool
    ) -> tuple[Found | None, dict[Quantity, list[Edit]], list[tuple[Verdict, Edit]]]:
        """The best single edit; those that make one gradient right; those that help, with how much."""
        holding: list[Edit] = []
        narrow: list[Edit] = []  # that hold for the shapes that were asked for alone
        partial: dict[Quantity, list[Edit]] = {}
        helping: list[tuple[Verdict, Edit]] = []
        first = shown[0]
        asked = _asked(first, only_forward)
        before = self._judge(first, [], only_forward=only_forward) or NOTHING
        for edit in self._candidates(wrong, only_forward):
            enough = (holding and holding[0].cost + TIES) or (narrow and narrow[0].cost + 2 * TIES)
            if (enough and edit.cost > enough) or not self._in_time():
                break
            verdict = self._judge(first, [edit], only_forward=only_forward)
            if verdict is None:
                continue
            if verdict.right >= asked:
                if self._holds(shown[1:], [edit], only_forward=only_forward):
                    against = self._refuted(probes, [edit], only_forward=only_forward)
                    if against is None:
                        holding += [edit] if can_be_written([*self.base, edit]) else []
                    elif against.optional:
                        if self._survives(probes, [edit], only_forward=only_forward, strict=False):
                            narrow.append(edit)
                    else:
                        shown.append(against)  # so that the next of its kind costs less
                continue
            if verdict.right > before.right and not holding:
                for quantity in verdict.right - before.right:
                    if len(partial.setdefault(quantity, [])) < 6 and self._holds(
                        shown[1:], [edit], only_forward=only_forward, quantities=before.right | {quantity}
                    ):
                        partial[quantity].append(edit)
            if verdict.better_than(before):
                helping.append((verdict, edit))
        good = holding or narrow
        if good:
            others = [[edit] for edit in good[1:]]
            return Found([good[0]], wrong, others=others, narrow=not holding), partial, helping
        return None, partial, helping

    def _one_by_one(self, shown, probes, wrong, partial, *, only_forward) -> Found | None:
        """An edit for each wrong quantity."""
        chosen: list[Edit] = []
        repaired: set[Quantity] = set()
        for quantity in sorted(partial, key=str):
            kept = self._asked_of(probes, only_forward) - (wrong - repaired) | {quantity}
            for edit in partial[quantity]:
                if quantity in repaired or _overlap([*chosen, edit]):
                    continue
                if self._survives(probes, [*chosen, edit], only_forward=only_forward, quantities=kept):
                    chosen.append(edit)
                    repaired.add(quantity)
                    for other in wrong - repaired:  # the same edit may have done for more
                        if self._survives(probes, chosen, only_forward=only_forward, quantities=kept | {other}):
                            repaired.add(other)
        if not chosen:
            return None
        return Found(chosen, frozenset(repaired), frozenset(wrong - repaired))

    def _pairs(self, shown, probes, wrong, helping, *, only_forward) -> Found | None:
        """Two edits, the first of which helps."""
        first = shown[0]
        asked = _asked(first, only_forward)
        helping.sort(key=lambda pair: (-len(pair[0].right), -pair[0].score + 0.05 * pair[1].cost))
        seconds = list(self._candidates(wrong, only_forward, inserting=False))
        seconds += list(itertools.islice(self._candidates(wrong, only_forward, inserting=True), 1500))
        tops = [edit for _, edit in helping[:BEAM]]
        rest = sorted((edit for _, edit in helping[BEAM : 10 * BEAM]), key=lambda edit: edit.cost)[:BEAM]
        tops += [edit for edit in rest if edit not in tops]
        for block in _blocks(len(tops), len(seconds)):
            for i, j in block:
                if not self._in_time():
                    return None
                edits = [tops[i], seconds[j]]
                if _overlap(edits):
                    continue
                verdict = self._judge(first, edits, only_forward=only_forward)
                if verdict is None or not verdict.right >= asked:
                    continue
                if self._holds(shown[1:], edits, only_forward=only_forward):
                    against = self._refuted(probes, edits, only_forward=only_forward)
                    if against is None and can_be_written(self.base + edits):
                        return Found(edits, wrong)
                    shown += [] if against is None or against.optional else [against]
        return None

    # --- candidates ---

    def _candidates(self, wrong, only_forward: bool, inserting: bool = True) -> Iterator[Edit]:
        """The cheapest first."""
        arounds = self._surroundings(wrong, only_forward)
        plain = sorted((edit for around in arounds for edit in plain_edits(around)), key=lambda edit: edit.cost)
        yield from (edit for edit in plain if edit.cost <= FIRST)
        rest = [edit for edit in plain if edit.cost > FIRST]
        if inserting:
            rest += [edit for around in arounds for edit in inserting_edits(around)]
        yield from sorted(rest, key=lambda edit: edit.cost)

    def _surroundings(self, wrong, only_forward: bool) -> list[Surroundings]:
        numbers = sorted(q for q in wrong if isinstance(q, int))
        gradients = sorted(q for q in self._gradients if isinstance(q, int))
        places = [gradients.index(q) for q in numbers]
        kept = {
            one: relevant_statements(one, places, len(gradients))
            for one in self.program
            if not one.depth and one.backward and not one.forward
        }
        chosen = relevant_functions(self.program, kept)
        arounds, elsewhere = [], short_calls(list(self.program))
        for editable in self.program:
            if (only_forward and not editable.forward) or editable not in chosen:
                continue
            relevant = kept.get(editable, lambda statement: True)
            arounds.append(
                Surroundings(
                    editable,
                    relevant,
                    behind=not only_forward,
                    elsewhere=elsewhere,
                    defaults=self.subject.defaults,
                )
            )
        return arounds

    @property
    def _gradients(self) -> frozenset[Quantity]:
        probes = self.fresh.get(0) or []
        return frozenset().union(*(probe.quantities for probe in probes)) if probes else frozenset()

    # --- judging ---

    def _judge(
        self, probe: Probe, edits: list[Edit], *, only_forward: bool = False, twice: bool = False
    ) -> Verdict | None:
        """The verdict; None if the program then fails."""
        self.tried += 1
        edits = self.base + edits
        rerun = any(edit.editable.forward for edit in edits)
        try:
            with self.program.changed([pair for edit in edits for pair in edit.pairs]), candidate():
                return probe.judge(rerun=rerun, only_forward=only_forward, twice=twice or self.twice)
        except (Exception, SystemExit, OutOfBounds, RecursionError):
            return None
        except BaseException as error:  # torch's own, or what the learner's code raises
            if isinstance(error, KeyboardInterrupt):
                raise
            return None

    def _holds(self, probes, edits, *, only_forward, quantities=None, twice=False) -> bool:
        for probe in probes:
            asked = _asked(probe, only_forward)
            verdict = self._judge(probe, edits, only_forward=only_forward, twice=twice)
            if verdict is None or not verdict.right >= (asked if quantities is None else asked & quantities):
                return False
        return True

    def _survives(self, probes, edits, *, only_forward, quantities=None, strict=True) -> bool:
        """Whether it holds on all that there is, with other numbers as well, and can be written down."""
        against = self._refuted(probes, edits, only_forward=only_forward, quantities=quantities, strict=strict)
        return against is None and can_be_written(self.base + edits)

    def _refuted(self, probes, edits, *, only_forward, quantities=None, strict=True) -> Probe | None:
        """The first probe on which it does not hold, of all that there are and of others with other numbers.

        If not ``strict``, probes of other shapes than were asked for need not agree: code may be made for one shape.
        """
        for seed in (0, 1, 2):
            if seed not in self.fresh:
                self.fresh[seed] = self._like(probes, self.subject.probes(seed))
            for probe in probes if seed == 0 else self.fresh[seed]:
                if (strict or not probe.optional) and not self._holds(
                    [probe], edits, only_forward=only_forward, quantities=quantities,
                    twice=seed == 0 and not only_forward,
                ):  # fmt: skip
                    return probe
        return None

    def _like(self, probes: Sequence[Probe], fresh: Sequence[Probe]) -> list[Probe]:
        """Of the fresh probes those on which the code runs, and forward is as right as on these."""
        names = {probe.name for probe in self.fresh[0]} - {probe.name for probe in probes}
        return [p for p in fresh if p.name not in names and self._judge(p, []) is not None]

    def _asked_of(self, probes, only_forward) -> frozenset[Quantity]:
        return frozenset().union(*(_asked(probe, only_forward) for probe in probes))


def can_be_written(edits: list[Edit]) -> bool:
    """Whether the edits can be written into the learner's files."""
    paths = {edit.editable.path for edit in edits}
    try:
        for path in paths:
            patched(path, [pair for edit in edits if edit.editable.path == path for pair in edit.pairs])
    except ValueError:
        return False
    return True


def _asked(probe: Probe, only_forward: bool) -> frozenset[Quantity]:
    return frozenset(q for q in probe.quantities if isinstance(q, str)) if only_forward else probe.quantities


def _overlap(edits: Iterable[Edit]) -> bool:
    """Whether two of them change the same place, or one what the other takes away."""
    olds = [change.old for edit in edits for change in edit.changes]
    return any(part is other for one, other in itertools.permutations(olds, 2) for part in ast.walk(one))


def _blocks(rows: int, columns: int) -> Iterator[list[tuple[int, int]]]:
    """Pairs of numbers, in blocks that grow in both: neither a first nor a second edit has to wait for all others."""
    width, done_rows, done_columns = 60, 0, 0
    while done_rows < rows or done_columns < columns:
        new_rows, new_columns = min(rows, done_rows + 6), min(columns, done_columns + width)
        yield [(i, j) for i in range(new_rows) for j in range(new_columns) if i >= done_rows or j >= done_columns]
        done_rows, done_columns = new_rows, new_columns
        width *= 2
