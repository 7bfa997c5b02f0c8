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

from .rebooking.outcome import Moment
from .run import Sample
from .wording import integer, megabytes, percent, rate

__all__ = ("Show", "shown_progress")

Show = Callable[[Sample | Moment], None]
"""Shows how far the run is: by a sample in the first half, by a moment in the second."""


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[Show]:
    """Give the function that shows the run's state; it may be called from any one thread.

    A process that takes over calls it with moments alone, and then shows no more than those.
    """
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
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=36),
        TextColumn("{task.fields[amount]}", justify="right"),
        _Rate(),
        console=Console(stderr=True),
    )


class _Bars:
    """Rows appear with the half that they belong to."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, state: Sample | Moment) -> None:
        if isinstance(state, Moment):
            self._moment(state)
        else:
            self._sample(state)

    def _sample(self, sample: Sample) -> None:
        read = sample.read / max(sample.total, 1)
        seconds = max(sample.seconds, 1e-3)
        self._update(
            "read",
            read,
            f"{megabytes(sample.read)} of {megabytes(sample.total)}",
            f"{megabytes(round(sample.read / seconds))}/s",
        )
        # How many lines there will be is known at the end only; what has been read gives a guess.
        # A line is a flight, but for the header.
        flights = max(sample.lines - 1, 1) / max(read, 1e-9)
        for name, count, unit in (
            ("parsed", sample.lines, "lines"),
            ("analysed", sample.analysed, "flights"),
        ):
            self._update(
                name, count / flights, f"{integer(count)} {unit}", f"{rate(count / seconds)}/s"
            )

    def _moment(self, moment: Moment) -> None:
        total = max(moment.total, 1)
        self._update(
            "settled",
            moment.ended / total,
            f"{integer(moment.ended)} of {integer(moment.total)}",
            f"{rate(moment.ended / max(moment.seconds, 1e-3))}/s",
        )
        rows = [("confirmed", moment.confirmed), ("refused", moment.refused)]
        if moment.parked:
            rows.append(("parked", moment.parked))
        for name, count in rows:
            self._update(name, count / total, f"{integer(count)} flights")
        self._update(
            "delivered",
            moment.delivered / total,
            f"{integer(moment.delivered)} events",
            f"{integer(moment.dead)} dead" if moment.dead else "",
        )

    def _update(self, name: str, share: float, amount: str, speed: str = "") -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=1.0, amount="", speed="")
        self._progress.update(
            self._tasks[name], completed=min(share, 1.0), amount=amount, speed=speed
        )


class _Lines:
    def __init__(self) -> None:
        self._due = 1.0
        self._half: type[Sample | Moment] = Sample

    def __call__(self, state: Sample | Moment) -> None:
        if type(state) is not self._half:
            # Each half has a clock of its own.
            self._half, self._due = type(state), 1.0
        if state.seconds < self._due:
            return
        self._due = state.seconds + 1.0
        words = _moment(state) if isinstance(state, Moment) else _sample(state)
        memory = "" if state.memory is None else f", {megabytes(state.memory)} of memory"
        print(f"penstock demo: {words}{memory}", file=sys.stderr, flush=True)


def _sample(sample: Sample) -> str:
    return (
        f"{percent(sample.read / max(sample.total, 1), 0)} read, "
        f"{integer(sample.lines)} lines parsed, {integer(sample.analysed)} flights analysed, "
        f"{rate(sample.lines / sample.seconds)} lines/s"
    )


def _moment(moment: Moment) -> str:
    parked = f", {integer(moment.parked)} parked" if moment.parked else ""
    return (
        f"{integer(moment.ended)} of {integer(moment.total)} sagas ended, "
        f"{integer(moment.confirmed)} confirmed, {integer(moment.refused)} refused{parked}, "
        f"{integer(moment.delivered)} events delivered, {integer(moment.dead)} dead letters"
    )
