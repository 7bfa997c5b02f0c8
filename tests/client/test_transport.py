"""A policy below httpx2 and httpx, against a server in another process."""

from __future__ import annotations

import pickle
import time

import anyio
import httpx
import httpx2
import pytest

from penstock.errors import Misuse
from penstock.resilience import (
    AttemptTimeout,
    Bulkhead,
    BulkheadFull,
    Cache,
    CircuitBreaker,
    CircuitOpen,
    Deadline,
    DeadlineExceeded,
    Fallback,
    Hedge,
    Policy,
    Retry,
    Timeout,
)
from penstock.testing import capture
from tests.resilience.calls import Call, everywhere, turn_until

LIBRARIES = pytest.mark.parametrize("http", [httpx2, httpx], ids=lambda each: each.__name__)


def policy(*strategies):
    return Policy("remote", *strategies)


def retry(attempts=3, **more):
    return Retry(attempts=attempts, delay=0.0, **more)


def client(http, below, limit=None, **more):
    limits = http.Limits(max_connections=limit) if limit else http.Limits()
    inner = http.AsyncHTTPTransport(limits=limits)
    return http.AsyncClient(transport=below.transport(inner, **more), timeout=None)


def pool(session):
    return session._transport._inner._pool


@LIBRARIES
async def test_failures_are_tried_again(http, server):
    async with client(http, policy(retry())) as session:
        response = await session.get(f"{server.url}/a?503;reset;200")
        assert (response.status_code, response.json()["turn"]) == (200, 2)
        assert await session.get(f"{server.url}/b?truncate;200")
        response = await session.get(f"{server.url}/c?503;502;500;200")
        assert response.status_code == 500
        assert response.json()["turn"] == 2
        assert (await session.get(f"{server.url}/d?404;200")).status_code == 404
    assert len(server.requests) == 3 + 2 + 3 + 1


@LIBRARIES
def test_failures_are_tried_again_in_threads(http, server):
    below = policy(retry(4), Timeout(5.0))
    with http.Client(transport=below.transport(http.HTTPTransport()), timeout=None) as session:
        assert session.get(f"{server.url}/a?503;reset;truncate;200", timeout=None)
        response = session.get(f"{server.url}/b?503;503;503;503;200")
        assert (response.status_code, response.json()["turn"]) == (503, 3)
        with session.stream("GET", f"{server.url}/c?503;chunked") as response:
            assert len(response.read()) == 10_000


async def test_retry_after_is_heeded(server):
    below = policy(Retry(attempts=2, delay=0.0, max_retry_after=1.0))
    async with client(httpx2, below) as session:
        with capture("remote") as events:
            assert (await session.get(f"{server.url}/a?429,1;200")).status_code == 200
            response = await session.get(f"{server.url}/b?429,2;200")
        assert response.status_code == 429
        assert [(event.kind, event.seconds) for event in events] == [
            ("retried", 1.0),
            ("gave_up", None),
        ]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_only_what_may_be_sent_twice_is(method, server):
    below = policy(retry(), Timeout(5.0))
    async with client(httpx2, below) as session:

        async def ask(path, **more):
            return (await session.request(method, server.url + path, **more)).status_code

        assert await ask("/a?503;200") == 503
        with pytest.raises(httpx2.ReadError):
            await ask("/b?reset;200")
        assert await ask("/c?429;200") == 200
        assert await ask("/d?503;200", headers={"Idempotency-Key": "d"}) == 200
        assert [each["target"][:2] for each in server.requests] == [
            *("/a", "/b", "/c", "/c", "/d", "/d")
        ]


async def test_a_body_from_an_iterator_goes_out_once(server):
    async def body():
        yield b"once"

    async with client(httpx2, policy(retry())) as session:
        response = await session.put(f"{server.url}/a?429;200", content=body())
        assert response.status_code == 429
    assert [each["body"] for each in server.requests] == ["once"]


async def test_what_was_never_sent_is_tried_again():
    below = policy(retry(on=httpx2.ConnectError))
    async with client(httpx2, below) as session:
        with capture("remote") as events, pytest.raises(httpx2.ConnectError):
            await session.post("http://127.0.0.1:1/")
    assert [event.kind for event in events] == ["retried", "retried", "gave_up"]


