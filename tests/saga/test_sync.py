"""The blocking view: for threads, refused on a loop's thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock import Saga, SagaStore
from penstock.errors import Closed, Conflict, Misuse
from penstock.saga import SagaParked


def booking_of():
    made = Saga("book")

    @made.step(pivot=True)
    def double(number: int) -> int:
        return number * 2

    @made.step()
    async def check(number: int) -> None:
        if number == 13 and broken:
            raise ValueError("not thirteen")

    broken = [True]
    return made, broken


def test_all_of_it(url):
    booking, broken = booking_of()
    store = SagaStore.open(url, sagas=[booking])
    with store.sync as sagas:
        assert sagas.run(booking, 3, key="three").results == {"double": 6, "check": None}
        handle = sagas.start(booking, 4, key="four")
        assert (handle.saga, handle.key, handle.is_new) == ("book", "four", True)
        assert handle.outcome().state == "completed"
        assert sagas.start(booking, 4, key="four").is_new is False
        with pytest.raises(Conflict):
            sagas.start(booking, 5, key="four")
        with pytest.raises(SagaParked, match="not thirteen"):
            sagas.run(booking, 13, key="bad")
        assert [each.key for each in sagas.list(state="parked").items] == ["bad"]
        broken.clear()
        assert sagas.resume("book", "bad", by="Ada")
        sagas.recover()
        assert sagas.get("book", "bad").state == "completed"
        assert [each.step for each in sagas.history("book", "bad")][-2:] == ["Ada", "check"]
        assert sagas.counts() == {"book": {"completed": 3}}
        assert sagas.transact(lambda t: t.execute("SELECT 41 + 1").fetchone()[0]) == 42
    with pytest.raises(Closed):
        sagas.run(booking, 3)


def test_many_threads(url):
    booking, _ = booking_of()
    with SagaStore.open(url, sagas=[booking]).sync as sagas, ThreadPoolExecutor(8) as pool:
        outcomes = pool.map(lambda n: sagas.run(booking, n, key=str(n)), [1, 2, 2, 1] * 5)
        assert [each.results["double"] for each in outcomes] == [2, 4, 4, 2] * 5
        assert sagas.counts() == {"book": {"completed": 2}}


async def test_not_on_an_event_loop(url):
    booking, _ = booking_of()
    store = SagaStore.open(url, sagas=[booking])
    with pytest.raises(Misuse, match="would stop the loop"):
        store.sync.__enter__()
    async with store:
        with pytest.raises(Misuse, match="would stop the loop"):
            store.sync.run(booking, 1)


def test_nothing_is_left_behind(url):
    booking, _ = booking_of()
    before = set(threading.enumerate())
    with SagaStore.open(url, sagas=[booking]).sync as sagas:
        sagas.run(booking, 1)
        assert set(threading.enumerate()) - before
    assert not [each for each in set(threading.enumerate()) - before if "penstock" in each.name]
