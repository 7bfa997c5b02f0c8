"""What a worker computes for a batch."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.demo.analysis import analyse
from penstock.demo.batches import MISSING
from penstock.demo.data import read_reference
from penstock.demo.parse import Parser
from penstock.demo.recovery import Recovery, best_recovery


@pytest.fixture(scope="module")
def reference():
    return read_reference()


@pytest.fixture
def batch(header, line):
    def of(*changes):
        return Parser("x", pytest.fail).parse([header, *(line(**change) for change in changes)])

    return of


# Published miles, on the ellipsoid; a sphere differs from it by up to 0.3 %.
@pytest.mark.parametrize(
    ("origin", "dest", "miles"), [("JFK", "LAX", 2475), ("EWR", "IAH", 1400), ("JFK", "HNL", 4983)]
)
def test_great_circles_agree_with_known_distances(batch, reference, origin, dest, miles):
    analysed, _, _ = analyse(batch({"origin": origin, "dest": dest, "distance": miles}), reference)
    assert analysed["great_circle"][0] == pytest.approx(miles, rel=0.003)
    expected = (analysed["great_circle"][0] - miles) / miles
    assert analysed["distance_error"][0] == pytest.approx(expected)


def test_an_airport_without_coordinates_gives_no_distance(batch, reference):
    analysed, _, _ = analyse(batch({"dest": "SJU"}, {"dest": "IAH"}, {"origin": "ZZZ"}), reference)
    assert np.isnan(analysed["great_circle"]).tolist() == [True, False, True]


def test_a_published_distance_of_zero_is_not_compared(batch, reference):
    analysed, _, _ = analyse(batch({"distance": 0}), reference)
    assert not np.isfinite(analysed["distance_error"][0])


def test_tail_numbers_are_looked_up(batch, reference):
    tails = ("N14228", "N99999X", "NA")
    analysed, _, _ = analyse(batch(*({"tailnum": tail} for tail in tails)), reference)
    assert analysed["tail_known"].tolist() == [True, False, False]


def test_minutes_made_up_need_both_delays(batch, reference):
    analysed, _, _ = analyse(
        batch({"dep_delay": 30, "arr_delay": -5}, {"dep_delay": "NA"}, {"arr_delay": "NA"}),
        reference,
    )
    assert analysed["made_up"].tolist() == [35, MISSING, MISSING]


def test_a_read_only_batch_is_left_alone(batch, reference):
    given = batch({})
    given.flags.writeable = False
    analysed, _, _ = analyse(given, reference)
    assert given["great_circle"][0] == 0
    assert analysed["great_circle"][0] > 0


def test_an_empty_batch_has_an_empty_table(batch, reference):
    analysed, table, _ = analyse(batch(), reference)
    assert len(analysed) == len(table) == 0
    assert best_recovery(analysed) is None


def test_the_best_recovery_is_the_same_in_any_order(batch, reference):
    flights = [
        {"dep_delay": 50, "arr_delay": 10, "flight": 1, "day": 2},
        {"dep_delay": 45, "arr_delay": 5, "flight": 2, "day": 3},
        {"dep_delay": 44, "arr_delay": 5, "flight": 3, "day": 4},
    ]
    best = Recovery(40, "2013-01-03", "UA", 2, "EWR-IAH")
    for order in (flights, flights[::-1]):
        analysed, _, _ = analyse(batch(*order), reference)
        assert best_recovery(analysed) == best
