"""Schedule, plans and seats against the same worked out by plain code, flight by flight."""

import dataclasses
import sqlite3
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.demo.data import flights_file
from penstock.demo.rebooking import inventory
from penstock.demo.rebooking.plan import make_plan

flight = st.fixed_dictionaries(
    {
        "month": st.sampled_from((1, 2, 12)),
        "day": st.integers(27, 31),
        "hour": st.integers(4, 6),
        "minute": st.sampled_from((0, 30)),
        "dep_time": st.sampled_from(("517", "517", "NA")),
        "carrier": st.sampled_from(("A", "A1", "UA", "U+")),
        "flight": st.sampled_from((1, 5, 11, 15, 115, "007")),
        "origin": st.sampled_from(("JFK", "EWR")),
        "dest": st.sampled_from(("LAX", "IAH", "NA")),
        "distance": st.integers(0, 3000),
        # 55, 182, 20, and 2 seats; the others are not known.
        "tailnum": st.sampled_from(("N10156", "N102UW", "N347AA", "N0", "NA")),
    }
)


def assert_equal(schedule, expected, seed):
    db = sqlite3.connect(":memory:", isolation_level=None)
    inventory.create_tables(db)
    found = iter(expected)
    assert schedule.cancellations == len(expected)
    for route in schedule.routes:
        for place in schedule.cancelled(route):
            case = next(found)
            plan = make_plan(seed, schedule.packed(route, place))
            assert schedule.key(place) == plan.key
            fields = dataclasses.asdict(case)
            legs = fields.pop("legs")
            assert dataclasses.asdict(plan) == fields
            reserved = inventory.reserve(db, plan)
            assert reserved == {"held": sum(seats for _, seats in legs), "legs": legs}
            assert plan.refund(legs) == case.refund
            if case.is_short:
                inventory.release(db, plan.key)
    assert next(found, None) is None
    db.close()


@settings(max_examples=200, deadline=None)
@given(
    flights=st.lists(flight, max_size=60),
    block=st.integers(1, 20),
    size=st.integers(1, 4),
    seed=st.integers(0, 3),
)
def test_any_small_file_in_any_split(
    header, line, schedule_of, work_out, flights, block, size, seed
):
    lines = [header, *(line(**each) for each in flights)]
    assert_equal(schedule_of(lines, block, size), work_out(lines, seed), seed)


@pytest.mark.timeout(300)
def test_the_whole_year(schedule_of, work_out):
    with zipfile.ZipFile(flights_file(None)) as archive:
        lines = archive.read("flights.csv").decode().splitlines()
    schedule = schedule_of(lines)
    assert len(schedule) == 336_776
    assert schedule.nbytes <= 15_000_000
    assert len(schedule.routes) == 224
    expected = work_out(lines, 2013)
    assert_equal(schedule, expected, 2013)
    assert len(expected) == 8_255
    assert sum(case.is_short for case in expected) == 2_942
