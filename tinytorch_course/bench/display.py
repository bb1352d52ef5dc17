"""The tables of ``tinytorch bench``."""

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from tinytorch_course.bench.subjects import Measured


class Display:
    """Progress on stderr; the tables on stdout, or nowhere where a JSON document goes there."""

    def __init__(self, json: bool):
        self.notes = Console(stderr=True, highlight=False)
        self.results = None if json else Console(highlight=False, soft_wrap=True)
        self.status = self.notes.status("") if sys.stderr.isatty() else None

    def __enter__(self) -> "Display":
        if self.status is not None:
            self.status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.status is not None:
            self.status.stop()

    def working_on(self, what: str) -> None:
        if self.status is not None:
            self.status.update(f"Timing {what} ...")
        else:
            self.notes.print(f"Timing {what} ...")

    def tables(self, measured: list[Measured], about: dict[str, Any]) -> None:
        if self.results is None:
            return
        ceiling = about["matmul_flops_per_second"]
        for kind, title in (("layer", "layers, forward and backward"), ("step", "training steps")):
            rows = [one for one in measured if one.kind == kind]
            if rows:
                self.results.print(_table(title, rows))
                self.results.print()
        self.results.print(
            f"{about['device']}, {about['dtype']}, {about['threads']} threads, medians of {about['rounds']} rounds; "
            f"torch {about['torch']}; a large matmul does {ceiling / 1e9:.0f} GFLOP/s."
        )
        self.results.print("Ratios are scratch / torch: below 1 is faster than torch.")


def _table(title: str, rows: list[Measured]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, collapse_padding=True
    )
    table.add_column("name", min_width=19, no_wrap=True)
    steps = rows[0].kind == "step"
    for heading in ("batch", "scratch ms", "torch ms", "ratio", "quartiles", *(["GFLOP/s", "peak MB"] * steps)):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in rows:
        timing = one.timing
        cells = [
            *(str(one.batch), f"{timing.scratch * 1e3:.2f}", f"{timing.torch * 1e3:.2f}", f"{timing.ratio:.2f}"),
            f"{timing.low:.2f}-{timing.high:.2f}",
        ]
        if steps:
            cells.append(f"{one.flops / timing.scratch / 1e9:.0f}/{one.flops / timing.torch / 1e9:.0f}")
            known = one.memory and None not in one.memory.values()
            cells.append(f"{one.memory['scratch'] / 1e6:.0f}/{one.memory['torch'] / 1e6:.0f}" if known else "unknown")
        table.add_row(one.name, *cells)
    return table