@LIBRARIES
async def test_refusals_are_errors_of_the_client_as_well(http, server):
    below = policy(CircuitBreaker(failure_threshold=1))
    async with client(http, below) as session:
        assert (await session.get(f"{server.url}/a?503")).status_code == 503
        with pytest.raises(http.ConnectError) as caught:
            await session.get(f"{server.url}/a?200")
    error = caught.value
    assert isinstance(error, CircuitOpen)
    assert type(error).__name__ == "CircuitOpen"
    assert error.key == server.origin
    assert str(error.request.url) == f"{server.url}/a?200"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.retry_after) == (str(error), error.retry_after)


@LIBRARIES
async def test_timeouts_are_timeouts_of_the_client_as_well(http, server):
    async with client(http, policy(Timeout(0.05))) as session:
        with pytest.raises(http.TimeoutException) as caught:
            await session.get(f"{server.url}/a?hang")
        assert isinstance(caught.value, AttemptTimeout)
        assert pickle.loads(pickle.dumps(caught.value)).hint is None
    async with client(http, policy(Deadline(0.05))) as session:
        with pytest.raises(http.TimeoutException) as caught:
            await session.get(f"{server.url}/a?hang")
        assert isinstance(caught.value, DeadlineExceeded)
        assert pickle.loads(pickle.dumps(caught.value)).hint == caught.value.hint
    await server.until(lambda server: not server.open)


@LIBRARIES
def test_timeouts_of_threads(http, server):
    below = policy(Timeout(0.05))
    with http.Client(transport=below.transport(http.HTTPTransport()), timeout=None) as session:
        with pytest.raises(http.TimeoutException) as caught:
            session.get(f"{server.url}/a?delay,0.3,200")
        assert isinstance(caught.value, AttemptTimeout)
        # The thread goes on; a pool that is closed before its end would never close this one.
        while not all(each.is_idle() for each in pool(session).connections):
            time.sleep(0.005)


async def test_each_origin_has_a_state_of_its_own(server):
    below = policy(CircuitBreaker(failure_threshold=1))
    async with client(httpx2, below) as first, client(httpx2, below) as second:
        with pytest.raises(httpx2.ConnectError):
            await first.get("http://127.0.0.1:1/")
        with pytest.raises(CircuitOpen):
            await second.get("http://127.0.0.1:1/")
        assert (await first.get(f"{server.url}/a")).status_code == 200
    async with client(httpx2, below, key=lambda request: request.url.path) as session:
        await session.get(f"{server.url}/bad?503")
        with pytest.raises(CircuitOpen, match="'/bad'"):
            await session.get(f"{server.url}/bad?503")
        assert (await session.get(f"{server.url}/good")).status_code == 200


async def test_a_retried_answer_holds_no_connection_during_the_pause(server):
    below = policy(Retry(attempts=2, delay=30.0, jitter=0.0))
    async with client(httpx2, below, limit=1) as session, anyio.create_task_group() as group:
        group.start_soon(session.get, f"{server.url}/a?503")
        await server.until(lambda server: server.requests)
        # There is one connection, and it is free though the other one is not through.
        assert (await session.get(f"{server.url}/b?200")).status_code == 200
        group.cancel_scope.cancel()
    assert server.opened == 1


async def test_a_long_failure_is_cut_and_says_so(server):
    async with client(httpx2, policy(retry(2)), limit=1, max_body=5_000) as session:
        with pytest.raises(httpx2.ReadError, match=r"left unread after .* more than max_body=5000"):
            await session.get(f"{server.url}/a?big,20000")
        response = await session.get(f"{server.url}/b?big,4000")
        assert (response.status_code, len(response.content)) == (503, 4000)


