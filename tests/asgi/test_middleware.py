"""What passes the middleware, in and out; on every loop."""

from __future__ import annotations

import time

import anyio
import anyio.to_thread
import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from penstock import Service, resilience, tracing
from penstock.asgi import Middleware
from penstock.errors import Expired, Misuse
from penstock.metrics import Metrics
from tests.asgi.driving import Answer, ask, plain

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Inside:
    """An application that notes what is current in it."""

    def __init__(self) -> None:
        self.context = tracing.TraceContext.current()
        self.remaining: float | None = None

    async def __call__(self, scope, receive, send) -> None:
        self.context = tracing.TraceContext.current()
        self.remaining = resilience.remaining()
        await plain(scope, receive, send)


@pytest.fixture
def store() -> tracing.SpanStore:
    return tracing.SpanStore()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def around(store, metrics):
    def around(app, **options):
        tracer = tracing.Tracer("test", store=store)
        return Middleware(app, tracer=tracer, metrics=metrics, **options)

    return around


def counted(metrics: Metrics) -> dict[tuple[str, str, str], int]:
    series = metrics.snapshot()["http_server_request_seconds"].series
    return {(s.labels["method"], s.labels["route"], s.labels["status"]): s.count for s in series}


# -- the trace -------------------------------------------------------------------------------------


async def test_the_trace_goes_on_below_a_span_of_the_request(around, store):
    inside = Inside()
    headers = {"traceparent": PARENT, "tracestate": "a=b", "baggage": "tenant=7"}
    answer = await ask(around(inside), "/orders/7", headers)
    assert (answer.status, answer.text) == (200, "hello")
    [span] = store.spans()
    assert span.trace_id == inside.context.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert span.parent_id == "b7ad6b7169203331"
    assert inside.context.span_id == span.span_id
    assert inside.context.tracestate == "a=b"
    assert inside.context.baggage == {"tenant": "7"}
    assert (span.kind, span.name, span.status) == ("server", "GET", "unset")
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["url.path"] == "/orders/7"


async def test_without_a_trace_it_begins_one(around, store):
    inside = Inside()
    await ask(around(inside), headers={"traceparent": "00-zz-zz-01"})
    [span] = store.spans()
    assert span.parent_id is None
    assert inside.context.trace_id == span.trace_id
    assert not tracing.TraceContext.current().is_valid


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
async def test_a_span_is_named_by_its_route(framework, around, store, metrics):
    if framework == "fastapi":
        app = FastAPI()

        @app.get("/orders/{number}")
        async def order(number: int) -> int:
            return number
    else:

        async def order(_request):
            return PlainTextResponse("7")

        app = Starlette(routes=[Route("/orders/{number}", order)])
    app.add_middleware(around)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        assert (await client.get("/orders/7")).text == "7"
        assert (await client.get("/nowhere/7")).status_code == 404
    spans = sorted(store.spans(), key=lambda span: span.name, reverse=True)
    assert [span.name for span in spans] == ["GET /orders/{number}", "GET"]
    assert spans[0].attributes["http.route"] == "/orders/{number}"
    assert counted(metrics) == {
        ("GET", "/orders/{number}", "200"): 1,
        ("GET", "", "404"): 1,
    }


async def test_a_failure_is_seen_and_passes_on(around, store, metrics):
    async def fails(_scope, _receive, _send):
        raise LookupError("lost")

    with pytest.raises(LookupError):
        await ask(around(fails), method="POST")
    [span] = store.spans()
    assert span.status == "error"
    assert counted(metrics) == {("POST", "", "500"): 1}
    assert metrics.snapshot()["http_server_in_flight"].value == 0


async def test_an_unknown_method_is_no_series_of_its_own(around, metrics):
    for method in ("BREW", "PROPFIND", "BREW2"):
        await ask(around(plain), method=method)
    assert counted(metrics) == {("_OTHER", "", "200"): 3}


# -- the deadline ----------------------------------------------------------------------------------


async def test_a_deadline_is_in_force_below(around):
    inside = Inside()
    await ask(around(inside), headers={"X-Request-Deadline-Ms": "5000"})
    assert 4.0 < inside.remaining <= 5.0
    await ask(around(inside))
    assert inside.remaining is None


async def test_one_that_has_passed_is_answered_before_anything_runs(around, metrics):
    async def never(_scope, _receive, _send):
        pytest.fail("it ran")

    answer = await ask(around(never), headers={"X-Request-Deadline-Ms": "0"})
    assert answer.status == 504
    assert "x-correlation-id" in answer.headers
    assert counted(metrics) == {("GET", "", "504"): 1}


async def test_when_it_passes_the_application_is_cancelled(around):
    ended = []

    async def slow(_scope, _receive, _send):
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    answer = await ask(around(slow), headers={"X-Request-Deadline-Ms": "20"})
    assert (answer.status, ended) == (504, [True])


