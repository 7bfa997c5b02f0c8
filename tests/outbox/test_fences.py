"""At the store's own face: who has the outbox, and what a stale relay can still do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from penstock import Outbox
from penstock._durable.engines import Address
from penstock._durable.writes import Kind, Write
from penstock.outbox.store import Burial, Refill, Request


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Hand:
    """One relay, driven by hand."""

    def __init__(self, store: Any, name: str) -> None:
        self.store = store
        self.name = name
        self.fence = 0

    def request(self, *published: int, want: int = 0, **more: Any) -> Request:
        given = {"buried": (), "after": 0, "max_bytes": 1000, "refills": (), **more}
        return Request(
            owner=self.name, fence=self.fence, lease=10.0, published=published, want=want, **given
        )

    def exchange(self, *published: int, **more: Any) -> Any:
        answer = self.store.writer.call(self.store.exchange(self.request(*published, **more)))
        self.fence = answer.fence or self.fence
        return answer

    def look(self, **more: Any) -> Any:
        return self.store.writer.call(self.store.look(self.request(**more)))

    def retire(self, *published: int) -> bool:
        return self.store.writer.call(self.store.retire(self.request(*published)))

    def renew(self) -> bool:
        class Held:
            owner, seconds = self.name, 10.0

        return self.store.writer.call(self.store.renewal(Held))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock) -> Iterator[Any]:
    store = Address("memory://").open("outbox", outbox="orders", clock=clock)
    outbox = Outbox("orders")

    def add(session: Any, _now: float, batches: Any) -> list[Any]:
        return [
            [outbox.add(session.connection, topic="t", key=key, payload=1) for key in batch]
            for batch in batches
        ]

    store.writer.call(Write(Kind("transact", add), ["a", "a", "b", None]))
    yield store
    store.close()


def left(store: Any) -> int:
    return store.writer.call(store.counts()).backlog


def seqs(answer: Any) -> list[int]:
    return [event.seq for event in answer.found.events]


def test_the_first_one_has_it_and_the_others_are_told_how_long(store, clock):
    one, two = Hand(store, "one"), Hand(store, "two")
    assert (one.look().fence, one.look().wait) == (0, 0.0), "free; looking takes nothing"
    assert (two.look().fence, two.look().wait) == (0, 0.0)
    assert one.exchange(want=10).fence == 1
    assert seqs(one.look(want=10)) == [1, 2, 3, 4]
    clock.now += 4
    assert two.exchange(want=10) == two.look(want=10)
    assert two.look().wait == pytest.approx(6.0)
    assert two.look(want=10).found.events == []


def test_a_stale_settlement_changes_nothing(store, clock):
    one, two = Hand(store, "one"), Hand(store, "two")
    one.exchange(want=10)
    clock.now += 10
    assert two.exchange().fence == 2
    assert one.exchange(1, 2).fence == 0
    assert one.exchange(buried=[Burial(1, 1, "x")]).fence == 0
    assert not one.retire(1, 2)
    assert left(store) == 4
    assert store.writer.call(store.dead(0, 10)) == []
    assert two.look().fence == 2, "and the other still has it"
    assert not one.renew()
    assert two.exchange(1, 2).fence == 2
    assert left(store) == 2


def test_nor_does_one_after_the_other_has_gone(store, clock):
    one, two = Hand(store, "one"), Hand(store, "two")
    one.exchange()
    clock.now += 10
    two.exchange()
    assert two.retire()
    assert one.exchange(1).fence == 0
    assert not one.retire(1)
    assert left(store) == 4


def test_before_the_lease_is_over_nobody_takes_it_and_renewing_moves_the_end(store, clock):
    one, two = Hand(store, "one"), Hand(store, "two")
    one.exchange()
    clock.now += 9
    assert one.renew()
    clock.now += 9
    assert two.exchange().fence == 0
    clock.now += 1
    assert two.exchange().fence == 2
    assert not one.renew()


def test_settling_keeps_the_lease(store, clock):
    one, two = Hand(store, "one"), Hand(store, "two")
    one.exchange()
    clock.now += 9
    one.exchange(1)
    clock.now += 9
    assert two.exchange().fence == 0


def test_retiring_settles_and_frees_at_once(store):
    one, two = Hand(store, "one"), Hand(store, "two")
    one.exchange()
    assert one.retire(1, 3)
    assert left(store) == 2
    assert two.exchange().fence == 2


def test_a_take_over_whose_answer_was_lost_is_freed_by_retiring(store):
    one, two = Hand(store, "one"), Hand(store, "two")
    one.exchange()
    one.fence = 0  # the answer never arrived
    assert not one.retire(1)
    assert left(store) == 4
    assert two.exchange().fence == 2


def test_reading_is_bounded_in_events_and_bytes(store):
    one = Hand(store, "one")
    answer = one.exchange(want=2)
    assert (seqs(answer), answer.found.is_cut) == ([1, 2], True)
    answer = one.look(want=10, after=2)
    assert (seqs(answer), answer.found.is_cut) == ([3, 4], False)
    answer = one.look(want=10, max_bytes=1)
    assert (seqs(answer), answer.found.is_cut) == ([1], True)


def test_a_refill_reads_one_key_up_to_the_cursor(store):
    one = Hand(store, "one")
    one.exchange()
    (found,) = one.look(after=4, refills=[Refill("a", 1, 5)]).refilled
    assert ([event.seq for event in found.events], found.is_cut) == ([2], False)
    (found,) = one.look(after=1, refills=[Refill("a", 0, 1)]).refilled
    assert ([event.seq for event in found.events], found.is_cut) == ([1], True)


def test_numbers_are_never_given_twice(store):
    one = Hand(store, "one")
    one.exchange(1, 2, 3, 4)
    outbox = Outbox("orders")
    kind = Kind(
        "transact",
        lambda session, _now, payloads: [
            outbox.add(session.connection, topic="t", payload=each) for each in payloads
        ],
    )
    store.writer.call(Write(kind, 1))
    assert seqs(one.look(want=10, after=4)) == [5], "a cursor would miss it under an old number"


def test_the_planner_uses_the_indexes(store):
    from penstock.engines.sqlite import outbox_tables as sql

    kind = Kind(
        "plan",
        lambda session, _now, statements: [
            " ".join(row[3] for row in session.connection.execute(f"EXPLAIN QUERY PLAN {each}"))
            for each in statements
        ],
    )

    def planned(statement: str) -> str:
        statement = statement.replace("?", "1").replace(":outbox", "1")
        return store.writer.call(Write(kind, statement))

    assert "penstock_outbox_event_order (outbox=? AND rowid>?)" in planned(sql.EVENTS)
    assert "penstock_outbox_event_key (outbox=? AND key=? AND rowid>?" in planned(sql.EVENTS_OF_KEY)
    assert "COVERING INDEX penstock_outbox_event_order" in planned(sql.COUNTS)
    for statement in (sql.EVENTS, sql.EVENTS_OF_KEY, sql.REMOVE, sql.COUNTS):
        assert "SCAN" not in planned(statement).replace("SCAN CONSTANT ROW", "")
        assert "TEMP B-TREE" not in planned(statement)
