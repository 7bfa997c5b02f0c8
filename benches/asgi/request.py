"""One request through the middleware, against the same application without it: no server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, cost
from benches.loops import kept

SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "path": "/orders/7",
    "root_path": "",
    "scheme": "http",
    "query_string": b"",
    "headers": [
        (b"host", b"orders.example"),
        (b"accept", b"*/*"),
        (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        (b"x-correlation-id", b"order-42"),
    ],
}


async def answers(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def bare() -> Any:
    return answers


def ours() -> Any:
    from penstock.asgi import Middleware

    return Middleware(answers)


@contextmanager
def asked(make: Callable[[], Any]) -> Iterator[Work]:
    app = make()
    with kept("asyncio") as run:

        async def lap(n: int) -> Lap:
            whole = 0

            async def receive() -> Any:
                return {"type": "http.request"}

            async def send(event: Any) -> None:
                nonlocal whole
                whole += event.get("body") == b"{}"

            started = perf_counter_ns()
            for _ in range(n):
                await app({**SCOPE}, receive, send)
            return Lap.since(started, whole)

        yield lambda n: run(partial(lap, n))


CASES = (
    Case(
        room="asgi",
        name="request",
        question=(
            "What does a request cost with trace, correlation id, span and metrics around it?"
        ),
        contenders=[
            Contender("penstock", "`asgi.Middleware`", partial(asked, ours), "penstock"),
            Contender("bare", "the application alone", partial(asked, bare)),
        ],
        is_right=lambda n, answer: answer == n,
        figures=[cost()],
        targets=[Target(15e-6)],
    ),
)
