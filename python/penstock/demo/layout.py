"""The blocks that the closing table is made of, for a terminal of 80 columns and more."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .stage import Stage
from .wording import duration, integer

__all__ = ("columns", "pairs", "stage_rows", "titled")


def titled(title: str, body: RenderableType) -> tuple[Text, Padding]:
    """A bold heading, and what stands below it."""
    return Text(f"\n{title}", style="bold"), Padding(body, (0, 0, 0, 2))


def pairs() -> Table:
    """Rows of a name, a figure and what there is to say about it."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    rows.add_column(justify="right", style="bold", no_wrap=True)
    rows.add_column()
    return rows


def columns(*headings: str) -> Table:
    """Rows of a name and a figure below each heading."""
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    table.add_column("", no_wrap=True, width=32)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, min_width=7)
    return table


def stage_rows(stages: Iterable[Stage]) -> Table:
    """Calls and percentiles of each."""
    table = columns("calls", "p50", "p90", "p99", "max")
    for stage in stages:
        times = (stage.p50, stage.p90, stage.p99, stage.greatest)
        table.add_row(
            Text(f"{stage.name} ({stage.unit})"),
            integer(stage.count),
            *(duration(t) for t in times),
        )
    return table
