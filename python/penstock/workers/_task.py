"""One call on its way through the pool."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from penstock._native import Parcel
from penstock.shared import Payload

if TYPE_CHECKING:
    from ._engine import Engine
    from ._workers import Worker


class Task(Future[Any]):
    """The future of a call, and what the pool knows about it."""

    def __init__(
        self, engine: Engine, number: int, function: Callable[..., object], payload: Payload
    ) -> None:
        super().__init__()
        self.engine = engine
        self.number = number
        self._function = function
        self.payload: Payload | None = payload
        """Until it is placed in shared memory."""
        self.parcel: Parcel | None = None
        """From then on: sent again, without copying, if the worker it lay with has died."""
        self.worker: Worker | None = None
        self.slot = -1
        self.submitted = time.monotonic_ns()
        self.deadline: float | None = None
        self.verdict: BaseException | None = None
        """Why the pool has decided to end it while it ran."""

    @property
    def name(self) -> str:
        """How messages name it."""
        return describe(self._function)

    def cancel(self) -> bool:
        """Take the call back. False if it has begun: awaiting `pool.run` ends that, too."""
        return self.engine.cancel(self)

    def withdraw(self) -> bool:
        """What `Future.cancel` does, once the pool has let go of the task."""
        return super().cancel()


def describe(function: Callable[..., object]) -> str:
    """How messages name a callable."""
    function = getattr(function, "func", function)  # functools.partial
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{module}.{name}" if module else name
