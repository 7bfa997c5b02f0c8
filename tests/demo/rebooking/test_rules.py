"""The rules: fixed numbers, so that no process and no version draws others."""

import hashlib

import pytest

from penstock.demo.rebooking import rules

CASES = [f"2013-01-{day:02}-UA{number}-EWR" for day in range(1, 29) for number in range(1, 401)]


def test_a_draw_is_the_start_of_a_hash():
    text = b"2013/sold/2013-01-01-UA1545-EWR"
    expected = int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
    assert rules.draw(2013, "sold", "2013-01-01-UA1545-EWR") == expected == 1560493757921515616


def test_a_key_is_padded_and_its_number_is_not():
    assert rules.flight_key(2013, 1, 1, "UA", 1545, "EWR") == "2013-01-01-UA1545-EWR"
    assert rules.flight_key(13, 11, 30, "9E", 7, "JFK") == "0013-11-30-9E7-JFK"


@pytest.mark.parametrize("capacity", [1, 2, 20, 55, 150, 450])
def test_from_65_to_96_of_a_hundred_seats_are_sold(capacity):
    sold = {rules.sold(2013, case, capacity) for case in CASES}
    assert sold == set(range(capacity * 65 // 100, capacity * 65 // 100 + capacity * 31 // 100 + 1))
    assert max(sold) <= capacity


def test_a_fare_is_its_base_its_miles_and_its_lot():
    fares = [rules.fare(2013, case, 1000) for case in CASES]
    assert 13000 <= min(fares) < 13050
    assert 21950 < max(fares) < 22000
    assert rules.fare(2013, CASES[0], 1001) - fares[0] == 9


@pytest.mark.parametrize(
    ("happens", "what", "per_mille"),
    [
        (rules.is_busy, "busy", 20),
        (rules.is_cut_off, "cut off", 12),
        (rules.is_slow, "slow", 8),
        (rules.is_declined, "decline", 15),
        (rules.is_gate_closed, "gate", 10),
    ],
)
def test_mishaps_are_as_rare_as_they_are_said_to_be(happens, what, per_mille):
    struck = [case for case in CASES if happens(2013, case)]
    assert struck == [case for case in CASES if rules.draw(2013, what, case) % 1000 < per_mille]
    assert len(struck) / len(CASES) * 1000 == pytest.approx(per_mille, rel=0.5)


def test_mishaps_are_independent_of_each_other():
    happens = (
        *(rules.is_busy, rules.is_cut_off, rules.is_slow),
        *(rules.is_declined, rules.is_gate_closed),
    )
    assert len({tuple(case for case in CASES if each(2013, case)) for each in happens}) == 5


def test_some_notices_fail_once_and_few_until_repaired():
    once = [c for c in CASES if rules.notice_fails(2013, c, 1, repaired=True)]
    always = [c for c in CASES if rules.notice_fails(2013, c, 9, repaired=False)]
    assert len(once) / len(CASES) * 1000 == pytest.approx(50, rel=0.15)
    assert len(always) / len(CASES) * 1000 == pytest.approx(5, rel=0.3)
    assert not set(once) & set(always)
    assert not any(rules.notice_fails(2013, c, 2, repaired=False) for c in once)
    assert not any(rules.notice_fails(2013, c, 9, repaired=True) for c in always)
    assert all(rules.notice_fails(2013, c, 1, repaired=False) for c in (*once, *always))
