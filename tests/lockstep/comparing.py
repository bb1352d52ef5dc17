"""What the tests of comparisons share: a tiny run, and a display that only listens."""

from tinytorch_course.training.config import TrainConfig


class Listener:
    """A display that remembers what it was told."""

    def __init__(self):
        self.notices, self.rows, self.seed_rows, self.seed_steps = [], [], [], []

    def notice(self, sentence):
        self.notices.append(sentence)

    def start(self, setup, parameter_count, injection):
        pass

    def row(self, row, *, last):
        self.rows.append((row, last))

    def start_seeds(self, setup, parameter_count, count, injection):
        self.setup = setup

    def seed_step(self, done, step):
        self.seed_steps.append((done, step))

    def seed_row(self, run):
        self.seed_rows.append(run)


def tiny(**settings):
    """A run on eight digits, two batches an epoch."""
    usual = {"model": "mlp", "data": "digits", "limit": 8, "batch_size": 4, "dtype": "float64", "device": "cpu"}
    return TrainConfig(**(usual | settings))