async def test_an_answer_that_has_begun_is_cut(around, metrics):
    async def slow(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await anyio.sleep_forever()

    answer = await ask(around(slow), headers={"X-Request-Deadline-Ms": "20"})
    assert [event["type"] for event in answer.events] == [
        "http.response.start",
        "http.response.body",
    ]
    assert answer.events[-1]["more_body"]


async def test_what_is_done_behind_a_whole_answer_is_neither_cut_nor_measured(around, metrics):
    answered = []
    began = time.perf_counter()

    async def behind(scope, receive, send):
        before = tracing.TraceContext.current().trace_id
        await plain(scope, receive, send)
        answered.append(time.perf_counter() - began)
        with anyio.CancelScope(shield=True):  # until the deadline has passed
            await anyio.sleep(0.51)
        await anyio.lowlevel.checkpoint()
        answered.append(resilience.remaining())
        answered.append(tracing.TraceContext.current().trace_id == before)

    answer = await ask(around(behind), headers={"X-Request-Deadline-Ms": "500"})
    assert (answer.status, answered[1:]) == (200, [None, True])
    assert resilience.remaining() is None
    assert not tracing.TraceContext.current().is_valid
    [series] = metrics.snapshot()["http_server_request_seconds"].series
    assert series.max <= answered[0]


async def test_a_policy_that_sees_it_first_is_the_same_answer(around):
    async def bounded(_scope, _receive, _send):
        while (resilience.remaining() or 0) > 0:
            await anyio.lowlevel.checkpoint()
        raise Expired("the policy's deadline is over")

    answer = await ask(around(bounded), headers={"X-Request-Deadline-Ms": "20"})
    assert answer.status == 504


async def test_an_expiry_of_the_application_s_own_passes(around):
    async def expires(_scope, _receive, _send):
        raise Expired("something else")

    for headers in ({}, {"X-Request-Deadline-Ms": "50000"}):
        with pytest.raises(Expired, match="something else"):
            await ask(around(expires), headers=headers)


async def test_a_cancel_from_outside_is_no_deadline(around):
    answer = Answer()

    async def slow(_scope, _receive, _send):
        begun.set()
        await anyio.sleep_forever()

    begun = anyio.Event()
    async with anyio.create_task_group() as group:

        async def request() -> None:
            headers = {"X-Request-Deadline-Ms": "50000"}
            await ask(around(slow), headers=headers, answer=answer)

        group.start_soon(request)
        await begun.wait()
        group.cancel_scope.cancel()
    assert answer.events == []


# -- the correlation id ----------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["X-Correlation-ID", "X-Request-ID"])
async def test_a_correlation_id_goes_in_and_out(header, around):
    inside = Inside()
    answer = await ask(around(inside), headers={header: "order-42"})
    assert inside.context.correlation_id == "order-42"
    assert answer.headers[header.lower()] == "order-42"
    assert len([name for name in answer.headers if name.endswith("-id")]) == 1


@pytest.mark.parametrize("bad", ["", "x" * 129, "caf\u00e9", "a\tb"])
async def test_one_that_is_not_proper_is_replaced(bad, around):
    inside = Inside()
    answer = await ask(around(inside), headers={"X-Correlation-ID": bad})
    made = answer.headers["x-correlation-id"]
    assert made == inside.context.correlation_id
    assert made != bad
    assert len(made) == 32


async def test_without_one_it_is_the_trace_s_id_or_a_new_one(around):
    answer = await ask(around(plain), headers={"traceparent": PARENT})
    assert answer.headers["x-correlation-id"] == "0af7651916cd43dd8448eb211c80319c"
    made = {(await ask(around(plain))).headers["x-correlation-id"] for _ in range(9)}
    assert len(made) == 9


async def test_an_application_s_own_header_stays(around):
    async def own(_scope, _receive, send):
        headers = [(b"X-Correlation-ID", b"mine")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    answer = await ask(around(own), headers={"X-Correlation-ID": "theirs"})
    assert answer.events[0]["headers"] == [(b"X-Correlation-ID", b"mine")]


# -- streams, disconnects, sockets, lifespans ------------------------------------------------------


async def test_a_request_counts_until_the_last_byte(around, metrics):
    seen = []

    async def streams(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for n in range(3):
            seen.append(metrics.snapshot()["http_server_in_flight"].value)
            await send({"type": "http.response.body", "body": bytes([65 + n]), "more_body": True})
        await send({"type": "http.response.body"})

    answer = await ask(around(streams))
    assert (answer.text, seen) == ("ABC", [1, 1, 1])
    assert metrics.snapshot()["http_server_in_flight"].value == 0


@pytest.mark.parametrize("how", ["returns", "raises"])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_goes_away_is_no_failure_of_the_service(
    how, begun, around, metrics, store
):
    async def reads(_scope, receive, send):
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass
        if how == "raises":
            raise ConnectionError("the client has gone")

    events = [{"type": "http.request"}, {"type": "http.disconnect"}]
    if how == "raises":
        with pytest.raises(ConnectionError):
            await ask(around(reads), events=events)
    else:
        await ask(around(reads), events=events)
    assert counted(metrics) == {("GET", "", "499"): 1}
    [span] = store.spans()
    assert span.attributes.get("http.response.status_code") == (200 if begun else None)


async def test_a_disconnect_behind_the_answer_is_none(around, metrics):
    async def polite(scope, receive, send):
        await plain(scope, receive, send)
        assert (await receive())["type"] == "http.disconnect"

    await ask(around(polite), events=[{"type": "http.disconnect"}])
    assert counted(metrics) == {("GET", "", "200"): 1}


async def test_a_websocket_has_all_but_a_deadline(around, store, metrics):
    found = []

    async def socket(_scope, receive, send):
        await receive()
        found.append((tracing.TraceContext.current().correlation_id, resilience.remaining()))
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    headers = {"traceparent": PARENT, "X-Correlation-ID": "s-1", "X-Request-Deadline-Ms": "0"}
    answer = await ask(around(socket), "/feed", headers, kind="websocket")
    assert found == [("s-1", None)]
    assert answer.headers["x-correlation-id"] == "s-1"
    assert answer.events[-1]["type"] == "websocket.close"
    [span] = store.spans()
    assert (span.name, span.trace_id) == ("WEBSOCKET", "0af7651916cd43dd8448eb211c80319c")
    assert counted(metrics) == {("WEBSOCKET", "", "101"): 1}


async def test_a_lifespan_passes_untouched(around):
    passed = []

    async def app(scope, receive, send):
        passed.append((scope["type"], receive, send))

    async def receive() -> None: ...

    async def send(_event) -> None: ...

    await around(app)({"type": "lifespan"}, receive, send)
    assert passed == [("lifespan", receive, send)]


# -- a service that ends ---------------------------------------------------------------------------


async def test_while_a_service_ends_new_requests_are_refused_and_those_under_way_finish(around):
    service = Service("orders")
    app = around(None or _slow, service=service)
    _slow.begun, _slow.release = anyio.Event(), anyio.Event()
    answers = {}

    async def request(name: str, **options) -> None:
        answers[name] = await ask(app, **options)

    async with anyio.create_task_group() as group, service:
        group.start_soon(request, "under way")
        await _slow.begun.wait()

        async def late() -> None:
            while service.state != "draining":
                await anyio.lowlevel.checkpoint()
            await request("late")
            answers["second"] = await ask(app, http_version="2")
            answers["socket"] = await ask(app, kind="websocket")
            answers["probe"] = await ask(app, "/health/live")
            _slow.release.set()

        group.start_soon(late)
    assert answers["under way"].status == 200
    assert (answers["late"].status, answers["second"].status) == (503, 503)
    assert answers["late"].headers["retry-after"] == "1"
    assert answers["late"].headers["connection"] == "close"
    assert "connection" not in answers["second"].headers
    assert answers["socket"].events == [
        {
            "type": "websocket.close",
            "code": 1013,
            "reason": "service 'orders' takes no work now",
        }
    ]
    assert answers["probe"].status == 200
    assert (await ask(app)).status == 503


async def _slow(scope, receive, send) -> None:
    if scope["path"] == "/":
        _slow.begun.set()
        await _slow.release.wait()
    await plain(scope, receive, send)


async def test_quiet_paths_leave_no_trace(around, store, metrics):
    app = around(plain, quiet=("/health", "/metrics/"))
    for path in ("/health", "/health/live", "/metrics"):
        answer = await ask(app, path)
        assert answer.headers == {}
    assert store.spans() == []
    await ask(app, "/healthy")
    assert len(store.spans()) == 1


async def test_a_blocking_endpoint_has_the_context_too():
    app = FastAPI()

    @app.get("/")
    def blocking() -> str:
        return tracing.TraceContext.current().correlation_id or ""

    transport = httpx2.ASGITransport(Middleware(app))
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get("/", headers={"X-Request-ID": "r-1"})
    assert (answer.json(), answer.headers["x-request-id"]) == ("r-1", "r-1")


def test_what_cannot_work_is_refused():
    for options, words in (
        ({"app": None}, "None is no application"),
        ({"app": plain, "service": "orders"}, "service='orders' is no Service"),
        ({"app": plain, "quiet": "/health"}, "quiet='/health' is no sequence"),
        ({"app": plain, "quiet": ("health",)}, "is no sequence of paths"),
        ({"app": plain, "retry_after": 0.5}, "retry_after=0.5"),
    ):
        with pytest.raises(Misuse, match=words):
            Middleware(**options)


async def test_an_answer_may_be_sent_by_another_task(around, store):
    """As below Starlette's `BaseHTTPMiddleware`: its own context ends with it."""

    async def elsewhere(scope, receive, send):
        async with anyio.create_task_group() as group:
            group.start_soon(plain, scope, receive, send)

    answer = await ask(around(elsewhere), headers={"X-Request-Deadline-Ms": "50000"})
    assert answer.status == 200
    assert not tracing.TraceContext.current().is_valid
    assert resilience.remaining() is None
    [span] = store.spans()
    assert span.attributes["http.response.status_code"] == 200
