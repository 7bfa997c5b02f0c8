"""`Saga`: a list of steps, each with what undoes it."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import typing
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, overload

from penstock._durable.codec import Codec, JsonCodec
from penstock.errors import Misuse
from penstock.resilience import Retry

if TYPE_CHECKING:
    from .outcome import Outcome

__all__ = ("Saga", "Step")

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])

_ONCE = Retry(attempts=1)
_PATIENT = Retry(attempts=10, delay=0.5, max_delay=60.0)
_NAMES = "give 1 to 200 characters, no slash"
PLAIN = JsonCodec()


class Step:
    """One step of a saga, as it was defined."""

    __slots__ = (
        "codec",
        "compensate",
        "compensate_retry",
        "compensation_is_async",
        "do",
        "is_async",
        "name",
        "pivot",
        "retry",
        "timeout",
    )

    def __init__(
        self,
        name: str,
        do: Callable[[Any], Any],
        compensate: Callable[[Any], Any] | None,
        retry: Retry,
        timeout: float | None,
        compensate_retry: Retry,
        *,
        pivot: bool,
    ) -> None:
        self.name = name
        self.do = do
        self.compensate = compensate
        self.retry = retry
        self.timeout = timeout
        self.compensate_retry = compensate_retry
        self.pivot = pivot
        self.codec: Codec = _codec_of(do)
        self.is_async = inspect.iscoroutinefunction(do)
        self.compensation_is_async = inspect.iscoroutinefunction(compensate)

    def __repr__(self) -> str:
        return f"<Step {self.name!r}>"


class Saga(Generic[C]):
    """A business transaction over several services that always ends consistent.

    A list of steps that run one after the other. When one fails for good, the steps that were done
    are compensated in reverse. Use it where several systems must agree and no one transaction
    spans them; where one database holds everything, a transaction is simpler and better.

    Args:
        name: stored with each run, so keep it.
        context: the type of what a run is about: a dataclass or a msgspec Struct that is handed
            to every step; plain JSON data without it. Steps do not change it: what they find out
            they return.

    `await saga.run(context)` runs it in memory. With a `SagaStore` each step is recorded before the
    next begins, and another process finishes what a dead one began. A step may then run more than
    once, so make its effect idempotent under `saga.current().idempotency_key`, or write it with
    `saga.current().transact`. A compensation has to bear that its step never happened, since a
    step that timed out or died with its process is compensated, too.

    A definition is known by the names of its steps, their compensations and the pivot. A run that
    was begun under another one is parked.

    Example:
        >>> import anyio
        >>> booking = Saga("book-trip")
        >>> async def cancel_flight(trip): print("flight cancelled")
        >>> @booking.step(compensate=cancel_flight)
        ... async def book_flight(trip): return "seat 12A"
        >>> @booking.step()
        ... async def book_hotel(trip): raise ValueError("no room left")
        >>> try:
        ...     anyio.run(booking.run, {"to": "Lisbon"})
        ... except ValueError as error:
        ...     print(error)
        flight cancelled
        no room left

    """

    @overload
    def __init__(self: Saga[Any], name: str, *, context: None = None) -> None: ...
    @overload
    def __init__(self, name: str, *, context: type[C]) -> None: ...
    def __init__(self, name: str, *, context: type[C] | None = None) -> None:
        if not _is_name(name):
            raise Misuse(f"a saga's name is {name!r}", hint=_NAMES)
        self.name = name
        self.codec: Codec = JsonCodec(context)
        self._steps: list[Step] = []
        self._version: str | None = None

    def __repr__(self) -> str:
        return f"<Saga {self.name!r}: {len(self._steps)} steps>"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, in order."""
        return tuple(self._steps)

    @property
    def version(self) -> str:
        """What a run remembers of its definition: a hash of what decides where it stands."""
        if self._version is None:
            shape = [(each.name, each.compensate is not None, each.pivot) for each in self._steps]
            self._version = hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:16]
        return self._version

    def step(
        self,
        *,
        name: str | None = None,
        compensate: Callable[[C], Any] | None = None,
        retry: Retry = _ONCE,
        timeout: float | None = None,
        pivot: bool = False,
        compensate_retry: Retry = _PATIENT,
    ) -> Callable[[F], F]:
        """Make the decorated function the next step; it stays what it was. See `add_step`."""

        def decorate(do: F) -> F:
            self.add_step(
                name or do.__name__,
                do,
                compensate=compensate,
                retry=retry,
                timeout=timeout,
                pivot=pivot,
                compensate_retry=compensate_retry,
            )
            return do

        return decorate

    def add_step(
        self,
        name: str,
        do: Callable[[C], Awaitable[object]] | Callable[[C], object],
        *,
        compensate: Callable[[C], Any] | None = None,
        retry: Retry = _ONCE,
        timeout: float | None = None,
        pivot: bool = False,
        compensate_retry: Retry = _PATIENT,
    ) -> None:
        """Add a step at the end.

        Args:
            name: stored, so keep it; one of its kind in the saga.
            do: gets the context; what it returns is stored as JSON, and decoded as what it is
                annotated to return. An async function; a plain one runs in a thread, where
                neither a timeout nor a cancellation can stop it.
            compensate: gets the context, too, and undoes it; `saga.current().result(name, None)`
                is what the step returned, if it is known.
            retry: how often the step is tried. `Abort` ends it at once.
            timeout: seconds for each attempt; what it did then is unknown, so it is compensated.
            pivot: once it is done the saga only goes forward: later steps that fail for good park
                it instead of undoing.
            compensate_retry: how often the compensation is tried before the saga is parked; by
                default 10 times within some minutes.

        Raises Misuse for arguments that cannot work, and once the saga has been run.

        """
        if self._version is not None:
            self._refuse(f"step {name!r} comes after its first run", "add all steps before it")
        if not _is_name(name) or name == "undo":
            self._refuse(f"a step's name is {name!r}", f"{_NAMES}, and not undo")
        if any(each.name == name for each in self._steps):
            self._refuse(f"there is a step {name!r} already", "give each a name of its own")
        for what, function in (("do", do), ("compensate", compensate)):
            if function is None and what == "compensate":
                continue
            if not callable(function):
                self._refuse(f"{what}={function!r} of step {name!r} cannot be called", "a function")
            if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
                self._refuse(f"{what}={function!r} of step {name!r} is a generator", "a function")
        for option, value in (("retry", retry), ("compensate_retry", compensate_retry)):
            if not isinstance(value, Retry):
                self._refuse(f"{option}={value!r} is no Retry", f"{option}=Retry(attempts=3)")
        if timeout is not None and not (
            isinstance(timeout, (int, float)) and 0 < timeout < math.inf
        ):
            self._refuse(f"timeout={timeout!r} of step {name!r}", "give seconds, more than 0")
        if pivot and any(each.pivot for each in self._steps):
            self._refuse(f"step {name!r} would be a second pivot", "a saga has one at most")
        self._steps.append(
            Step(name, do, compensate, retry, timeout, compensate_retry, pivot=pivot)
        )

    async def run(self, context: C, *, key: str | None = None) -> Outcome:
        """Run it here and now, in memory: nothing is stored, and nothing survives the process.

        Raises what the failing step raised, once everything done is compensated; `SagaParked` if a
        compensation failed, too. Cancellation stops it where it stands, without compensation.
        """
        from .memory import run_in_memory

        return await run_in_memory(self, context, key)

    def seal(self) -> None:
        """It is about to run: from here on it has the steps it has."""
        if not self._steps:
            self._refuse("it has no steps", "add one with @saga.step() or add_step()")
        _ = self.version

    def encoded(self, context: C) -> bytes:
        """The context as it is stored. Raises Misuse if it cannot be."""
        try:
            return self.codec.encode(context)
        except (TypeError, ValueError) as error:
            raise Misuse(
                f"saga {self.name!r}: a {type(context).__qualname__} cannot be stored: {error}",
                hint="give plain data or a dataclass of it",
            ) from error

    def _refuse(self, complaint: str, hint: str) -> NoReturn:
        raise Misuse(f"saga {self.name!r}: {complaint}", hint=hint)


def _is_name(name: object) -> bool:
    # A slash would make idempotency keys of different steps the same; so would a step "undo".
    return isinstance(name, str) and 0 < len(name) <= 200 and "/" not in name


def _codec_of(do: Callable[..., Any]) -> Codec:
    """By the function's return annotation, where that is a type of data."""
    try:
        wanted = typing.get_type_hints(do).get("return")
    except (NameError, TypeError):  # of a name that is not there at run time
        wanted = None
    if wanted is None or wanted is type(None) or wanted is Any or wanted is object:
        return PLAIN
    try:
        return JsonCodec(wanted)
    except Misuse:
        return PLAIN
