"""Seats are held, given back, and never sold twice; what ends is written down once."""

import sqlite3
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.demo.failures import DemoError
from penstock.demo.rebooking import inventory
from penstock.demo.rebooking.plan import Plan


@pytest.fixture
def db():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    inventory.create_tables(connection)
    yield connection
    connection.close()


def plan(case, party, *candidates):
    """A plan; of each candidate its name, capacity and seats sold."""
    rows = [(name, capacity, sold, 5000) for name, capacity, sold in candidates]
    return Plan(case, "JFK-LAX", 100, party, 6000, rows)


def held(db):
    return dict(db.execute("SELECT flight, held FROM seat_inventory").fetchall())


def test_the_first_candidates_are_filled_first(db):
    reserved = inventory.reserve(db, plan("x", 30, ("b", 100, 90), ("a", 50, 50), ("c", 100, 70)))
    assert reserved == {"held": 30, "legs": [("b", 10), ("c", 20)]}
    assert held(db) == {"a": 0, "b": 10, "c": 20}


def test_what_there_is_is_held_even_if_it_is_not_enough(db):
    assert inventory.reserve(db, plan("x", 30, ("a", 10, 3))) == {"held": 7, "legs": [("a", 7)]}
    assert inventory.reserve(db, plan("y", 30, ("a", 10, 3))) == {"held": 0, "legs": []}
    assert inventory.reserve(db, plan("z", 30)) == {"held": 0, "legs": []}


def test_reserving_again_returns_what_is_held(db):
    case = plan("x", 30, ("b", 100, 90), ("a", 50, 40), ("c", 100, 70))
    first = inventory.reserve(db, case)
    inventory.reserve(db, plan("y", 5, ("c", 100, 70)))
    before = list(db.iterdump())
    assert inventory.reserve(db, case) == first
    assert list(db.iterdump()) == before


def test_releasing_restores_and_may_be_repeated(db):
    inventory.reserve(db, plan("y", 4, ("a", 10, 3)))
    inventory.reserve(db, plan("x", 9, ("a", 10, 3), ("b", 10, 3)))
    assert inventory.release(db, "x") == 9
    assert held(db) == {"a": 4, "b": 0}
    assert inventory.release(db, "x") == 0
    assert held(db) == {"a": 4, "b": 0}
    assert db.execute("SELECT * FROM seat_hold").fetchall() == [("y", "a", 4)]


@pytest.mark.parametrize("change", ["held = 8", "held = -1", "sold = 11", "capacity = 2"])
def test_the_table_itself_refuses_a_seat_sold_twice(db, change):
    inventory.reserve(db, plan("x", 2, ("a", 10, 3)))
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(f"UPDATE seat_inventory SET {change}")


flights = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.integers(0, 40), st.integers(0, 100)), min_size=1
)
cases = st.sampled_from([f"case {n}" for n in range(6)])
steps = st.lists(
    st.tuples(cases, st.booleans(), st.integers(1, 60), st.permutations("abcdef")), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(flights=flights, steps=steps)
def test_no_order_of_steps_sells_a_seat_twice(flights, steps):
    db = sqlite3.connect(":memory:", isolation_level=None)
    inventory.create_tables(db)
    size = {name: (seats, seats * percent // 100) for name, (seats, percent) in flights.items()}
    model: dict[str, dict[str, int]] = {}
    for case, reserves, party, order in steps:
        if not reserves:
            assert inventory.release(db, case) == sum(model.pop(case, {}).values())
            continue
        names = [name for name in order if name in size]
        found = inventory.reserve(db, plan(case, party, *((n, *size[n]) for n in names)))
        if not model.get(case):
            taken = Counter()
            for holds in model.values():
                taken.update(holds)
            model[case], needed = {}, party
            for name in names:
                capacity, sold = size[name]
                if seats := min(needed, capacity - sold - taken[name]):
                    model[case][name] = seats
                    needed -= seats
        assert dict(found["legs"]) == model[case]
        assert found["held"] == sum(model[case].values())
        stored = db.execute("SELECT case_key, flight, seats FROM seat_hold").fetchall()
        assert {(c, f): s for c, f, s in stored} == {
            (c, f): s for c, holds in model.items() for f, s in holds.items()
        }
        by_flight = Counter()
        for _, name, seats in stored:
            by_flight[name] += seats
        for name, capacity, sold, all_held in db.execute("SELECT * FROM seat_inventory"):
            assert (capacity, sold) == size[name]
            assert all_held == by_flight[name] <= capacity - sold
    for case in list(model):
        inventory.release(db, case)
    assert set(held(db).values()) <= {0}
    db.close()


def test_a_case_is_settled_once(db):
    inventory.confirm(db, "x", 30, 1234, "event 1")
    inventory.refuse(db, "y", 20, "no seat", "event 2")
    for again in (
        lambda: inventory.confirm(db, "x", 30, 1234, "event 3"),
        lambda: inventory.refuse(db, "x", 30, "gate closed", "event 3"),
        lambda: inventory.confirm(db, "y", 20, 0, "event 3"),
    ):
        with pytest.raises(sqlite3.IntegrityError):
            again()
    assert db.execute("SELECT * FROM rebooking ORDER BY case_key").fetchall() == [
        ("x", "confirmed", None, 30, 1234, "event 1"),
        ("y", "refused", "no seat", 20, 0, "event 2"),
    ]


def test_a_notice_is_entered_once(db):
    inventory.note(db, "event 1", "x", "confirmed")
    with pytest.raises(sqlite3.IntegrityError):
        inventory.note(db, "event 1", "x", "confirmed")
    assert db.execute("SELECT * FROM notice").fetchall() == [("event 1", "x", "confirmed")]


def test_counting(db):
    assert inventory.count(db) == inventory.Counts(0, {}, 0, 0, 0, 0)
    for case in "xyz":
        inventory.reserve(db, plan(case, 5, (f"of {case}", 10, 3)))
    inventory.confirm(db, "x", 5, 100, "event 1")
    inventory.confirm(db, "y", 5, 20, "event 2")
    inventory.release(db, "z")
    inventory.refuse(db, "z", 5, "gate closed", "event 3")
    for case, reason in (("a", "no seat"), ("b", "no seat")):
        inventory.refuse(db, case, 5, reason, f"event of {case}")
    inventory.note(db, "event 1", "x", "confirmed")
    found = inventory.count(db)
    assert found == inventory.Counts(2, {"no seat": 2, "gate closed": 1}, 10, 2, 120, 1)
    assert list(found.refused) == ["no seat", "gate closed"]


def test_a_file_belongs_to_one_run(tmp_path):
    path = tmp_path / "run.db"
    db = sqlite3.connect(path, isolation_level=None)
    inventory.create_tables(db)
    inventory.create_tables(db)
    assert inventory.claim_run(db, 2013, "flights.csv", "abc", 8255) is True
    assert inventory.claim_run(db, 2013, "/elsewhere/flights.csv", "abc", 8255) is False
    with pytest.raises(DemoError, match="belongs to a run with seed 2013, not 7") as caught:
        inventory.claim_run(db, 7, "flights.csv", "abc", 8255)
    assert str(caught.value).startswith(f"penstock demo: {path}: ")
    assert "--seed 2013" in str(caught.value)
    for digest, cancelled in (("def", 8255), ("abc", 3)):
        with pytest.raises(DemoError, match=r"a run through flights.csv, and the content of other"):
            inventory.claim_run(db, 2013, "other.csv", digest, cancelled)
    assert db.execute("SELECT * FROM demo_run").fetchall() == [
        (1, 2013, "flights.csv", "abc", 8255)
    ]
    db.close()
