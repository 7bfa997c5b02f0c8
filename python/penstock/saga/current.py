"""What a running step knows of itself: `saga.current()`."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, overload

from penstock.errors import Misuse

from .transaction import Transaction

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ("CurrentStep", "current")

R = TypeVar("R")
D = TypeVar("D")
Ts = TypeVarTuple("Ts")

_NOTHING: Any = object()

running: ContextVar[CurrentStep] = ContextVar("penstock_saga_step")


class CurrentStep:
    """One attempt of a step or a compensation, while it runs. See `current()`."""

    __slots__ = (
        "_execution",
        "attempt",
        "fence",
        "idempotency_key",
        "is_compensation",
        "key",
        "name",
        "saga",
    )

    def __init__(self, execution: Execution, name: str, attempt: int, *, undo: bool) -> None:
        self._execution = execution
        self.saga = execution.saga.name
        """The saga's name."""
        self.key = execution.key
        """The key that this run of it was started with."""
        self.name = name
        """The step's; a compensation has that of the step it undoes."""
        self.attempt = attempt
        """From 1."""
        self.fence = execution.fence
        """Rises with each process that takes the saga over, and each resume: an outside system
        that keeps the highest it has seen for this saga and key can refuse a process that was
        taken over and does not know it."""
        self.is_compensation = undo
        self.idempotency_key = "/".join(
            (self.saga, self.key, name, "undo") if undo else (self.saga, self.key, name)
        )
        """The same for all attempts, in all processes, and another one for the compensation. Hand
        it to the outside, so that a request that comes twice is known."""

    def __repr__(self) -> str:
        return f"<CurrentStep {self.idempotency_key} attempt {self.attempt}>"

    @property
    def is_fenced(self) -> bool:
        """Whether another process may be running this saga by now.

        What this one writes to the store is refused then. A step that works long looks here before
        it touches anything outside.
        """
        return self._execution.is_fenced

    @property
    def failure(self) -> str | None:
        """In a compensation: why the saga turned back, as its outcome will say."""
        return self._execution.failure

    @overload
    def result(self, step: str) -> Any: ...
    @overload
    def result(self, step: str, default: D) -> Any | D: ...
    def result(self, step: str, default: Any = _NOTHING) -> Any:
        """What an earlier step returned, decoded as what it is annotated to return.

        If that step was not done, as far as is known: the default, or KeyError without one. A
        compensation gives a default, since its own step may have happened without being heard of.
        """
        try:
            return self._execution.result(step)
        except KeyError:
            if default is _NOTHING:
                raise
            return default

    async def transact(self, fn: Callable[[Transaction, *Ts], R], *args: *Ts) -> R:
        """Run `fn(transaction, *args)`, and end this step, in one transaction: exactly once.

        For what is kept in the store's own file: the function's writes, the step's result (what
        `fn` returns) and the step's end are committed together, with whatever else happens to
        commit just then. If the process dies, either all of it happened or none. If `fn` raises,
        nothing of it is kept, and the exception comes out here.

        `fn` runs on the store's writer thread, in the context variables of the caller, while others
        wait: give it SQL and no other effect, since it may be run again when a transaction was
        undone. What it returns is stored as JSON. Let this be the last thing that the step does,
        and return what comes from here; once in each step.

        Cancellation is seen when it is over. Raises Misuse for a saga that runs in memory, and
        EngineError if the store fails.
        """
        result: R = await self._execution.transact(self, fn, args)
        return result


def current() -> CurrentStep:
    """The step or compensation that runs here, with its key, its fence and earlier results.

    Also in tasks that the step starts, and in what it runs by `anyio.to_thread`. Raises Misuse
    outside of one.
    """
    found = running.get(None)
    if found is None:
        raise Misuse("no step of a saga runs here", hint="call it in a step or a compensation")
    return found
