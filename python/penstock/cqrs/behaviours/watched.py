"""`Logged`, `Traced`, `Measured`: what happened, for those who look at it afterwards."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from time import perf_counter
from typing import Any

from penstock import metrics, tracing
from penstock.cqrs.behaviour import Next
from penstock.cqrs.handler import Handler
from penstock.cqrs.message import Kind
from penstock.cqrs.stream_behaviour import Items, NextItems
from penstock.errors import Misuse

__all__ = ("Logged", "Measured", "Traced")


class Logged:
    """Writes one line for each message: what it was, how it ended, how long it took.

    Success at `level`, an exception at WARNING with its text, a cancellation at `level`. The
    message's fields are not written: they may be secret.
    """

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        if logger is not None and not isinstance(logger, logging.Logger):
            raise Misuse(f"Logged({logger!r}): no logger", hint="logging.getLogger(__name__)")
        self._logger = logging.getLogger("penstock.cqrs") if logger is None else logger
        self._level = level

    def wrap(self, handler: Handler, next: Next, /) -> Next:
        """See `Behaviour`."""
        name = plain(handler.kind)

        async def logged(message: Any) -> Any:
            started = perf_counter()
            try:
                result = await next(message)
            except BaseException as error:
                self._failed(name, started, error)
                raise
            self._ended(name, started)
            return result

        return logged

    def wrap_stream(self, handler: Handler, next: NextItems, /) -> NextItems:
        """See `StreamBehaviour`."""
        name = plain(handler.kind)

        async def logged(message: Any) -> Items:
            started = perf_counter()
            try:
                async for item in next(message):
                    yield item
            except GeneratorExit:  # whoever reads it has seen enough
                self._ended(name, started)
                raise
            except BaseException as error:
                self._failed(name, started, error)
                raise
            self._ended(name, started)

        return logged

    def _ended(self, name: str, started: float) -> None:
        if self._logger.isEnabledFor(self._level):
            took = (perf_counter() - started) * 1e3
            self._logger.log(self._level, "%s: done in %.2f ms", name, took)

    def _failed(self, name: str, started: float, error: BaseException) -> None:
        took = (perf_counter() - started) * 1e3
        if isinstance(error, Exception):
            text = f"{type(error).__name__}: {error}"
            self._logger.warning("%s: failed after %.2f ms: %s", name, took, text)
        elif self._logger.isEnabledFor(self._level):
            self._logger.log(self._level, "%s: cancelled after %.2f ms", name, took)

    def __repr__(self) -> str:
        return "Logged()"


class Traced:
    """Makes a span of each message, named for it; the handler's own spans are below it."""

    def __init__(self, tracer: tracing.Tracer | None = None) -> None:
        if tracer is not None and not isinstance(tracer, tracing.Tracer):
            raise Misuse(f"Traced({tracer!r}): no tracer", hint='tracing.Tracer("orders")')
        self._tracer = tracing.Tracer("penstock.cqrs") if tracer is None else tracer

    def wrap(self, handler: Handler, next: Next, /) -> Next:
        """See `Behaviour`."""
        name, span = plain(handler.kind), self._tracer.span

        async def traced(message: Any) -> Any:
            with span(name):
                return await next(message)

        return traced

    def wrap_stream(self, handler: Handler, next: NextItems, /) -> NextItems:
        """See `StreamBehaviour`."""
        name, new = plain(handler.kind), self._tracer.span

        async def traced(message: Any) -> Items:
            # Current only while the handler is at work: what is between two items is the reader's.
            span = new(name)
            items = next(message)
            try:
                while True:
                    with span.activate():
                        try:
                            item = await anext(items)
                        except StopAsyncIteration:
                            return
                    yield item
            except Exception as error:
                span.record_exception(error)
                raise
            finally:
                span.end()

        return traced

    def __repr__(self) -> str:
        return "Traced()"


class Measured:
    """Counts and times each message, as `metrics.measure` does, under its own name."""

    def __init__(self, registry: metrics.Metrics | None = None) -> None:
        if registry is not None and not isinstance(registry, metrics.Metrics):
            raise Misuse(f"Measured({registry!r}): no Metrics", hint="metrics.Metrics()")
        self._measure: Any = metrics.measure if registry is None else registry.measure

    def wrap(self, handler: Handler, next: Next, /) -> Next:
        """See `Behaviour`."""
        name, measure = plain(handler.kind), self._measure

        def measured(message: Any) -> Awaitable[Any]:
            awaitable: Awaitable[Any] = measure(name, next, message)
            return awaitable

        return measured

    def wrap_stream(self, handler: Handler, next: NextItems, /) -> NextItems:
        """See `StreamBehaviour`."""
        name, measure = plain(handler.kind), self._measure

        async def measured(message: Any) -> Items:
            with measure(name):
                async for item in next(message):
                    yield item

        return measured

    def __repr__(self) -> str:
        return "Measured()"


def plain(kind: Kind) -> str:
    """The name of a message for spans, lines and instruments."""
    return kind if isinstance(kind, str) else kind.__name__
