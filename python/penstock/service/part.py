"""What can be a part of a service."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeAlias, runtime_checkable

import anyio

from penstock.errors import Expired, Misuse

__all__ = ("AnyPart", "Part", "drain_of", "hook_of", "lifetime", "name_of")


_STOPPING = 10.0
"""Seconds that nothing cuts short: a `stop` that hangs must not keep a program for ever."""


@runtime_checkable
class Part(Protocol):
    """A part that is told each of its steps. An async context manager serves as well.

    A part of either kind may have, besides:

    - `stop_intake()`, async or not: take nothing more from outside. Called when the service begins
      to end, on all parts together, before any of them is drained.
    - `async drain(deadline)`, or without the argument: finish what is under way, while the other
      parts still work. `deadline` is a moment of the loop's clock (`anyio.current_time()`);
      cancelled when it has come.
    - `health() -> bool`: whether it is well; quick, called on the loop's thread at any time. One
      that raises is not well, and why.
    - `async watch()`: run beside it from its start on. Raises when the part has failed; returns
      when there is nothing to watch any more; is cancelled when the part is to end.
    - `is_telemetry = True`: it observes the others, so it ends behind all of them.
    - `name`: for messages; otherwise the class's.
    """

    async def start(self) -> None:
        """Begin. What raises here keeps the service from starting."""

    async def drain(self) -> None:
        """Take nothing new, finish what is under way; cancelled when the time is up."""

    async def stop(self) -> None:
        """End, now. Called when all parts have drained, or instead of it; shielded for 10 s."""


AnyPart: TypeAlias = AbstractAsyncContextManager[object] | Part


def lifetime(part: Any) -> AbstractAsyncContextManager[object]:
    """The part as an async context manager; leaving it ends it, cancelled it stops at once.

    Raises Misuse for what is none, with what would make it one.
    """
    if isinstance(part, type):
        raise _refusal(part, f"it is a class: add an object, {part.__name__}(…)")
    if hasattr(type(part), "__aenter__") and hasattr(type(part), "__aexit__"):
        return part  # type: ignore[no-any-return]
    if isinstance(part, Part):
        return _steps(part)
    hint = "a part is an async context manager, or has start(), drain() and stop()"
    if inspect.iscoroutine(part):
        part.close()
        hint = "it is a coroutine: give what it returns, `await` it before"
    elif callable(part):
        hint = "it is a function: if it makes an async context manager, call it"
    elif hasattr(part, "__enter__"):
        hint = "it is a blocking context manager: enter it in an @asynccontextmanager"
    raise _refusal(part, hint)


def _refusal(part: object, hint: str) -> Misuse:
    return Misuse(f"{part!r} cannot be a part of a service", hint=hint)


@asynccontextmanager
async def _steps(part: Part) -> AsyncIterator[None]:
    await part.start()
    try:
        yield
    finally:
        with anyio.move_on_after(_STOPPING, shield=True) as bound:
            await part.stop()
        if bound.cancelled_caught:
            raise Expired(f"stop() of part {name_of(part)!r} took longer than {_STOPPING} s")


def hook_of(part: AnyPart, name: str, *, is_async: bool | None = None) -> Callable[..., Any] | None:
    """One of the methods that a part may have. Raises Misuse for what is none.

    `is_async`: it has to be async, or has to be none; None leaves it free.
    """
    hook: Callable[..., Any] | None = getattr(part, name, None)
    if hook is None:
        return None
    if not callable(hook):
        raise Misuse(
            f"{name} of part {name_of(part)!r} is {hook!r}, which cannot be called",
            hint=f"make {name} a method, or call the attribute something else",
        )
    if is_async is not None and inspect.iscoroutinefunction(hook) is not is_async:
        word = "async" if is_async else "not async: keep what it says where `watch` finds it"
        raise Misuse(f"{name}() of part {name_of(part)!r} cannot work", hint=f"it has to be {word}")
    return hook


def drain_of(part: AnyPart) -> Callable[[float], Awaitable[object]] | None:
    """The part's `drain`, as a function of the deadline."""
    drain = hook_of(part, "drain")
    if drain is None:
        return None
    try:
        parameters = inspect.signature(drain).parameters
    except ValueError:  # of C, and does not say
        return drain
    if "deadline" in parameters:
        return lambda deadline: drain(deadline=deadline)
    required = [
        each
        for each in parameters.values()
        if each.default is each.empty and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
    ]
    if not required:
        return lambda _deadline: drain()
    if len(required) == 1 and required[0].kind is not inspect.Parameter.KEYWORD_ONLY:
        return drain
    raise Misuse(
        f"drain() of part {name_of(part)!r} wants {', '.join(each.name for each in required)}",
        hint="drain(deadline), or no argument",
    )


def name_of(part: AnyPart) -> str:
    """What messages call it."""
    name = getattr(part, "name", None)
    if isinstance(name, str) and name:
        return name
    # An @asynccontextmanager is known by its function.
    function = getattr(part, "func", None)
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(part).__name__
