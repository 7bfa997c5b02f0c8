"""The new side of a comparison: its arguments, its time, and what becomes of its exits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from time import perf_counter
from typing import Any

from penstock._deadline import unbounded_copy

from .shown import bounded

__all__ = ("Call", "Stopwatch", "comparing", "context_beside", "finding", "run", "run_blocking")

_comparing: ContextVar[bool] = ContextVar("penstock_comparing", default=False)


def comparing() -> bool:
    """Whether the caller runs as the new side of a comparison, whose answer nobody gets.

    For code that must not send or write a second time. False in threads that do not have the
    context of their caller.
    """
    return _comparing.get()


def context_beside() -> Context:
    """A copy of the caller's context, without what bounds the caller: nobody waits over there."""
    context = unbounded_copy()
    context.run(_comparing.set, True)
    return context


class Call:
    """The arguments of one call, as the new side will be given them."""

    __slots__ = ("args", "kwargs")

    def __init__(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], copy: Callable[[Any], Any] | None
    ) -> None:
        if copy is not None:
            args = tuple(copy(each) for each in args)
            kwargs = {name: copy(each) for name, each in kwargs.items()}
        self.args = args
        self.kwargs = kwargs

    def shown(self, most: int) -> str:
        """As they stand in a call."""
        words = [bounded(each, most) for each in self.args]
        words += [f"{name}={bounded(each, most)}" for name, each in self.kwargs.items()]
        return f"({', '.join(words)})"


class Stopwatch:
    """Times the candidate alone: not its policy, nor the way into another thread."""

    __slots__ = ("_began", "_ended")

    def __init__(self) -> None:
        self._began = perf_counter()
        self._ended: float | None = None

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, *_exception: object) -> None:
        self._ended = perf_counter()

    def seconds(self) -> float:
        """So far, where the candidate was left behind."""
        return (self._ended or perf_counter()) - self._began


async def run(new: Callable[..., Coroutine[Any, Any, Any]], call: Call, watch: Stopwatch) -> Any:
    """Awaits the new one, timed."""
    with watch:
        return await new(*call.args, **call.kwargs)


def run_blocking(new: Callable[..., Any], call: Call, watch: Stopwatch) -> Any:
    """Calls the new one, timed."""
    with watch:
        return new(*call.args, **call.kwargs)


def finding(failure: BaseException) -> Exception:
    """What the candidate raised, as an error: its exit or cancellation is nobody else's."""
    if isinstance(failure, Exception):
        return failure
    made = RuntimeError(f"raised {bounded(failure)}")
    made.__cause__ = failure
    return made
