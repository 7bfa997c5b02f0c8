"""Answers that are remembered: fresh, stale, negative; one load for all; bounded."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from penstock import Cache, Policy
from penstock.errors import Misuse
from penstock.resilience import remaining
from penstock.resilience.flight import _aloft
from penstock.testing import FakeClock, capture
from penstock.tracing import TraceContext

from .calls import Call, Work, turn_until


class Source:
    """Counts calls; each answer is its number, or the next of `errors`."""

    def __init__(self):
        self.calls = 0
        self.errors = []

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls

    async def awaited(self, *args, **kwargs):
        return self(*args, **kwargs)


@pytest.fixture(params=["blocking", "awaited"])
def ask(request, anyio_backend):
    """Asks through a policy, in the one way or the other."""

    async def ask(policy, source, *args, **kwargs):
        if request.param == "awaited":
            return await policy.run(
                partial(source.awaited, **kwargs) if kwargs else source.awaited, *args
            )
        return policy.call(partial(source, **kwargs) if kwargs else source, *args)

    return ask


async def test_an_answer_is_fresh_for_its_time(ask):
    source, policy = Source(), Policy("cache", Cache(10.0))
    with FakeClock() as clock:
        assert await ask(policy, source, "a") == 1
        clock.advance(9.9)
        assert await ask(policy, source, "a") == 1
        clock.advance(0.1)
        assert await ask(policy, source, "a") == 2


async def test_arguments_and_functions_are_apart(ask):
    source, other, policy = Source(), Source(), Policy("cache", Cache(10.0))
    with FakeClock():
        assert await ask(policy, source, "a") == 1
        assert await ask(policy, source, "b") == 2
        assert await ask(policy, source, "a", "b") == 3
        assert await ask(policy, other, "a") == 1


async def test_keywords_count_in_any_order(anyio_backend):
    source = Source()
    cached = Policy("cache", Cache(10.0))(source.__call__)
    with FakeClock():
        assert cached(1, b=2, c=3) == 1
        assert cached(1, c=3, b=2) == 1
        assert cached(1, c=2, b=3) == 2


async def test_a_function_makes_the_key(ask):
    source, policy = Source(), Policy("cache", Cache(10.0, key=len))
    with FakeClock():
        assert await ask(policy, source, [1, 2]) == 1
        assert await ask(policy, source, [3, 4]) == 1
        assert await ask(policy, source, [3]) == 2


async def test_what_cannot_be_a_key_is_refused(ask):
    policy = Policy("cache", Cache(10.0))
    source = Source()
    with pytest.raises(Misuse, match="unhashable type: 'list'"):
        await ask(policy, source, [1])
    assert source.calls == 0


async def test_an_error_is_not_remembered_unless_asked(ask):
    source, policy = Source(), Policy("cache", Cache(10.0))
    source.errors = [OSError()]
    with FakeClock():
        with pytest.raises(OSError):
            await ask(policy, source)
        assert await ask(policy, source) == 2


async def test_negative(ask):
    policy = Policy("cache", Cache(10.0, negative_ttl=2.0, negative_on=KeyError))
    source = Source()
    source.errors = [KeyError("nobody"), OSError()]
    with FakeClock() as clock:
        raised = []
        for _ in range(3):
            with pytest.raises(KeyError, match="nobody") as caught:
                await ask(policy, source)
            raised.append(caught.value)
        assert source.calls == 1
        # Each has an error of its own, whose trace and notes nobody else adds to.
        assert len({id(error) for error in raised}) == 3
        clock.advance(2.0)
        with pytest.raises(OSError):
            await ask(policy, source)
        assert await ask(policy, source) == 3


async def test_a_users_predicate_that_raises_leaves_nothing_behind(ask):
    policy = Policy("cache", Cache(10.0, negative_ttl=2.0, negative_on=lambda error: 1 / 0))
    source = Source()
    source.errors = [OSError()]
    with FakeClock():
        with pytest.raises(ZeroDivisionError):
            await ask(policy, source)
        assert await ask(policy, source) == 2


async def test_stale_answers_are_handed_out_while_one_load_renews(anyio_backend):
    source, policy = Source(), Policy("cache", Cache(10.0, stale=5.0))
    with FakeClock() as clock, capture("cache") as events:
        assert await policy.run(source.awaited) == 1
        clock.advance(10.0)
        assert [await policy.run(source.awaited) for _ in range(2)] == [1, 1]
        await turn_until(lambda: source.calls == 2)
        await turn_until(lambda: not policy._parts[0]._flights)
        assert await policy.run(source.awaited) == 2
        clock.advance(15.0)
        assert await policy.run(source.awaited) == 3
    assert [event.kind for event in events] == ["missed", "revalidating", "missed"]


async def test_a_renewal_that_fails_keeps_the_old_answer(anyio_backend):
    source, policy = Source(), Policy("cache", Cache(10.0, stale=5.0, negative_ttl=1.0))
    with FakeClock() as clock:
        assert await policy.run(source.awaited) == 1
        clock.advance(10.0)
        source.errors = [OSError()]
        assert await policy.run(source.awaited) == 1
        await turn_until(lambda: not policy._parts[0]._flights)
        assert await policy.run(source.awaited) == 1
        await turn_until(lambda: not policy._parts[0]._flights)
        assert await policy.run(source.awaited) == 3


def test_in_a_thread_the_first_caller_renews():
    source, policy = Source(), Policy("cache", Cache(10.0, stale=5.0))
    with FakeClock() as clock, capture("cache") as events:
        assert policy.call(source) == 1
        clock.advance(10.0)
        source.errors = [OSError()]
        assert policy.call(source) == 1
        assert policy.call(source) == 3
        assert policy.call(source) == 3
    assert [event.kind for event in events] == [
        "missed",
        "revalidating",
        "kept_stale",
        "revalidating",
    ]


async def test_many_who_miss_share_one_load(anyio_backend):
    work, policy = Work(), Policy("cache", Cache(60.0))
    async with anyio.create_task_group() as group:
        calls = [Call("scope", partial(policy.run, work)).start(group) for _ in range(100)]
        await turn_until(lambda: work.running)
        await turn_until(lambda: next(iter(policy._parts[0]._flights.values()))._aboard == 100)
        work.gate.set()
        assert [await call.ended() for call in calls] == ["done"] * 100
    assert work.started == 1


async def test_all_get_the_error(anyio_backend):
    work, policy = Work(), Policy("cache", Cache(60.0))

    async def fail():
        await work()
        raise OSError("for all")

    async with anyio.create_task_group() as group:
        calls = [Call("scope", partial(policy.run, fail)).start(group) for _ in range(5)]
        await turn_until(lambda: work.running)
        work.gate.set()
        outcomes = [await call.ended() for call in calls]
    assert [type(error) for error in outcomes] == [OSError] * 5
    assert work.started == 1


async def test_a_load_that_others_share_has_no_deadline_of_the_first_caller():
    async def left():
        await anyio.lowlevel.checkpoint()
        return remaining()

    policy = Policy("cache", Cache(10.0))
    with TraceContext().replace(deadline=time.monotonic() + 3600.0).activate():
        assert remaining() > 0
        assert await policy.run(left) is None


def test_threads_share_one_load():
    policy, gate, calls = Policy("cache", Cache(60.0)), threading.Event(), []

    def load():
        calls.append(1)
        gate.wait()
        return "loaded"

    answers = []
    threads = [threading.Thread(target=lambda: answers.append(policy.call(load))) for _ in range(8)]
    for thread in threads:
        thread.start()
    while not calls:
        threading.Event().wait(0.001)
    gate.set()
    for thread in threads:
        thread.join()
    assert answers == ["loaded"] * 8
    assert calls == [1]


def test_a_thread_that_is_interrupted_hands_the_load_over():
    policy, waiting, calls = Policy("cache", Cache(60.0)), threading.Event(), []

    def load():
        calls.append(1)
        if len(calls) == 1:
            waiting.wait()
            raise KeyboardInterrupt
        return "loaded"

    outcomes = []

    def ask():
        try:
            outcomes.append(policy.call(load))
        except KeyboardInterrupt:
            outcomes.append("interrupted")

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    while not calls:
        threading.Event().wait(0.001)
    waiting.set()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["interrupted", "loaded", "loaded"]
    assert calls == [1, 1]


def test_a_load_whose_loop_was_closed_under_it_holds_nobody_up():
    policy, gates = Policy("cache", Cache(60.0)), []

    async def load():
        gates.append(asyncio.Event())
        if len(gates) == 1:
            await gates[0].wait()
        return len(gates)

    loop = asyncio.new_event_loop()
    task = loop.create_task(policy.run(load))
    while not gates:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()  # with the load in mid-air
    assert asyncio.run(policy.run(load)) == 2
    # What was left in mid-air ends now, and must not take the newer load's place with it.
    del task
    gc.collect()
    assert asyncio.run(policy.run(load)) == 2
    assert not policy._parts[0]._flights
    assert not _aloft


async def test_no_more_than_max_items(ask):
    source, policy = Source(), Policy("cache", Cache(60.0, max_items=3))
    with FakeClock():
        for key in "abc":
            await ask(policy, source, key)
        await ask(policy, source, "a")  # has been asked for: b goes first
        await ask(policy, source, "d")
        assert source.calls == 4
        assert await ask(policy, source, "a") == 1
        assert await ask(policy, source, "b") == 5
    assert len(policy._parts[0].entries) == 3


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"ttl": 0.0}, "ttl"),
        ({"ttl": float("inf")}, "ttl"),
        ({"ttl": 1.0, "stale": -1.0}, "stale"),
        ({"ttl": 1.0, "negative_ttl": "1"}, "negative_ttl"),
        ({"ttl": 1.0, "negative_on": BaseException}, "negative_on"),
        ({"ttl": 1.0, "key": "id"}, "key"),
        ({"ttl": 1.0, "max_items": 0}, "max_items"),
    ],
)
def test_bad_input(arguments, name):
    with pytest.raises(Misuse, match=f"Cache: {name}"):
        Cache(**arguments)


async def test_what_is_forgotten_is_asked_for_anew(anyio_backend):
    """Buses have queries forgotten; a policy hands its cache to nobody."""
    source = Source()
    policy = Policy("p", Cache(60.0, key=lambda number: ("key", number)))
    part = policy._parts[0]
    assert [await policy.run(source.awaited, 1), await policy.run(source.awaited, 2)] == [1, 2]
    (first, second) = part.entries
    part.forget(first)
    assert [await policy.run(source.awaited, 1), await policy.run(source.awaited, 2)] == [3, 2]
    part.forget()
    assert not part.entries
    assert await policy.run(source.awaited, 2) == 4
    assert second in part.entries
