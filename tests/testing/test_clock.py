"""The clock that only tests move."""

from __future__ import annotations

import threading
import time

import anyio
import anyio.lowlevel
import pytest

from penstock import _clock
from penstock._native import RateState
from penstock.errors import Misuse
from penstock.testing import FakeClock, instant


async def test_a_pause_ends_when_its_time_has_come(anyio_backend):
    ended = []

    async def pause(seconds):
        await _clock.sleep(seconds)
        ended.append(seconds)

    with FakeClock() as clock:
        async with anyio.create_task_group() as group:
            for seconds in (3.0, 1.0, 2.0):
                group.start_soon(pause, seconds)
            while clock.sleeping < 3:
                await anyio.lowlevel.checkpoint()
            clock.advance(2.5)
            while clock.sleeping > 1:
                await anyio.lowlevel.checkpoint()
            assert sorted(ended) == [1.0, 2.0]
            clock.advance(0.5)
        assert ended[2:] == [3.0]
        assert sorted(clock.sleeps) == [1.0, 2.0, 3.0]


def test_native_states_go_by_the_clock_in_force():
    second = 10**9
    with FakeClock() as clock:
        rate = RateState(limit=1, per=3600 * second)
        assert rate.acquire() == 0
        assert rate.acquire() < 0, "an hour has to pass"
        clock.advance(3600)
        assert rate.acquire() == 0
        with FakeClock() as inner:
            inner.advance(clock.now() + 3600)
            assert rate.acquire() == 0
        assert rate.acquire() < 0, "the outer clock is in force again"
    rate = RateState(limit=1, per=3600 * second)
    assert rate.acquire() == 0
    with FakeClock() as clock:
        clock.advance(10**7)
    assert rate.acquire() < 0, "the machine's own clock is"


def test_a_thread_wakes():
    with FakeClock() as clock:
        thread = threading.Thread(target=_clock.sleep_blocking, args=(5.0,))
        thread.start()
        while not clock.sleeping:
            threading.Event().wait(0.001)
        clock.advance(5.0)
        thread.join()
        assert clock.now() == 1005.0
        assert _clock.now_ns() == 1005 * 10**9


def test_callbacks_see_their_own_time_in_order():
    seen = []
    with FakeClock(start=0.0) as clock:
        clock.call_at(2.0, lambda: seen.append(clock.now()))
        clock.call_at(1.0, lambda: (seen.append(clock.now()), clock.call_at(1.5, late)))

        def late():
            seen.append(clock.now())

        clock.advance(2.0)
        clock.call_at(0.5, late)
    assert seen == [1.0, 1.5, 2.0, 2.0]


def test_leaving_puts_back_what_was_there_and_wakes_all():
    outer = FakeClock()
    with outer:
        with FakeClock() as inner:
            thread = threading.Thread(target=_clock.sleep_blocking, args=(5.0,))
            thread.start()
            while not inner.sleeping:
                threading.Event().wait(0.001)
        thread.join()
        assert _clock.virtual is outer
    assert _clock.virtual is None
    assert abs(_clock.now_ns() - time.monotonic_ns()) < 10**9


def test_instant_jumps():
    with instant() as clock:
        before = clock.now()
        _clock.sleep_blocking(7.0)
        assert clock.now() == before + 7.0
    assert clock.sleeps == [7.0]


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_it_moves_on_only(seconds):
    with FakeClock() as clock, pytest.raises(Misuse, match="advance"):
        clock.advance(seconds)


def test_it_is_in_force_once():
    with FakeClock() as clock, pytest.raises(Misuse, match="in force already"):
        clock.__enter__()
