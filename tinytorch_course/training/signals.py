"""Ctrl-C, a polite kill, a closed terminal: training stops between two steps and saves, instead of dying in one."""

import signal
import threading
from typing import Any

# SIGHUP is a closed terminal or a lost connection; Windows has none.
NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def heard() -> list[int]:
    """Those that are not ignored: ``nohup`` asks that SIGHUP be."""
    return [number for number in NUMBERS if signal.getsignal(number) != signal.SIG_IGN]


class StopRequested(Exception):
    """Raised by :meth:`StopSignals.check` after a signal came."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopSignals:
    """While this is open, the first signal only sets a mark. A second one interrupts at once, saving nothing.

    A signal that is ignored stays so.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.before: dict[int, Any] = {}  # the handlers, to be put back

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            self.before = {number: signal.signal(number, self._mark) for number in heard()}
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
            raise KeyboardInterrupt(number)
        self.received = number
