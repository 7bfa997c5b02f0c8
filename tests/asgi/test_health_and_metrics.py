"""`health_app` and `metrics_app`, by themselves and mounted."""

from __future__ import annotations

import json

import anyio
import pytest
from fastapi import FastAPI

from penstock import Service
from penstock.asgi import health_app, metrics_app
from penstock.errors import Misuse
from penstock.metrics import Metrics
from penstock.service import PartFailed
from tests.asgi.driving import ask


class Part:
    name = "store"
    is_well = True

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...

    def health(self) -> bool:
        return self.is_well


async def statuses(app, root: str = "") -> tuple[int, int, int]:
    paths = ("/live", "/ready", "/")
    answers = [await ask(app, root + path, root_path=root) for path in paths]
    return tuple(answer.status for answer in answers)


@pytest.mark.parametrize("root", ["", "/health"])
async def test_it_tells_alive_from_ready(root):
    part, during = Part(), []
    service = Service("orders")
    app = health_app(service)

    class Watching(Part):
        name = "watching"

        async def __aenter__(self) -> None:
            during.append((service.state, await statuses(app, root)))

        async def drain(self) -> None:
            during.append((service.state, await statuses(app, root)))

    service.add(part, Watching())
    assert await statuses(app, root) == (200, 503, 503)
    async with service:
        assert await statuses(app, root) == (200, 200, 200)
        part.is_well = False
        assert await statuses(app, root) == (200, 503, 503)
        part.is_well = True
    assert during == [("starting", (200, 503, 503)), ("draining", (200, 503, 503))]
    assert await statuses(app, root) == (503, 503, 503)


async def test_its_detail_names_every_part():
    service = Service("orders")
    service.add(Part())
    async with service:
        answer = await ask(health_app(service))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    store = {"name": "store", "state": "running", "is_healthy": True, "detail": ""}
    assert json.loads(answer.text) == {
        "name": "orders",
        "state": "running",
        "is_healthy": True,
        "parts": [store],
    }


async def test_a_part_that_failed_is_told():
    class Failing(Part):
        async def watch(self) -> None:
            raise ConnectionError("reset")

    service = Service("orders")
    service.add(Failing())
    with pytest.raises(PartFailed):
        async with service:
            await anyio.sleep_forever()
    answer = await ask(health_app(service))
    assert answer.status == 503
    assert json.loads(answer.text)["parts"][0]["detail"] == "ConnectionError: reset"
    assert (await ask(health_app(service), "/live")).status == 503


@pytest.mark.parametrize("make", [lambda: health_app(Service("x")), metrics_app])
async def test_what_is_no_question_is_refused(make):
    app = make()
    answer = await ask(app, "/live", method="POST")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    answer = await ask(app, "/live", method="HEAD")
    assert (answer.status, answer.text) == (200, "")
    answer = await ask(app, kind="websocket")
    assert answer.events == [{"type": "websocket.close", "code": 1000}]


async def test_an_unknown_path_says_which_there_are():
    answer = await ask(health_app(Service("x")), "/alive")
    assert (answer.status, answer.text) == (404, "/live, /ready or /\n")


async def test_they_may_be_served_by_themselves():
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    answer = await ask(metrics_app(), kind="lifespan", events=events)
    assert [event["type"] for event in answer.events] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        (None, False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text; version=1.0.0", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", True),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.3", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
    ],
)
async def test_the_accept_header_decides_about_the_format(accept, is_open):
    metrics = Metrics()
    metrics.counter("orders", "orders taken").inc(3)
    answer = await ask(metrics_app(metrics), headers={"Accept": accept} if accept else {})
    kind = "application/openmetrics-text; version=1.0.0" if is_open else "text/plain; version=0.0.4"
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.text.endswith("# EOF\n") == is_open
    assert "orders_total 3\n" in answer.text


async def test_they_can_be_mounted():
    service = Service("orders")
    app = FastAPI()
    app.mount("/health", health_app(service))
    app.mount("/metrics", metrics_app(Metrics()))
    async with service:
        assert (await ask(app, "/health/live")).status == 200
        assert json.loads((await ask(app, "/health/")).text)["name"] == "orders"
        assert (await ask(app, "/metrics/")).status == 200


def test_what_is_neither_is_refused():
    with pytest.raises(Misuse, match="is no Service"):
        health_app("orders")
    with pytest.raises(Misuse, match="is no registry"):
        metrics_app("orders")
