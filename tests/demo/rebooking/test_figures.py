"""The second half as JSON."""

from __future__ import annotations

import json

import pytest

from penstock.demo.rebooking.figures import rebooking_figures
from tests.demo.rebookings import rebookings


def test_all_figures_are_there_and_are_plain_data():
    plain = json.loads(json.dumps(rebooking_figures(rebookings()), allow_nan=False))
    assert plain["cancelled"] == plain["confirmed"] + plain["refused"] == 8255
    assert plain["parked"] == 0
    assert plain["seed"] == 2013
    assert plain["reasons"]["no seat"] == 2947
    assert plain["refunds"]["paid_cents"] == 123456789
    assert plain["steps"][0]["p99"] == 0.0181
    assert plain["months"][0]["cancelled"] == 480
    assert plain["letters"][0]["attempts"] == 4
    assert plain["deepest_outbox"] == 90
    assert plain["loop"] == {"p99": 0.0012, "greatest": 0.0453}
    assert plain["check"]["is_balanced"] is True
    assert plain["health"]["parts"][0] == {
        "name": "loop monitor",
        "state": "running",
        "is_healthy": True,
        "detail": "",
    }


def test_the_slowest_trace_is_a_list_of_spans():
    slowest = rebooking_figures(rebookings())["slowest"]
    assert len(slowest["spans"]) == 12
    assert slowest["seconds"] == pytest.approx(2.48)
    assert slowest["spans"][4] == {
        "name": "reserve",
        "depth": 2,
        "start": pytest.approx(0.036),
        "duration": pytest.approx(0.016),
        "tracer": "penstock.saga",
        "status": "unset",
        "attributes": {"saga.key": "2013"},
    }


def test_what_was_not_measured_is_null():
    plain = rebooking_figures(
        rebookings(slowest=None, loop=None, health=None, end_to_end=None, moments=())
    )
    assert plain["slowest"] is plain["loop"] is plain["health"] is plain["end_to_end"] is None
    assert plain["deepest_queue"] == 0
