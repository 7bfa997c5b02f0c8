"""When tasks must be done by.

The next time is found without looking at all of them, and a task that has ended is not held on
to: its future has the result, and a result may be a large array.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._task import Task

_SLACK = 64


class Deadlines:
    """Tasks by their deadlines; used under the pool's lock."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        """Times and numbers, those of tasks that have left among them."""
        self._tasks: dict[int, tuple[float, Task]] = {}

    def add(self, task: Task, at: float) -> bool:
        """Answers whether the next deadline is now this one."""
        self._tasks[task.number] = at, task
        heapq.heappush(self._heap, (at, task.number))
        return self._heap[0] == (at, task.number)

    def discard(self, task: Task) -> None:
        """Forget a task, if it is known."""
        if self._tasks.pop(task.number, None) is None:
            return
        if len(self._heap) > 2 * len(self._tasks) + _SLACK:
            self._heap = [(at, number) for number, (at, _) in self._tasks.items()]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """The earliest; it may be that of a task that has left."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Task]:
        """The tasks whose time is up; they are forgotten."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            at, number = heapq.heappop(self._heap)
            entry = self._tasks.get(number)
            if entry is not None and entry[0] == at:
                del self._tasks[number]
                due.append(entry[1])
        return due