async def test_a_long_body_is_streamed_and_holds_its_place(server):
    below = policy(Bulkhead(1))
    async with client(httpx2, below, limit=1) as session:
        async with session.stream("GET", f"{server.url}/a?forever") as response:
            assert response.status_code == 200
            with pytest.raises(httpx2.PoolTimeout) as caught:
                await session.get(f"{server.url}/b")
            assert isinstance(caught.value, BulkheadFull)
        assert (await session.get(f"{server.url}/b")).status_code == 200
        assert (await session.get(f"{server.url}/c?chunked")).status_code == 200
        assert (await session.get(f"{server.url}/d")).status_code == 200
        assert len(pool(session)._requests) == 0


@everywhere
async def test_a_cancelled_call_leaves_no_connection_behind(anyio_backend, how, server):
    below = policy(Deadline(60.0), Bulkhead(1, max_waiting=1), retry(), Timeout(30.0))
    async with client(httpx2, below, limit=1) as session, anyio.create_task_group() as group:
        for path in ("/hang?hang", "/forever?forever"):
            call = Call(how, lambda path=path: session.get(server.url + path)).start(group)
            await server.until(lambda server: server.requests)
            call.cancel()
            assert await call.ended() == "cancelled"
            # Pool and bulkhead have one place each.
            assert (await session.get(f"{server.url}/ok")).status_code == 200
            await server.until(lambda server: server.open == 1)
            server.forget()
        assert not pool(session)._requests


async def test_losers_of_a_hedge_leave_no_connection_behind(server):
    below = policy(Hedge(0.02, max_extra=2), Timeout(30.0))
    async with client(httpx2, below, limit=3) as session:
        for number in range(5):
            response = await session.get(f"{server.url}/{number}?hang;200")
            assert response.json()["turn"] in {1, 2}  # of the two others, whichever was sooner
            response = await session.get(f"{server.url}/late{number}?hang;hang;chunked")
            assert len(response.content) == 10_000
        await server.until(lambda server: server.open == len(pool(session).connections))
        assert not pool(session)._requests
        assert (await session.post(f"{server.url}/post?delay,0.1,200")).json()["turn"] == 0
        assert sum("/post?" in each["target"] for each in server.requests) == 1
    await server.until(lambda server: not server.open)


async def test_of_two_answers_at_once_one_is_closed(anyio_backend, server):
    """Both attempts have an open body when the hedge is decided."""
    arrived = []

    class Together(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request):
            response = await super().handle_async_request(request)
            arrived.append(response)
            with anyio.CancelScope(shield=True):
                await turn_until(lambda: len(arrived) == 2)
            return response

    below = policy(Hedge(0.01, grace=5.0))
    inner = Together(limits=httpx2.Limits(max_connections=2))
    async with httpx2.AsyncClient(transport=below.transport(inner), timeout=None) as session:
        async with session.stream("GET", f"{server.url}/a?forever") as response:
            assert response.status_code == 200
            await server.until(lambda server: server.open == 1)
        await server.until(lambda server: server.open == 0)
        assert not inner._pool._requests


async def test_a_fallback_answers_with_a_response(server):
    below = policy(Fallback(lambda error, request, opened: httpx2.Response(204)), retry(2))
    async with client(httpx2, below) as session:
        assert (await session.get(f"{server.url}/a?reset")).status_code == 204
    async with client(httpx2, policy(Fallback(value="none"))) as session:
        with pytest.raises(Misuse, match="answered with str"):
            await session.get(f"{server.url}/b?reset")


def test_what_cannot_work_is_refused():
    below = policy(retry())
    with pytest.raises(Misuse, match="is no transport of httpx2 or httpx"):
        below.transport(object())
    with pytest.raises(Misuse, match="Cache cannot remember a response"):
        policy(Cache(1.0)).transport(httpx2.HTTPTransport())
    with pytest.raises(Misuse, match="200 is no status of a failure"):
        below.transport(httpx2.HTTPTransport(), statuses={200})
    with pytest.raises(Misuse, match="no collection of numbers"):
        below.transport(httpx2.HTTPTransport(), statuses="503")
    with pytest.raises(Misuse, match="max_body=-1"):
        below.transport(httpx2.HTTPTransport(), max_body=-1)
    with pytest.raises(Misuse, match="key='host' is no function"):
        below.transport(httpx2.HTTPTransport(), key="host")
