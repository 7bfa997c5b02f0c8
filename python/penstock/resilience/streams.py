"""Async generators under a policy: tried again only before their first item."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from penstock._deadline import deadline_variable

from .deadline import DeadlinePart
from .lazy import within
from .limit import current_deadline

if TYPE_CHECKING:
    from .strategy import Part

__all__ = ("decorate_stream",)

_END = object()


async def _begin(fn: Any, args: Any, kwargs: Any) -> tuple[AsyncIterator[Any], Any]:
    items = fn(*args, **kwargs)
    try:
        return items, await items.__anext__()
    except StopAsyncIteration:
        return items, _END


def decorate_stream(
    fn: Callable[..., AsyncGenerator[Any, Any]], call: Callable[..., Any], parts: list[Part]
) -> Callable[..., AsyncGenerator[Any, None]]:
    """`fn` with the policy around the wait for its first item.

    Places in bulkheads and limits are held, and the deadline goes on, until the generator ends.
    """
    deadline = next((part for part in parts if isinstance(part, DeadlinePart)), None)

    @wraps(fn)
    async def stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        held: list[Callable[..., object]] = []
        raised: BaseException | None = None
        when = None if deadline is None else deadline.begin_now()
        try:
            items, item = await call(held, _begin, fn, args, kwargs)
            try:
                while item is not _END:
                    yield item
                    if deadline is None or when is None:
                        item = await anext(items, _END)
                    else:
                        item = await _next_by(deadline, when, items)
            finally:
                close = getattr(items, "aclose", None)
                if close is not None:
                    await close()
        except BaseException as error:
            raised = error
            raise
        finally:
            for release in reversed(held):
                release(raised)
            del raised

    return stream


async def _next_by(deadline: DeadlinePart, when: float, items: AsyncIterator[Any]) -> Any:
    async def step() -> Any:
        return await anext(items, _END)

    token = deadline_variable.set(min(when, current_deadline()))
    try:
        return await within(deadline.slot, when, deadline.exceeded, step)
    finally:
        deadline_variable.reset(token)
