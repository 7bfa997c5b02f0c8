"""One request and its answer, as they pass by."""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING

from penstock.tracing import Activation, TraceContext

from .interface import Event, Receive, Scope, Send

if TYPE_CHECKING:
    import anyio

__all__ = ("Exchange",)


class Exchange:
    """Sees what goes in and out, and adds the correlation id to the answer."""

    __slots__ = (
        "_behind",
        "_correlation",
        "_receive",
        "_scope",
        "_send",
        "bound",
        "ended",
        "has_begun",
        "is_gone",
        "status",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, header: bytes, correlation: str
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._correlation = (header, correlation.encode("ascii"))
        self._behind: Activation[TraceContext] | None = None
        self.has_begun = False
        """An answer is on its way: there cannot be another one."""
        self.ended = 0.0
        """When the last byte was sent, by `perf_counter`."""
        self.bound: anyio.CancelScope | None = None
        """Ends with the time that the caller waits; what is done behind its answer is not bound."""
        self.is_gone = False
        """The client went away before its answer was whole."""
        self.status = 0
        """0 while there is none: also where the client went away before."""

    @property
    def route(self) -> str:
        """The route's template, where the framework has left one; "" otherwise.

        Never the path itself: there would be a series for each that anybody asks for.
        """
        template = self._scope.get("path_template")  # Litestar
        if not isinstance(template, str):
            template = getattr(self._scope.get("route"), "path", "")  # Starlette, FastAPI
        return template if isinstance(template, str) else ""

    def leave(self) -> None:
        """Put back what was current before the answer was whole."""
        if self._behind is not None:
            self._behind.__exit__(None, None, None)

    def fail(self) -> None:
        """The application has raised; the server answers 500, if anything."""
        if not self.has_begun and not self.is_gone:
            self.status = 500

    async def receive(self) -> Event:
        event = await self._receive()
        if event["type"] == "http.disconnect" and not self.ended:
            self.is_gone = True
        return event

    async def send(self, event: Event) -> None:
        kind = event["type"]
        if kind in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
            self.has_begun = True
            self.status = event.get("status", 101)
            headers = list(event.get("headers", ()))
            name = self._correlation[0]
            if not any(bytes(given).lower() == name for given, _ in headers):
                headers.append(self._correlation)
            event = {**event, "headers": headers}
        elif kind == "websocket.close" and not self.has_begun:
            self.status = 403
        await self._send(event)
        if kind == "http.response.body" and not event.get("more_body"):
            self.ended = perf_counter()
            if self.bound is not None:
                self.bound.deadline = math.inf
                # For policies and clients in what this task does from here on.
                self._behind = TraceContext.current().replace(deadline=None).activate()
                self._behind.__enter__()
