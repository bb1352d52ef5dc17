import pytest

from tinytorch_course.bench.timing import WARM_UPS, time_alternately


class Machine:
    """A clock that moves by what each run takes, and notes who ran."""

    def __init__(self, scratch, torch):
        self.now, self.order = 0.0, []
        self.takes = {"scratch": iter(scratch), "torch": iter(torch)}

    def run(self, name):
        def run():
            self.order.append(name)
            self.now += next(self.takes[name])

        return run

    def time(self, rounds):
        return time_alternately(self.run("scratch"), self.run("torch"), rounds, clock=lambda: self.now)


def test_medians_and_quartiles_of_the_rounds_ratios():
    machine = Machine([100, 100, 2, 9, 4, 5, 1], [1, 1, 1, 3, 4, 1, 4])
    timing = machine.time(5)
    assert (timing.scratch, timing.torch, timing.rounds) == (4, 3, 5)
    assert (timing.low, timing.ratio, timing.high) == (1, 2, 3)  # of 2, 3, 1, 5 and 1/4, not the medians' ratio 4/3


def test_who_begins_changes_every_round():
    machine = Machine([1] * 9, [1] * 9)
    machine.time(2)
    assert WARM_UPS == 2
    assert machine.order == ["scratch", "torch", "torch", "scratch"] * 2


def test_one_round_has_no_spread():
    assert Machine([1, 1, 6], [1, 1, 4]).time(1)[2:] == (1.5, 1.5, 1.5, 1)


def test_waiting_for_the_device_is_part_of_the_time():
    machine = Machine([1] * 5, [1] * 5)

    def synchronize():
        machine.now += 0.5

    timing = time_alternately(
        machine.run("scratch"), machine.run("torch"), 3, synchronize=synchronize, clock=lambda: machine.now
    )
    assert timing.scratch == timing.torch == pytest.approx(1.5)  # once: what came before does not count
