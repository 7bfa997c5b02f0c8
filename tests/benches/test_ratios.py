from __future__ import annotations

from math import inf

import pytest

from benches.ratios import Interval, interval, paired


def test_five_rounds_give_the_extremes_and_say_that_they_hold_with_less_than_asked() -> None:
    assert interval([3, 1, 2, 5, 4]) == Interval(1, 3, 5, 1 - 2 / 2**5)


def test_nine_rounds_leave_out_one_on_each_side() -> None:
    # Of 512 patterns, 1 + 9 on either side leave the median out.
    assert interval(range(9)) == Interval(1, 4, 7, 492 / 512)


def test_more_rounds_leave_out_as_many_as_the_confidence_allows() -> None:
    # The table of the sign test: 20 values, 95 %, the sixth from either end.
    found = interval(range(1, 21))
    assert (found.low, found.high) == (6, 15)
    assert found.coverage == pytest.approx(0.9586, abs=1e-4)


def test_one_round_proves_nothing() -> None:
    assert interval([7.0]) == Interval(7, 7, 7, 0)


def test_ratios_are_taken_pair_by_pair() -> None:
    # The machine slows fourfold in the middle; every pair still says two.
    subject, peer = [100.0, 25.0, 25.0, 100.0, 100.0], [50.0, 12.5, 12.5, 50.0, 50.0]
    assert paired(subject, peer, more_is_better=True) == Interval(2, 2, 2, 1 - 2 / 32)
    assert paired(subject, peer, more_is_better=False).median == 0.5


def test_of_two_counts_of_nothing_neither_is_ahead() -> None:
    assert paired([0.0], [0.0], more_is_better=False).median == 1
    assert paired([0.0], [2.0], more_is_better=False).median == inf
    assert paired([2.0], [0.0], more_is_better=False).median == 0
    assert paired([2.0], [0.0], more_is_better=True).median == inf


def test_pairs_must_match() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired([1.0, 2.0], [1.0], more_is_better=True)
