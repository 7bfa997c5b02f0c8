"""What begins spans, calls functions inside of them, and finds traces again."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from penstock._native import Span
from penstock._native import Tracer as NativeTracer

from .trace import Trace, group

__all__ = ("Tracer",)

P = ParamSpec("P")
T = TypeVar("T")


class Tracer(NativeTracer):
    """Begins spans under one name, mostly that of the part of the program it is in.

    Args:
        name: whose spans they are, such as "orders".
        sampler: which traces are recorded; by default as the parent says, and all without one.
        store: where finished spans are kept; by default the process's, which all tracers share.

    Make one for each module and keep it. Any thread, any event loop; a forked child goes on with
    an empty store and ids of its own.

    Example:
        >>> tracer = Tracer("orders", store=SpanStore())
        >>> with tracer.span("charge", {"order.id": "42"}) as span:
        ...     span.set_attribute("amount", 12.5)
        >>> tracer.get_trace(span.trace_id).root.name
        'charge'

    """

    __slots__ = ()

    @overload
    def trace(
        self, name: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def trace(self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def trace(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `fn(*args, **kwargs)` as one span.

        `user = await tracer.trace("fetch_user", get_user, "123")`; the value of a plain function
        comes back at once. Results and exceptions pass through; an exception is noted in the span,
        a cancellation as an event and no error.
        """
        if inspect.iscoroutinefunction(fn):
            return self._trace_call(name, fn, args, kwargs)
        span = self.span(name)
        with span.activate():
            try:
                result = fn(*args, **kwargs)
            except BaseException:
                # Entering puts the exception where `with` would have seen it.
                with span:
                    raise
        if inspect.isawaitable(result):
            return _finish(span, result)
        span.end()
        return result

    async def _trace_call(
        self, name: str, fn: Callable[..., Awaitable[T]], args: Any, kwargs: Any
    ) -> T:
        with self.span(name):
            return await fn(*args, **kwargs)

    def get_trace(self, trace_id: str) -> Trace | None:
        """The trace of that id, as far as its spans have ended and are kept; None if none is.

        Raises `Misuse` for what is no trace id. Looks through the whole store: some 10 ns a span.
        """
        spans = self.store.trace(trace_id)
        return Trace(spans) if spans else None

    def traces(self) -> list[Trace]:
        """All traces that are kept, in the order in which they began.

        The slowest: `max(tracer.traces(), key=lambda trace: trace.duration)`.
        """
        return group(self.store.spans())


async def _finish(span: Span, result: Awaitable[T]) -> T:
    with span:
        return await result
