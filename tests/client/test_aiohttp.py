"""The same policy as a middleware of aiohttp."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from penstock.errors import Misuse
from penstock.resilience import (
    AttemptTimeout,
    Cache,
    CircuitBreaker,
    CircuitOpen,
    Hedge,
    Policy,
    Retry,
    Timeout,
)
from tests.loops import LOOPS, NATIVE

pytestmark = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(LOOPS[name], id=name) for name in NATIVE]
)


def session(*strategies, limit=1, **more):
    below = Policy("remote", *strategies)
    connector = aiohttp.TCPConnector(limit=limit)
    return aiohttp.ClientSession(
        connector=connector, middlewares=[below.aiohttp_middleware(**more)]
    )


async def test_failures_are_tried_again(anyio_backend, server):
    async with session(Retry(attempts=3, delay=0.0)) as http:
        async with http.get(f"{server.url}/a?503;truncate;200") as response:
            assert (response.status, (await response.json())["turn"]) == (200, 2)
        async with http.get(f"{server.url}/b?503") as response:
            assert (response.status, (await response.json())["turn"]) == (503, 2)
        async with http.post(f"{server.url}/c?503;200", data=b"x") as response:
            assert response.status == 503
        key = {"Idempotency-Key": "d"}
        async with http.post(f"{server.url}/d?503;200", data=b"x", headers=key) as response:
            assert response.status == 200


async def test_retry_after_is_heeded(anyio_backend, server):
    patient = Retry(attempts=2, delay=0.0, max_retry_after=1.0)
    async with session(patient) as http, http.get(f"{server.url}/a?429,2;200") as response:
        assert response.status == 429


async def test_refusals_are_errors_of_the_client_as_well(anyio_backend, server):
    async with session(CircuitBreaker(failure_threshold=1)) as http:
        async with http.get(f"{server.url}/a?503") as response:
            assert response.status == 503
        with pytest.raises(aiohttp.ClientConnectionError) as caught:
            await http.get(f"{server.url}/a")
        assert isinstance(caught.value, CircuitOpen)
        assert caught.value.key == server.origin
    async with session(Timeout(0.05)) as http:
        with pytest.raises(aiohttp.ServerTimeoutError) as caught:
            await http.get(f"{server.url}/a?hang")
        assert isinstance(caught.value, AttemptTimeout)
    await server.until(lambda server: not server.open)


async def test_nothing_is_left_behind(anyio_backend, server):
    async with session(Hedge(0.02), limit=2) as http:
        async with http.get(f"{server.url}/a?hang;200") as response:
            assert (await response.json())["turn"] == 1
        async with http.get(f"{server.url}/b?hang;chunked") as response:
            assert len(await response.read()) == 10_000
        task = asyncio.ensure_future(http.get(f"{server.url}/c?hang"))
        await server.until(lambda server: sum("/c" in e["target"] for e in server.requests) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Of two places in the pool both are there.
        async with http.get(f"{server.url}/d?chunked") as one, http.get(f"{server.url}/e") as other:
            assert (one.status, other.status) == (200, 200)
            await one.read()
    await server.until(lambda server: not server.open)


async def test_what_cannot_work_is_refused(anyio_backend):
    with pytest.raises(Misuse, match="Cache cannot remember a response"):
        Policy("remote", Cache(1.0)).aiohttp_middleware()
    with pytest.raises(Misuse, match="no collection of numbers"):
        Policy("remote").aiohttp_middleware(statuses=5)
