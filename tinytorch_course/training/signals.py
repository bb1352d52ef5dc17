"""Ctrl-C and a polite kill: training stops between two steps and saves, instead of dying in the middle of one."""

import signal
import threading
from typing import Any


class StopRequested(Exception):
    """Raised by :meth:`StopSignals.check` after a signal came."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopSignals:
    """While this is open, SIGINT and SIGTERM only set a mark. A second SIGINT interrupts at once, saving nothing."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: int | None = None
        self.before: dict[signal.Signals, Any] = {}  # the handlers, to be put back

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            self.before = {number: signal.signal(number, self._mark) for number in self.NUMBERS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise :class:`StopRequested` if a signal came. To be called where stopping does no harm."""
        if self.received is not None:
            raise StopRequested(self.received)

    def _mark(self, number: int, frame: object) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
