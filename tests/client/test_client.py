"""`ServiceClient` against a server in another process, on every event loop."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import anyio
import httpx2
import msgspec
import pytest

from penstock import ServiceClient
from penstock.client import (
    CallerError,
    NotFound,
    ServerError,
    StateConflict,
    StatusError,
    TooManyRequests,
    Unavailable,
    UnexpectedBody,
    received,
)
from penstock.errors import Closed, Conflict, Misuse, PenstockError
from penstock.resilience import (
    Bulkhead,
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
from penstock.testing import capture, instant
from penstock.tracing import TraceContext, Tracer
from tests.resilience.calls import Call, everywhere


class User(msgspec.Struct):
    id: int
    name: str


@dataclass
class Person:
    id: int
    name: str


def client(server, *strategies, **more):
    return ServiceClient(server.url, policy=Policy("users", *strategies), **more)


def retry(attempts=3, **more):
    return Retry(attempts=attempts, delay=0.0, **more)


async def test_answers_come_as_what_is_asked_for(server):
    async with client(server) as users:
        assert await users.get("/a", into=User) == User(7, "Ada")
        assert await users.get("a", into=Person) == Person(7, "Ada")
        assert (await users.get("/a"))["name"] == "Ada"
        assert await users.delete("/b?204") is None
        assert b'"Ada"' in await users.get("/a", into=bytes)
        response = await users.get("/a", into=httpx2.Response, params={"page": 2})
        assert response.json()["target"] == "/a?page=2"
        assert len(await users.get("/c?chunked", into=bytes)) == 10_000


async def test_bodies_go_as_json(server):
    async with client(server) as users:
        for method in (users.put, users.post, users.patch, users.delete):
            echo = await method("/a", json=User(1, "Bob"))
            assert echo["body"] == '{"id":1,"name":"Bob"}'
            assert echo["headers"]["content-type"] == "application/json"
        assert (await users.post("/a", content=b"raw"))["body"] == "raw"
        assert (await users.put("/a", json=None))["body"] == "null"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, NotFound),
        (409, StateConflict),
        (418, CallerError),
        (429, TooManyRequests),
        (500, ServerError),
        (503, Unavailable),
        (302, StatusError),
    ],
)
async def test_statuses_are_errors(status, kind, server):
    async with client(server) as users:
        with pytest.raises(kind) as caught:
            await users.get(f"/a?{status}")
    error = caught.value
    assert type(error) is kind
    assert isinstance(error, httpx2.HTTPStatusError)
    assert isinstance(error, PenstockError)
    assert isinstance(error, Conflict) == (status == 409)
    assert error.status == error.response.status_code == status
    assert error.request.method == "GET"
    assert error.problem["name"] == "Ada"
    assert str(error).startswith(f"users: GET {server.url}/a?{status} answered {status}")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.status) == (kind, str(error), status)
    assert again.problem == error.problem
    assert again.request.url == error.request.url


async def test_a_body_that_is_something_else(server):
    async with client(server) as users:
        with pytest.raises(UnexpectedBody, match=r"a body that is not list\[int\]") as caught:
            await users.get("/a", into=list[int])
        assert isinstance(caught.value, httpx2.DecodingError)
        assert caught.value.response.status_code == 200
        assert pickle.loads(pickle.dumps(caught.value)).response.status_code == 200
        with pytest.raises(UnexpectedBody, match="not JSON"):
            await users.get("/b?chunked")


async def test_what_is_safe_is_tried_again(server):
    async with client(server, retry()) as users:
        for number, method in enumerate((users.get, users.put, users.delete)):
            assert (await method(f"/{number}?503;reset;200"))["turn"] == 2
        assert (await users.get("/t?truncate;200"))["turn"] == 1
        with pytest.raises(Unavailable):
            await users.post("/p?503;200")
        with pytest.raises(httpx2.ReadError):
            await users.patch("/q?reset;200")
        assert (await users.post("/r?429;200"))["turn"] == 1
        with pytest.raises(NotFound):
            await users.get("/n?404;200")
        with pytest.raises(Unavailable) as caught:
            await users.get("/u?503")
        assert [note.split(": ")[1] for note in caught.value.__notes__] == [
            *(f"attempt {number} of 3" for number in (1, 2, 3))
        ]


async def test_an_idempotency_key_makes_it_safe(server):
    async with client(server, retry()) as users:
        assert (await users.post("/a?503;200", idempotency_key=True))["turn"] == 1
        assert (await users.post("/b?reset;200", idempotency_key="mine"))["turn"] == 1
    keys = [each["headers"]["idempotency-key"] for each in server.requests]
    assert keys[0] == keys[1]
    assert len(keys[0]) == 32
    assert keys[2:] == ["mine", "mine"]


async def test_retry_after_is_heeded(server):
    async with client(server, Retry(attempts=2, delay=0.0)) as users:
        with instant() as clock:
            assert (await users.get("/a?429,7;200"))["turn"] == 1
            assert clock.sleeps == [7.0]
            with pytest.raises(TooManyRequests):
                await users.get("/b?429,61;200")


async def test_the_circuit_is_that_of_the_origin(server):
    policy = Policy("users", CircuitBreaker(failure_threshold=2))
    async with (
        ServiceClient(server.url, policy=policy) as users,
        ServiceClient(f"{server.url}/v1/", policy=policy) as others,
    ):
        with pytest.raises(NotFound):
            await users.get("/a?404")  # no failure of the service
        for each in (users, others):
            with pytest.raises(Unavailable):
                await each.get("/b?503")
        with pytest.raises(CircuitOpen) as caught:
            await users.get("/c")
        assert users.policy.circuit.state == "open"
        assert isinstance(caught.value, httpx2.ConnectError)
        assert caught.value.request.url == f"{server.url}/c"


async def test_a_cache_answers_get_alone_and_outlives_the_service(server):
    strategies = (Cache(ttl=0.05, stale=60.0), CircuitBreaker(failure_threshold=1, open_for=0.2))
    async with client(server, *strategies) as users:
        assert (await users.get("/a?200;503;503;200"))["turn"] == 0
        assert (await users.get("/a?200;503;503;200"))["turn"] == 0
        assert len(server.requests) == 1
        assert (await users.put("/b"))["turn"] == 0
        assert (await users.put("/b"))["turn"] == 1
        await anyio.sleep(0.06)
        with capture("users") as events:
            while users.policy.circuit.state == "closed":
                assert (await users.get("/a?200;503;503;200"))["turn"] == 0
                await anyio.sleep(0.01)
            turn = 0
            while turn == 0:  # it is probed in the background, and comes back
                turn = (await users.get("/a?200;503;503;200"))["turn"]
                await anyio.sleep(0.01)
        assert turn == 3
        kinds = [event.kind for event in events if event.strategy == "CircuitBreaker"]
        assert kinds.count("opened") == 2
        assert kinds[-1] == "closed"
        # Other headers may have another answer.
        assert (await users.get("/a?200;503;503;200", headers={"Accept": "text/plain"}))["turn"] > 3


async def test_a_fallback_answers(server):
    def other(error, call):
        return {"of": call.method, "status": error.status}

    async with client(server, Fallback(other)) as users:
        assert await users.get("/a?503") == {"of": "GET", "status": 503}


async def test_a_call_has_a_deadline_of_its_own(server):
    async with client(server, Deadline(60.0), retry(), Timeout(30.0)) as users:
        with pytest.raises(DeadlineExceeded) as caught:
            await users.get("/a?hang", timeout=0.05)
        assert isinstance(caught.value, httpx2.TimeoutException)
        with pytest.raises(Misuse, match="timeout=0"):
            await users.get("/a", timeout=0)
    await server.until(lambda server: not server.open)


async def test_what_a_call_takes_along(server):
    tracer = Tracer("orders")
    async with client(server, Deadline(8.0), retry(2)) as users:
        told = (await users.get("/a"))["headers"]
        assert 7000 < int(told["x-request-deadline-ms"]) <= 8000
        assert "traceparent" not in told
        told_soon = (await users.get("/a", timeout=0.5))["headers"]
        assert int(told_soon["x-request-deadline-ms"]) <= 500
        context = TraceContext.current().replace(correlation_id="order-7")
        with context.activate(), tracer.span("order") as span:
            told = (await users.get("/b?503;200"))["headers"]
    assert told["x-correlation-id"] == "order-7"
    theirs = TraceContext.from_headers(told)
    assert theirs.trace_id == span.trace_id
    trace = tracer.get_trace(span.trace_id)
    (mine,) = [each for each in trace.spans if each.name == "GET users"]
    assert theirs.span_id == mine.span_id
    assert mine.attributes["http.response.status_code"] == 200
    assert [event.name for event in mine.events] == ["Retry.retried"]
    with received(told) as context:
        assert context.correlation_id == "order-7"
        assert TraceContext.current().trace_id == span.trace_id
        assert 6.0 < context.remaining < 8.0


@pytest.mark.parametrize("wait", ["-1", "1e3", "99999999", "", "³"])
def test_a_deadline_that_is_none_is_not_believed(wait):
    with received({"X-Request-Deadline-Ms": wait, "X-Correlation-ID": "a\nb"}) as context:
        assert context.deadline is None
        assert context.correlation_id is None
    with received([(b"x-request-deadline-ms", b"1000")]) as context:
        assert 0.5 < context.remaining <= 1.0


async def test_pages_by_header_and_by_cursor(server, monkeypatch):
    def cursor(page, response):
        return {"after": page["turn"]} if page["turn"] < 2 else None

    async with client(server) as users:
        pages = [page async for page in users.pages("/a", next_page=cursor, params={"size": 5})]
        assert [page["target"] for page in pages] == ["/a?size=5", "/a?after=0", "/a?after=1"]
        links = iter(['<b?200>; rel="next"', '</c>; rel="next"', '</d>; rel="last"'])

        async def linked(response):
            response.headers["Link"] = next(links)

        users.http.event_hooks["response"].append(linked)
        pages = [page async for page in users.pages("/a", into=User)]
        assert pages == [User(7, "Ada")] * 3
        links = iter(["<http://elsewhere/>; rel=next"])
        with pytest.raises(Misuse, match="http://elsewhere/ is not at"):
            _ = [page async for page in users.pages("/a")]
        links = iter(["</a>; rel=next"])
        with pytest.raises(Misuse, match="lead back"):
            _ = [page async for page in users.pages("/a")]


@everywhere
async def test_a_cancelled_call_leaves_no_connection_behind(anyio_backend, how, server):
    policy = (Deadline(60.0), Bulkhead(1, max_waiting=1), retry(), Timeout(30.0))
    async with (
        client(server, *policy, max_connections=1) as users,
        anyio.create_task_group() as group,
    ):
        for path in ("/hang?hang", "/forever?forever"):
            call = Call(how, lambda path=path: users.get(path)).start(group)
            await server.until(lambda server: server.requests)
            call.cancel()
            assert await call.ended() == "cancelled"
            assert (await users.get("/ok"))["id"] == 7
            await server.until(lambda server: server.open == 1)
            server.forget()


async def test_losers_of_a_hedge_leave_no_connection_behind(server):
    async with client(server, Hedge(0.02), Timeout(30.0), max_connections=2) as users:
        for number in range(5):
            assert (await users.get(f"/{number}?hang;200"))["turn"] == 1
            assert len(await users.get(f"/b{number}?forever;chunked", into=bytes)) == 10_000
        pool = users.http._transport._pool
        await server.until(lambda server: server.open == len(pool.connections))
        assert not pool._requests
        assert (await users.post("/p?delay,0.1,200"))["turn"] == 0
        assert sum("/p?" in each["target"] for each in server.requests) == 1
    await server.until(lambda server: not server.open)


async def test_its_block_is_its_life(server):
    users = client(server)
    with pytest.raises(Closed, match="has not been opened"):
        await users.get("/a")
    async with users:
        await users.get("/a")
        with pytest.raises(Misuse, match="is open already"):
            async with users:
                pass
    with pytest.raises(Closed, match="was closed"):
        await users.get("/a")
    await server.until(lambda server: not server.open)
    async with users:
        await users.get("/a")
    async with httpx2.AsyncClient(headers={"X-Mine": "yes"}) as http:
        async with client(server, http=http) as users:
            assert (await users.get("/a"))["headers"]["x-mine"] == "yes"
        assert not http.is_closed


async def test_bad_calls_send_nothing(server):
    async with client(server) as users:
        with pytest.raises(Misuse, match="is not at http"):
            await users.get("https://elsewhere/a")
        with pytest.raises(Misuse, match="is not at http"):
            await users.get("//elsewhere/a")
        with pytest.raises(Misuse, match="json= and content="):
            await users.post("/a", json=1, content=b"1")
        with pytest.raises(Misuse, match="cannot be written"):
            await users.post("/a", json=object())
        with pytest.raises(Misuse, match="content=str is not bytes"):
            await users.post("/a", content="text")
        with pytest.raises(Misuse, match="cannot be decoded"):
            await users.get("/a", into=Call)
        with pytest.raises(Misuse, match="not text by text"):
            await users.get("/a", headers={"a": 1})
        with pytest.raises(Misuse, match="the path 7 is no string"):
            await users.get(7)
    assert server.requests == []


@pytest.mark.parametrize("url", ["", "user-service", "ftp://a", "http://", "http://a?b=c", 7])
def test_a_base_that_is_none_is_refused(url):
    with pytest.raises(Misuse, match="base_url"):
        ServiceClient(url)


@pytest.mark.parametrize(
    "more",
    [
        {"policy": Retry()},
        {"policy": Policy("a").keyed(len)},
        {"headers": ["a"]},
        {"max_connections": 0},
        {"max_keepalive": -1},
        {"http": httpx2.Client},
    ],
    ids=repr,
)
def test_what_cannot_work_is_refused_when_it_is_made(more):
    with pytest.raises(Misuse):
        ServiceClient("http://a", **more)


def test_the_policy_by_default_is_the_standard_one():
    users = ServiceClient("http://users:8080/v1")
    assert users.policy.describe().startswith("policy 'users' for 'http://users:8080'\n  Deadline")
    assert repr(users) == "<ServiceClient 'users' of http://users:8080/v1>"
