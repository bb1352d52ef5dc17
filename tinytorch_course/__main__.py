"""The first that runs of a command: it is ready for signals and closed streams before anything slow is imported."""

import os
import signal
import sys
from typing import NoReturn

from tinytorch_course.training.signals import heard


def main() -> None:
    """Run what was typed, and end with its exit code."""
    fill_closed_streams()
    numbers = heard()
    for number in numbers:
        signal.signal(number, end_at_once)
    from tinytorch_course.cli.app import main

    for number in numbers:
        signal.signal(number, interrupt)
    main()


def end_at_once(number: int, frame: object) -> NoReturn:
    """There is nothing to save or to clean up yet, and an exception would come out of the middle of an import."""
    os.write(2, b"Interrupted.\n")
    os._exit(128 + number)


def interrupt(number: int, frame: object) -> NoReturn:
    """Turn a signal that would end the process into an interruption, which saves what there is."""
    raise KeyboardInterrupt(number)


def fill_closed_streams() -> None:
    """Whatever was started with closed streams (``>&-``) writes to nowhere, instead of into the next file it opens."""
    for number, (name, mode) in enumerate([("stdin", "r"), ("stdout", "w"), ("stderr", "w")]):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, it stays open


if __name__ == "__main__":
    main()
