"""A server's side of ASGI, in as few lines as it takes."""

from __future__ import annotations

from typing import Any

import anyio


class Answer:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    @property
    def status(self) -> int:
        return next(e["status"] for e in self.events if e["type"] == "http.response.start")

    @property
    def headers(self) -> dict[str, str]:
        start = next(e for e in self.events if "headers" in e)
        return {name.decode().lower(): value.decode() for name, value in start["headers"]}

    @property
    def text(self) -> str:
        parts = (e.get("body", b"") for e in self.events if e["type"] == "http.response.body")
        return b"".join(parts).decode()


async def ask(
    app: Any,
    path: str = "/",
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    kind: str = "http",
    answer: Answer | None = None,
    events: Any = None,
    **scope: Any,
) -> Answer:
    """One request; `events` are what comes in, by default an empty body and then silence."""
    answer = answer or Answer()
    first = {"type": "http.request"} if kind == "http" else {"type": "websocket.connect"}
    coming = iter([first] if events is None else events)

    async def receive() -> dict[str, Any]:
        for event in coming:
            return event
        await anyio.sleep_forever()
        raise AssertionError

    async def send(event: dict[str, Any]) -> None:
        answer.events.append(event)
        await anyio.lowlevel.checkpoint()

    whole = {
        "type": kind,
        "http_version": "1.1",
        "path": path,
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in (headers or {}).items()],
        **({"method": method} if kind == "http" else {}),
        **scope,
    }
    answer.scope = whole
    await app(whole, receive, send)
    return answer


async def plain(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
