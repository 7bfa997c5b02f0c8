"""The blocking view: the same calls from threads."""

from __future__ import annotations

import threading

import httpx2
import pytest

from penstock import ServiceClient
from penstock.client import NotFound
from penstock.errors import Closed, Misuse
from penstock.resilience import Deadline, Policy, Retry
from penstock.tracing import TraceContext


def client(server):
    return ServiceClient(server.url, policy=Policy("users", Deadline(30.0), Retry(delay=0.0)))


def test_the_same_calls(server):
    with client(server).sync as users:
        assert users.get("/a?503;200", into=dict)["turn"] == 1
        assert users.post("/b", json=[1])["body"] == "[1]"
        assert users.put("/c")["method"] == "PUT"
        assert users.patch("/c")["method"] == "PATCH"
        assert users.delete("/d?204") is None
        with pytest.raises(NotFound):
            users.request("GET", "/e?404")

        def next_page(page, _response):
            return {"n": page["turn"]} if page["turn"] < 2 else None

        pages = users.pages("/f", next_page=next_page)
        assert [page["turn"] for page in pages] == [0, 1, 2]
        for page in users.pages("/g", next_page=lambda page, _: {"n": 1}):
            assert page["turn"] == 0
            break


def test_any_thread_calls_and_takes_its_context_along(server):
    told = []

    def call(number):
        with TraceContext.current().replace(correlation_id=f"order-{number}").activate():
            told.append(users.get("/a")["headers"]["x-correlation-id"])

    with client(server).sync as users:
        threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(told) == [f"order-{number}" for number in range(8)]


async def test_it_is_refused_on_a_loop(server):
    users = client(server).sync
    with pytest.raises(Misuse, match="would stop the loop"), users:
        pass
    with pytest.raises(Misuse, match="would stop the loop"):
        users.get("/a")


def test_its_block_is_its_life(server):
    users = client(server).sync
    with pytest.raises(Closed, match="is not open"):
        users.get("/a")
    with users:
        assert users.get("/a", into=httpx2.Response).status_code == 200
    with pytest.raises(Closed, match="is not open"):
        users.get("/a")
