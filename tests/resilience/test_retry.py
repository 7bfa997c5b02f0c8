"""`Retry` is a value: it refuses what cannot work, and its pauses are as said."""

from __future__ import annotations

import pickle

import pytest

from penstock import Retry
from penstock.errors import Misuse


def test_pauses_grow_to_their_bound():
    retry = Retry(attempts=10, delay=1.0, multiplier=2.0, max_delay=5.0, jitter=0.0)
    assert [retry.pause(attempt) for attempt in (1, 2, 3, 4, 100_000)] == [1, 2, 4, 5, 5]


def test_jitter_takes_a_share_off():
    retry = Retry(delay=8.0, jitter=0.25)
    assert retry.pause(1, lambda: 0.0) == 8.0
    assert retry.pause(1, lambda: 1.0) == 6.0
    assert all(6.0 <= retry.pause(1) <= 8.0 for _ in range(100))


def test_no_delay_is_no_pause():
    assert Retry(delay=0.0).pause(5) == 0.0


@pytest.mark.parametrize(
    "arguments",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"attempts": 2.0},
        {"attempts": True},
        {"delay": -0.1},
        {"delay": float("nan")},
        {"delay": "1"},
        {"multiplier": 0.5},
        {"max_delay": float("inf")},
        {"jitter": 1.5},
    ],
)
def test_it_refuses_what_cannot_work(arguments):
    (name,) = arguments
    with pytest.raises(Misuse, match=f"Retry: {name}="):
        Retry(**arguments)


def test_it_is_a_value():
    assert Retry(attempts=4) == Retry(attempts=4)
    assert hash(Retry()) == hash(Retry())
    assert pickle.loads(pickle.dumps(Retry(attempts=7))) == Retry(attempts=7)
