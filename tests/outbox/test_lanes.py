"""The order of a key, and how much of a blocked key is in memory: a model by hand, no clock."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from penstock.outbox.lanes import Lane, Lanes
from penstock.outbox.store import Found, Stored


def event(seq: int, key: str | None) -> Stored:
    return Stored(seq, str(seq), "t", key, None, b"123", 0.0)


def read(lanes: Lanes, *events: Stored) -> list[Lane]:
    return [lane for each in events if (lane := lanes.read(each)) is not None]


def test_the_head_of_each_key_can_begin_and_the_rest_waits():
    lanes = Lanes()
    begun = read(lanes, event(1, "a"), event(2, "a"), event(3, "b"), event(4, None), event(5, None))
    assert [lane.head.seq for lane in begun] == [1, 3, 4, 5]
    assert (lanes.held, lanes.held_bytes, lanes.cursor) == (5, 15, 5)
    assert lanes.done(begun[0])
    assert begun[0].head.seq == 2
    assert not lanes.done(begun[0])
    assert not lanes.done(begun[2])
    assert lanes.held == 2


def test_a_failing_key_holds_one_event_and_is_read_again():
    lanes = Lanes()
    (lane,) = read(lanes, *(event(seq, "a") for seq in range(1, 6)))
    lanes.failed(lane)
    assert (lanes.held, lanes.blocked) == (1, 1)
    assert read(lanes, event(6, "a"), event(7, "b"))[0].key == "b"
    assert lanes.held == 2
    assert lanes.refills(10) == []
    assert not lanes.done(lane), "what is behind it is in the store"
    assert lanes.blocked == 0
    (refill,) = lanes.refills(3)
    assert (refill.key, refill.after, refill.limit) == ("a", 1, 3)
    assert read(lanes, event(8, "a")) == [], "and stays behind what is read again"
    found = Found([event(seq, "a") for seq in (2, 3, 4)], is_cut=True)
    assert lanes.refilled(refill, found) is lane
    assert lane.head.seq == 2


@pytest.mark.parametrize("seed", range(30))
def test_at_random_every_event_goes_once_in_the_order_of_its_key(seed):
    rng = random.Random(seed)
    store = {seq: event(seq, rng.choice(["a", "a", "b", "c", None])) for seq in range(1, 200)}
    most = rng.choice([1, 3, 20])
    lanes, ready, later = Lanes(), [], []
    done: dict[str | None, list[int]] = defaultdict(list)
    while store:
        # One round trip: refills up to the cursor, then what is behind it.
        refills = lanes.refills(most - lanes.held)
        cursor = lanes.cursor
        for refill in refills:
            behind = [e for s, e in sorted(store.items())
                      if e.key == refill.key and refill.after < s <= cursor]  # fmt: skip
            cut = rng.randint(1, refill.limit)
            lane = lanes.refilled(refill, Found(behind[:cut], is_cut=len(behind) > cut))
            ready += [lane] * (lane is not None)
        room = rng.randint(0, max(0, most - lanes.held))
        events = [e for s, e in sorted(store.items()) if s > cursor][:room]
        ready += read(lanes, *events)
        assert lanes.held <= max(most, 4), "bounded, whatever is blocked"
        for _ in range(rng.randint(0, 5)):
            if later and rng.random() < 0.5:
                ready.append(later.pop(rng.randrange(len(later))))
            if not ready:
                continue
            lane = ready.pop(rng.randrange(len(ready)))
            if rng.random() < 0.3:
                lanes.failed(lane)
                later.append(lane)
                continue
            done[lane.key].append(lane.head.seq)
            del store[lane.head.seq]
            if lanes.done(lane):
                ready.append(lane)
    assert lanes.held == lanes.held_bytes == lanes.blocked == 0
    for key in "abc":
        assert done[key] == sorted(done[key])
    assert sum(map(len, done.values())) == 199
