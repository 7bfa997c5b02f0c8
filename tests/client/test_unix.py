"""Over a unix socket."""

from __future__ import annotations

from contextlib import suppress

import anyio
import httpx2
import pytest

from penstock import ServiceClient
from penstock.client.unix import _Stream
from penstock.resilience import Policy
from tests.loops import LOOPS
from tests.resilience.calls import turn_until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7"


def is_over(connection):
    return connection._connection._network_stream.get_extra_info("is_readable")


async def test_it_talks_over_a_unix_socket(anyio_backend, tmp_path_factory):
    place = tmp_path_factory.mktemp("d") / "s"
    served = []
    busy = 0

    async def serve(stream):
        nonlocal busy
        busy += 1
        # Two requests, and then it hangs up while nobody asks.
        async with stream:
            with suppress(anyio.EndOfStream):
                for _ in range(2):
                    served.append(await stream.receive())
                    await stream.send(OK)
        busy -= 1

    policy = Policy("desk")
    listener = await anyio.create_unix_listener(place)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        async with ServiceClient("http://desk/v1", policy=policy, uds=str(place)) as desk:
            for number in range(5):
                assert await desk.get("/a") == 7
                if number % 2:  # it has hung up, which is seen before anybody asks again
                    await turn_until(
                        lambda: all(map(is_over, desk.http._transport._pool.connections))
                    )
            connection = desk.http._transport._pool.connections[-1]
            is_ours = isinstance(connection._connection._network_stream, _Stream)
            assert is_ours == (anyio_backend[0] == "asyncio")
        await turn_until(lambda: not busy)
        group.cancel_scope.cancel()
    assert len(served) == 5
    assert served[0].startswith(b"GET /v1/a HTTP/1.1\r\nHost: desk\r\n")


async def test_where_nobody_listens(tmp_path):
    async with ServiceClient("http://desk", policy=Policy("desk"), uds=str(tmp_path / "s")) as desk:
        with pytest.raises(httpx2.ConnectError):
            await desk.get("/a")


@pytest.mark.parametrize("anyio_backend", [LOOPS["asyncio"], LOOPS["trio"]])
async def test_the_clients_own_timeouts_hold(anyio_backend, tmp_path_factory):
    place = tmp_path_factory.mktemp("d") / "s"

    async def hang(stream):
        async with stream:
            await anyio.sleep_forever()

    listener = await anyio.create_unix_listener(place)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, hang)
        async with ServiceClient("http://desk", policy=Policy("desk"), uds=str(place)) as desk:
            desk.http.timeout = 0.05
            with pytest.raises(httpx2.ReadTimeout):
                await desk.get("/a")
        group.cancel_scope.cancel()
