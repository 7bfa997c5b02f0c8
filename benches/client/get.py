"""A small JSON document by GET from a server in another process, one call after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, percentile
from benches.client.answering import BODY, server
from benches.loops import kept

Open = Callable[[str], tuple[AbstractAsyncContextManager[Any], Callable[[], Awaitable[Any]]]]


@contextmanager
def calls(opened: Open) -> Iterator[Work]:
    with server() as url, kept("asyncio") as run:
        client, get = opened(url)

        async def enter() -> Lap:
            await client.__aenter__()
            return Lap(None, 0)

        async def leave() -> Lap:
            await client.__aexit__(None, None, None)
            return Lap(None, 0)

        async def lap(n: int) -> Lap:
            samples = []
            names: Counter[str] = Counter()
            started = perf_counter_ns()
            for _ in range(n):
                before = perf_counter_ns()
                user = await get()
                samples.append(perf_counter_ns() - before)
                names[user["name"]] += 1
            return Lap.since(started, names, samples)

        run(enter)
        try:
            yield lambda n: run(partial(lap, n))
        finally:
            run(leave)


def penstock(url: str) -> Any:
    from penstock import CircuitBreaker, Deadline, Policy, Retry, ServiceClient, Timeout

    policy = Policy("users", Deadline(30.0), Retry(attempts=3), CircuitBreaker(), Timeout(10.0))
    client = ServiceClient(url, policy=policy)
    return client, partial(client.get, "/users/7")


def bare(library: str, url: str) -> Any:
    from importlib import import_module

    client = import_module(library).AsyncClient(base_url=url)

    async def get() -> Any:
        response = await client.get("/users/7")
        response.raise_for_status()
        return response.json()

    return client, get


CASES = (
    Case(
        room="client",
        name="get",
        question=(
            f"How long does a GET of {len(BODY)} bytes of JSON take, over a connection that is "
            "kept, from a server in another process?"
        ),
        contenders=[
            Contender(
                "penstock.ServiceClient",
                "under `Deadline`, `Retry`, `CircuitBreaker`, `Timeout`; remaining time sent along",
                partial(calls, penstock),
                "penstock",
            ),
            Contender(
                "httpx2",
                "`AsyncClient.get`, `raise_for_status`, `json`; its timeouts of 5 s",
                partial(calls, partial(bare, "httpx2")),
                "httpx2",
            ),
            Contender(
                "httpx",
                "`AsyncClient.get`, `raise_for_status`, `json`; its timeouts of 5 s",
                partial(calls, partial(bare, "httpx")),
                "httpx",
            ),
        ],
        is_right=lambda n, names: names == {"Ada": n},
        figures=[percentile(50), percentile(99)],
        targets=[Target(1 / 1.10, "httpx2"), Target(1 / 1.10, "httpx")],
        least=100,
        shared=["anyio"],
    ),
)
