"""The tables of ``tinytorch bench``."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from tinytorch_course.bench.subjects import Measured

PRICES_LEGEND = (
    "FLOPs of matmuls and convolutions. MB moved: what all kernels read and write; a fused kernel moves each tensor "
    "once. MB kept: what waits for the backward pass, our caches or what autograd saves, without the parameters."
)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function that says on stderr what is timed now."""
    notes = Console(stderr=True, highlight=False)
    if not sys.stderr.isatty():
        yield lambda what: notes.print(f"Timing {what} ...")
        return
    with notes.status("") as status:
        yield lambda what: status.update(f"Timing {what} ...")


def print_tables(measured: list[Measured], about: dict[str, Any]) -> None:
    """What was measured, and on what."""
    console = Console(highlight=False, soft_wrap=True)
    ceiling = about["matmul_flops_per_second"]
    steps = "training steps" + (", compiled" if about["compiled"] else "")
    steps += ", ours as a CUDA graph" if about["cuda_graph"] else ""
    for kind, title in (("layer", "layers, forward and backward"), ("step", steps)):
        rows = [one for one in measured if one.kind == kind]
        if rows:
            console.print(_table(title, rows))
            console.print()
    if any(one.prices for one in measured):
        console.print(_price_table(measured))
        console.print(PRICES_LEGEND)
        console.print()
    console.print(
        f"{about['device']}, {about['dtype']}, {about['threads']} threads, medians of {about['rounds']} rounds; "
        f"torch {about['torch']}; a large matmul does {ceiling / 1e9:.0f} GFLOP/s."
    )
    console.print("Ratios are scratch / torch: below 1 is faster than torch.")


def _table(title: str, rows: list[Measured]) -> Table:
    steps = rows[0].kind == "step"
    table = _empty_table(title, "scratch ms", "torch ms", "ratio", "quartiles", *(["GFLOP/s", "peak MB"] * steps))
    for one in rows:
        timing = one.timing
        cells = [
            *(str(one.batch), f"{timing.scratch * 1e3:.2f}", f"{timing.torch * 1e3:.2f}", f"{timing.ratio:.2f}"),
            f"{timing.low:.2f}-{timing.high:.2f}",
        ]
        if steps:
            flops = one.flops or 0
            cells.append(f"{flops / timing.scratch / 1e9:.0f}/{flops / timing.torch / 1e9:.0f}")
            ours, theirs = (one.memory or {}).get("scratch"), (one.memory or {}).get("torch")
            known = None not in (ours, theirs)
            cells.append(f"{(ours or 0) / 1e6:.0f}/{(theirs or 0) / 1e6:.0f}" if known else "unknown")
        table.add_row(one.name, *cells)
    return table


def _empty_table(title: str, *headings: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, collapse_padding=True
    )
    table.add_column("name", min_width=19, no_wrap=True)
    for heading in ("batch", *headings):
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _price_table(rows: list[Measured]) -> Table:
    table = _empty_table("forward and backward, scratch / torch", "MFLOP", "MB moved", "MB kept")
    for one in rows:
        if one.prices is None:
            continue
        ours, theirs = one.prices
        pairs = ((ours.flops, theirs.flops, 0), (ours.moved, theirs.moved, 1), (ours.kept, theirs.kept, 1))
        cells = (f"{a / 1e6:,.{digits}f}/{b / 1e6:,.{digits}f}" for a, b, digits in pairs)
        table.add_row(one.name, str(one.batch), *cells)
    return table
