"""What a person sees while the run goes on: bars on a terminal, a line a second elsewhere.

All of it goes to stderr, so that stdout holds nothing but the result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn
from rich.text import Text

from .run import Sample
from .wording import integer, megabytes, percent, rate

__all__ = ("Show", "shown_progress")

Show = Callable[[Sample], None]


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[Show]:
    """Give the function that shows a sample; it may be called from any one thread."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bars() as progress:
            yield _Bars(progress)
    else:
        yield _Lines()


class _Rate(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text(task.fields["speed"], style="progress.data.speed")


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=36),
        TextColumn("{task.fields[amount]}", justify="right"),
        _Rate(),
        console=Console(stderr=True),
    )


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._read, self._parsed, self._analysed = (
            progress.add_task(name, total=1.0, amount="", speed="")
            for name in ("read", "parsed", "analysed")
        )

    def __call__(self, sample: Sample) -> None:
        read = sample.read / max(sample.total, 1)
        seconds = max(sample.seconds, 1e-3)
        self._update(
            self._read,
            read,
            f"{megabytes(sample.read)} of {megabytes(sample.total)}",
            f"{megabytes(round(sample.read / seconds))}/s",
        )
        # How many lines there will be is known at the end only; what has been read gives a guess.
        # A line is a flight, but for the header.
        flights = max(sample.lines - 1, 1) / max(read, 1e-9)
        for task, count, unit in (
            (self._parsed, sample.lines, "lines"),
            (self._analysed, sample.analysed, "flights"),
        ):
            self._update(
                task, count / flights, f"{integer(count)} {unit}", f"{rate(count / seconds)}/s"
            )

    def _update(self, task: TaskID, share: float, amount: str, speed: str) -> None:
        self._progress.update(task, completed=min(share, 1.0), amount=amount, speed=speed)


class _Lines:
    def __init__(self) -> None:
        self._due = 1.0

    def __call__(self, sample: Sample) -> None:
        if sample.seconds < self._due:
            return
        self._due = sample.seconds + 1.0
        memory = "" if sample.memory is None else f", {megabytes(sample.memory)} of memory"
        print(
            f"penstock demo: {percent(sample.read / max(sample.total, 1), 0)} read, "
            f"{integer(sample.lines)} lines parsed, {integer(sample.analysed)} flights analysed, "
            f"{rate(sample.lines / sample.seconds)} lines/s{memory}",
            file=sys.stderr,
            flush=True,
        )
