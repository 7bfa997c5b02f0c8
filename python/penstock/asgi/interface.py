"""ASGI's types, as far as they are needed here, and one plain answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

__all__ = ("App", "Event", "Receive", "Scope", "Send", "answer", "path_below")

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


async def answer(
    scope: Scope,
    send: Send,
    status: int,
    body: str,
    content_type: str = "text/plain; charset=utf-8",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """One whole response; without the body if that is what was asked for."""
    content = body.encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type.encode()),
                (b"content-length", str(len(content)).encode()),
                (b"cache-control", b"no-store"),
                *headers,
            ],
        }
    )
    is_head = scope["method"] == "HEAD"
    await send({"type": "http.response.body", "body": b"" if is_head else content})


def path_below(scope: Scope) -> str:
    """The path as an application that is mounted somewhere sees it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root) else path


async def is_asked(scope: Scope, receive: Receive, send: Send) -> bool:
    """Whether this is a GET or HEAD of HTTP; whatever else it is has been answered then."""
    if scope["type"] == "lifespan":
        # Only an application that is served by itself gets here.
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return False
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        return False
    if scope["method"] not in {"GET", "HEAD"}:
        await answer(scope, send, 405, "GET or HEAD\n", headers=[(b"allow", b"GET, HEAD")])
        return False
    return True
