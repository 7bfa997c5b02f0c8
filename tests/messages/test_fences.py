"""At the store's own face: claims, leases that end, and what a stale owner can still do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock._durable.engines import Address
from penstock.messages.store import Action, Exchange, New, Settlement


class Worker:
    """One owner of claims, driven by hand."""

    def __init__(self, store: Any, name: str) -> None:
        self.store = store
        self.name = name

    def exchange(self, *settled: Settlement, want: int = 0, holds: bool = False) -> Any:
        request = Exchange(self.name, 10.0, settled, want, holds, 3)
        return self.store.writer.call(self.store.exchange(request))

    def claim(self, want: int = 1) -> Any:
        return self.exchange(want=want).claimed

    def renew(self) -> bool:
        class Held:
            owner, seconds = self.name, 10.0

        return self.store.writer.call(self.store.renewal(Held))


@pytest.fixture
def store(clock) -> Iterator[Any]:
    store = Address("memory://").open("messages", queue="a", dedupe_window=1.0, clock=clock)
    yield store
    store.close()


@pytest.fixture
def add(store) -> Callable[..., None]:
    def add(*names: str, key: str | None = None) -> None:
        store.writer.call(store.enqueue([New(n, key, 0.0, None, None, b"1") for n in names]))

    return add


@pytest.fixture
def counts(store) -> Callable[[], tuple[int, ...]]:
    return lambda: store.writer.call(store.counts())[:5]


def settled(action: Action, claim: Any, **more: Any) -> Settlement:
    return Settlement(action, claim.seq, claim.fence, claim.key, **more)


EVERY = [
    (Action.ACKNOWLEDGE, {}),
    (Action.GIVE_BACK, {}),
    (Action.POSTPONE, {"delay": 100.0}),
    (Action.BURY, {"reason": "x", "traceback": ""}),
]


@pytest.mark.parametrize(("action", "more"), EVERY)
def test_a_stale_settlement_changes_nothing(store, add, counts, clock, action, more):
    add("m")
    one, two = Worker(store, "one"), Worker(store, "two")
    (stale,) = one.claim()
    clock.now += 10
    (fresh,) = two.claim()
    assert fresh.fence > stale.fence
    assert (fresh.id, fresh.attempt) == ("m", 2)
    assert one.exchange(settled(action, stale, **more)).stale == 1
    assert counts() == (0, 0, 1, 0, 0), "still in flight at the other"
    assert two.exchange(settled(Action.ACKNOWLEDGE, fresh)).stale == 0
    assert counts() == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(("action", "more"), EVERY)
def test_it_changes_nothing_either_while_nobody_has_it_again(
    store, add, counts, clock, action, more
):
    add("m", "n")
    one, two = Worker(store, "one"), Worker(store, "two")
    first, second = one.claim(2)
    clock.now += 10
    (fresh,) = two.claim(1)  # takes both from `one`, and claims one
    other = second if fresh.id == first.id else first
    assert one.exchange(settled(action, other, **more)).stale == 1
    assert counts() == (1, 0, 1, 0, 0)


def test_before_the_lease_is_over_nobody_takes_anything(store, add, clock):
    add("m")
    one, two = Worker(store, "one"), Worker(store, "two")
    one.claim()
    clock.now += 9.9
    answer = two.exchange(want=1)
    assert answer.claimed == []
    assert answer.wait == pytest.approx(0.1), "it knows when to look again"


def test_a_renewal_moves_the_end(store, add, clock):
    add("m")
    one, two = Worker(store, "one"), Worker(store, "two")
    one.claim()
    clock.now += 9
    assert one.renew()
    clock.now += 9
    assert two.claim() == []
    clock.now += 1
    assert [claim.id for claim in two.claim()] == ["m"]
    assert not one.renew(), "it is told that it was taken over"
    assert one.exchange(holds=True, want=1).is_lost


def test_a_lost_owner_is_given_nothing(store, add, clock):
    add("m")
    one, two = Worker(store, "one"), Worker(store, "two")
    one.claim()
    clock.now += 10
    two.claim()
    add("n")
    answer = one.exchange(holds=True, want=1)
    assert answer.is_lost
    assert answer.claimed == []


def test_who_dies_on_a_message_too_often_buries_it(store, add, counts, clock):
    add("poison")
    for number in range(3):
        (claim,) = Worker(store, f"victim {number}").claim()
        assert claim.attempt == number + 1
        clock.now += 10
    assert Worker(store, "last").claim() == []
    assert counts() == (0, 0, 0, 0, 1)
    (dead,) = store.writer.call(store.dead(0, 10))
    assert "its consumer was lost" in dead.reason
    assert dead.attempt == 3


def test_a_takeover_keeps_the_order_of_a_key(store, add, clock):
    add("1", "2", "3", key="k")
    (first,) = Worker(store, "one").claim(3)
    assert first.id == "1"
    clock.now += 10
    two = Worker(store, "two")
    order = []
    for _ in range(3):
        (claim,) = two.claim(3)
        order.append(claim.id)
        two.exchange(settled(Action.ACKNOWLEDGE, claim))
    assert order == ["1", "2", "3"]


def test_fences_rise_along_a_key(store, add):
    add("1", "2", "3", key="k")
    worker = Worker(store, "one")
    fences = []
    for _ in range(3):
        (claim,) = worker.claim()
        fences.append(claim.fence)
        worker.exchange(settled(Action.ACKNOWLEDGE, claim))
    assert fences == sorted(set(fences))


def test_retiring_gives_back_what_nobody_knew_of(store, add, counts):
    add("1", "2")
    one = Worker(store, "one")
    one.claim(2)  # the answer is lost on the way
    store.writer.call(store.retire("one", []))
    assert counts() == (2, 0, 0, 0, 0)
    assert [claim.attempt for claim in Worker(store, "two").claim(2)] == [1, 1]


def test_an_acknowledgement_and_a_claim_are_one_round_trip(store, add):
    add("1", "2", key="k")
    one = Worker(store, "one")
    (first,) = one.claim()
    answer = one.exchange(settled(Action.ACKNOWLEDGE, first), want=1)
    assert [claim.id for claim in answer.claimed] == ["2"]


def test_the_planner_uses_the_indexes(store):
    from penstock._durable.writes import Kind, Write
    from penstock.engines.sqlite import message_tables as sql

    def plan(session: Any, _now: float, statements: Any) -> list[str]:
        return [
            " ".join(row[3] for row in session.connection.execute(f"EXPLAIN QUERY PLAN {each}"))
            for each in statements
        ]

    kind: Kind[str, str] = Kind("plan", plan)

    def planned(statement: str) -> str:
        for name in (":queue", ":key", ":id", ":at", ":enqueued_at", ":headers", ":payload"):
            statement = statement.replace(name, "1")
        return store.writer.call(Write(kind, statement.replace("?", "1")))

    assert "penstock_message_due (queue=? AND due<?)" in planned(sql.CLAIM)
    assert "penstock_message_due" in planned(sql.NEXT_DUE)
    assert "penstock_message_key" in planned(sql.ADVANCE_KEY)
    assert "penstock_message_key" in planned(sql.ADD_KEYED)
    assert "penstock_message_owner" in planned(sql.GIVE_ALL_BACK)
    for statement in (sql.CLAIM, sql.ACKNOWLEDGE, sql.ADVANCE_KEY, sql.TAKE_FROM):
        assert "SCAN penstock_message" not in planned(statement)
