"""`Middleware`: one layer that every request passes, in and out."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from time import perf_counter

import anyio

from penstock import metrics as _metrics
from penstock.errors import Closed, Expired, Misuse
from penstock.service import Service
from penstock.tracing import Span, TraceContext, Tracer
from penstock.tracing.arrival import CORRELATION, REQUEST_ID, received

from .exchange import Exchange
from .interface import App, Receive, Scope, Send, answer, path_below

__all__ = ("Middleware",)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
_QUIET = ("/health", "/live", "/ready", "/metrics")
_CORRELATION, _REQUEST_ID = CORRELATION.lower().encode(), REQUEST_ID.lower().encode()
_GONE = 499
"""What a request counts as whose client did not wait for its answer."""


class Middleware:
    """Takes over trace, deadline and correlation id of each request, and lets a service drain.

    `app.add_middleware(Middleware, service=service)`, or `app = Middleware(app)` around any
    ASGI application; outermost, so that what fails inside is seen. For each HTTP request:

    - The **trace** goes on: `traceparent`, `tracestate` and `baggage` become current, and a span of
      kind "server" is named after method and route, with the status; from 500 on it is an error.
    - The **deadline** in `X-Request-Deadline-Ms`, which `ServiceClient` sends, bounds all that is
      done below: policies, clients and pools share it. One that has passed already is answered
      504 before the application runs; when it passes later, the application is cancelled and 504
      is the answer, unless that has begun: then the connection ends. A thread cannot be
      cancelled, so a blocking endpoint is answered for when it returns. Background tasks behind
      a whole answer are not cut.
    - The **correlation id** in `X-Correlation-ID` or `X-Request-ID` is current: in log lines and in
      outgoing calls. Without a proper one (ASCII, up to 128 characters) the trace's id is
      it, or a new one. The answer carries it, in the header in which it came.
    - **Metrics**: `http_server_request_seconds` by method, route and status, until the last byte
      is sent, and `http_server_in_flight`. A client that went away early counts as 499.

    WebSockets have trace, correlation id, span and metrics, for as long as they are open.

    Args:
        app: the application.
        service: whose work the requests are. While it does not run, they are answered 503 with
            `Retry-After` and `Connection: close`; it waits for those under way before it drains
            its parts. Without it nothing is refused.
        quiet: paths that pass untouched, with all below them: probes and scrapes, which have to
            be answered while the service drains.
        retry_after: seconds that those who are refused are told to wait.
        tracer: of the spans.
        metrics: where it counts, if not in the process's own.

    Cancellation passes, and nothing is left running. Errors of the application pass to the server.
    Needs no framework; asyncio, uvloop and trio. Cost: some 10 µs a request.

    """

    def __init__(
        self,
        app: App,
        *,
        service: Service | None = None,
        quiet: Sequence[str] = _QUIET,
        retry_after: int = 1,
        tracer: Tracer | None = None,
        metrics: _metrics.Metrics | None = None,
    ) -> None:
        if not callable(app):
            raise Misuse(f"asgi.Middleware: {app!r} is no application", hint="Middleware(app)")
        if service is not None and not isinstance(service, Service):
            raise Misuse(
                f"asgi.Middleware: service={service!r} is no Service", hint="service=service"
            )
        if isinstance(quiet, str) or not all(
            isinstance(path, str) and path.startswith("/") for path in quiet
        ):
            raise Misuse(
                f"asgi.Middleware: quiet={quiet!r} is no sequence of paths",
                hint='quiet=("/health", "/metrics")',
            )
        if isinstance(retry_after, bool) or not isinstance(retry_after, int) or retry_after < 0:
            raise Misuse(
                f"asgi.Middleware: retry_after={retry_after!r} is no whole number of seconds",
                hint="retry_after=1",
            )
        self._app = app
        self._service = service
        self._quiet = frozenset(path.rstrip("/") for path in quiet)
        self._below_quiet = tuple(f"{path}/" for path in self._quiet)
        self._retry_after = str(retry_after).encode()
        self._tracer = tracer or Tracer("penstock.asgi")
        registry = _metrics if metrics is None else metrics
        self._seconds = registry.histogram(
            "http_server_request_seconds",
            "from a request's headers to the last byte of its answer",
            labels=("method", "route", "status"),
        )
        self._in_flight = registry.gauge("http_server_in_flight", "requests under way")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on, with what is described at the class."""
        if scope["type"] not in {"http", "websocket"} or self._is_quiet(path_below(scope)):
            await self._app(scope, receive, send)
            return
        if self._service is None:
            await self._serve(scope, receive, send)
            return
        work = self._service.work()
        try:
            work.__enter__()
        except Closed as closed:
            await self._refuse(scope, receive, send, str(closed))
            return
        try:
            await self._serve(scope, receive, send)
        finally:
            work.__exit__(None, None, None)

    def _is_quiet(self, path: str) -> bool:
        return path in self._quiet or path.startswith(self._below_quiet)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        context, header = _arrived(scope)
        assert context.correlation_id is not None
        exchange = Exchange(scope, receive, send, header, context.correlation_id)
        method = scope.get("method", "WEBSOCKET")
        method = method if method in _METHODS or scope["type"] == "websocket" else "_OTHER"
        attributes = {
            "http.request.method": method,
            "url.path": scope["path"],
            "url.scheme": scope.get("scheme", ""),
        }
        began = perf_counter()
        self._in_flight.inc()
        try:
            with context.activate(), self._tracer.span(method, attributes, kind="server") as span:
                try:
                    await self._bounded(scope, exchange, context)
                except Exception:
                    exchange.fail()
                    raise
                finally:
                    exchange.leave()
                    self._describe(span, method, exchange)
        finally:
            self._in_flight.dec()
            self._seconds.record(
                (exchange.ended or perf_counter()) - began,
                labels={
                    "method": method,
                    "route": exchange.route,
                    "status": str(_GONE if exchange.is_gone else exchange.status or _GONE),
                },
            )

    async def _bounded(self, scope: Scope, exchange: Exchange, context: TraceContext) -> None:
        """Call the application, no longer than its caller waits."""
        left = context.remaining
        if left is None:
            await self._app(scope, exchange.receive, exchange.send)
            return
        if left > 0:
            try:
                with anyio.CancelScope(deadline=anyio.current_time() + left) as bound:
                    exchange.bound = bound
                    await self._app(scope, exchange.receive, exchange.send)
            except Expired:
                # A policy or a client inside has seen it first.
                if exchange.has_begun or (context.remaining or 0) > 0:
                    raise
            else:
                if not bound.cancelled_caught:
                    return
        if not exchange.has_begun:
            text = "the time that the caller waits is over\n"
            await answer(scope, exchange.send, 504, text)

    def _describe(self, span: Span, method: str, exchange: Exchange) -> None:
        if exchange.route:
            span.update_name(f"{method} {exchange.route}")
            span.set_attribute("http.route", exchange.route)
        if exchange.status:
            span.set_attribute("http.response.status_code", exchange.status)
            if exchange.status >= 500:
                span.set_status("error")

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, why: str) -> None:
        headers = [(b"retry-after", self._retry_after)]
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1013, "reason": why})
            return
        if not scope.get("http_version", "1.1").startswith(("2", "3")):
            headers.append((b"connection", b"close"))
        await answer(scope, send, 503, f"{why}\n", headers=headers)


def _arrived(scope: Scope) -> tuple[TraceContext, bytes]:
    """What came with a request, and the header in which its correlation id goes back."""
    headers = scope["headers"]
    context = received(headers).context
    header = _CORRELATION
    if context.correlation_id is None:
        made = context.trace_id if context.is_valid else secrets.token_hex(16)
        context = context.replace(correlation_id=made)
    elif header not in dict(headers):
        header = _REQUEST_ID
    if scope["type"] == "websocket":
        # A connection that stays has nobody who waits for its end.
        context = context.replace(deadline=None)
    return context, header
