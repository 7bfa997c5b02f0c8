"""One call on its way through the pool."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import CodeType
from typing import TYPE_CHECKING, Any

from penstock._native import Parcel
from penstock.errors import Misuse
from penstock.shared import Payload

if TYPE_CHECKING:
    from ._engine import Engine
    from ._workers import Worker

_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Task(Future[Any]):
    """The future of a call, and what the pool knows about it."""

    def __init__(
        self, engine: Engine, number: int, function: Callable[..., object], payload: Payload
    ) -> None:
        super().__init__()
        self.engine = engine
        self.number = number
        # Now, on the submitter's account: a callable's own attributes may raise anything.
        self.name = describe(function)
        self.payload: Payload | None = payload
        """Until it is placed in shared memory."""
        self.parcel: Parcel | None = None
        """From then on: sent again, without copying, if the worker it lay with has died."""
        self.worker: Worker | None = None
        self.slot = -1
        self.submitted = time.monotonic_ns()
        self.deadline: float | None = None
        self.overdue = False
        """Its deadline has passed, and it had ended by then: its result may still come."""
        self.claimed = False
        """Somebody has undertaken to complete the future, and nobody else may. Set under the
        pool's lock, once."""
        self.taken_back = False
        """Claimed by `cancel`, or what amounts to it."""
        self.is_traced = False
        """It carries a trace context, so its value comes back beside spans."""
        self.verdict: BaseException | None = None
        """Why the pool has decided to end it while it ran."""

    def cancel(self) -> bool:
        """Take the call back. False if it has begun: awaiting `pool.run` ends that, too."""
        return self.cancelled() or (not self.done() and self.engine.cancel(self))

    def running(self) -> bool:
        """Whether a worker has begun it, and it is not done."""
        return not self.done() and self.engine.has_begun(self)

    def withdraw(self) -> None:
        """Become a cancelled future, once the pool has let go of the task."""
        try:
            super().cancel()
        finally:
            self.set_running_or_notify_cancel()


def describe(function: Callable[..., object]) -> str:
    """How messages name a callable."""
    function = getattr(function, "func", function)  # functools.partial
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{module}.{name}" if module else name


def refuse_coroutine(function: Callable[..., object]) -> None:
    """Raise `Misuse` for a function whose result cannot leave the worker."""
    code = getattr(getattr(function, "func", function), "__code__", None)
    if isinstance(code, CodeType) and code.co_flags & _ASYNC:
        raise Misuse(
            f"{describe(function)} is a coroutine function, and a worker has no event loop",
            hint="give a plain function; it may call asyncio.run",
        )
