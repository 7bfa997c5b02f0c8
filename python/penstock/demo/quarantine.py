"""Lines that could not be parsed, kept with their number and reason.

The file appears only when the run ends well and there was such a line; until then it has a
temporary name beside its final one, and a run that fails takes it along.
"""

from __future__ import annotations

import csv
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .output import Output

__all__ = ("Quarantine",)

# Enough of a line to recognise it; one line of binary junk can be as long as the file.
_SHOWN = 2000


class Quarantine:
    """A CSV file of (line, reason, text), written as lines come in.

    Used from one thread; `add` costs about 2 µs. Leaving the block without an error puts the file
    in its place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self._stack = ExitStack()
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def add(self, number: int, reason: str, text: str) -> None:
        """Keep one line."""
        if self._writer is None:
            self._writer = csv.writer(self._stack.enter_context(Output(self.path)))
            self._writer.writerow(("line", "reason", "text"))
        self._writer.writerow((number, reason, text[:_SHOWN]))
        self.lines += 1
