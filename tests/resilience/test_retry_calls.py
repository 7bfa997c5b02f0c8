"""What `Retry` does in a policy: when it tries again, how long it waits, what it raises at last."""

from __future__ import annotations

import email.utils
import gc
import time
import weakref
from types import SimpleNamespace

import pytest

from penstock import Policy, Retry
from penstock.errors import Misuse, Rejected
from penstock.resilience import CircuitOpen
from penstock.testing import capture, instant

LOOPLESS = Retry(attempts=4, delay=1.0, jitter=0.0)


class Flaky:
    """Fails with these, one after the other, then returns "done"."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, *args):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def awaited(self, *args):
        return self()


def test_it_tries_again_until_it_works():
    flaky = Flaky(OSError(), OSError())
    with instant() as clock:
        assert Policy("p", LOOPLESS).call(flaky) == "done"
    assert clock.sleeps == [1.0, 2.0]
    assert flaky.calls == 3


async def test_it_does_so_on_a_loop(anyio_backend):
    flaky = Flaky(OSError(), OSError())
    with instant() as clock:
        assert await Policy("p", LOOPLESS).run(flaky.awaited) == "done"
    assert clock.sleeps == [1.0, 2.0]


async def test_real_pauses_end(anyio_backend):
    flaky = Flaky(OSError())
    policy = Policy("p", Retry(delay=0.001))
    assert await policy.run(flaky.awaited) == "done"
    assert policy.call(Flaky(OSError())) == "done"


def test_after_the_last_attempt_the_calls_own_error_has_a_note_for_each():
    last = ConnectionError("third")
    with instant(), pytest.raises(ConnectionError) as raised:
        Policy("p", Retry(attempts=3, delay=1.0, jitter=0.0)).call(
            Flaky(OSError("first"), ValueError("second"), last)
        )
    assert raised.value is last
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert raised.value.__notes__ == [
        "policy 'p': attempt 1 of 3: OSError('first'); tried again after 1 s",
        "policy 'p': attempt 2 of 3: ValueError('second'); tried again after 2 s",
        "policy 'p': attempt 3 of 3: ConnectionError('third'); no attempts left",
    ]


def test_what_is_not_meant_is_raised_at_once():
    policy = Policy("p", Retry(on=(OSError, KeyError)))
    flaky = Flaky(ValueError())
    with pytest.raises(ValueError) as raised:
        policy.call(flaky)
    assert flaky.calls == 1
    assert not hasattr(raised.value, "__notes__")


def test_a_function_decides():
    policy = Policy("p", Retry(delay=0.0, on=lambda error: error.args == ("again",)))
    assert policy.call(Flaky(ValueError("again"))) == "done"
    with pytest.raises(ValueError):
        policy.call(Flaky(ValueError("no")))


def test_an_error_of_that_function_is_raised():
    policy = Policy("p", Retry(delay=0.0, on=lambda error: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        policy.call(Flaky(ValueError()))


def test_refusals_of_a_policy_are_tried_again_only_by_name():
    for on, calls in ((Exception, 1), (Rejected, 2), ((OSError, CircuitOpen), 2)):
        flaky = Flaky(CircuitOpen("inner", "", 0.0))
        policy = Policy("p", Retry(delay=0.0, on=on))
        if calls == 1:
            with pytest.raises(CircuitOpen):
                policy.call(flaky)
        else:
            assert policy.call(flaky) == "done"
        assert flaky.calls == calls


def test_by_result():
    answers = iter([None, None, 7])
    policy = Policy("p", Retry(attempts=3, delay=0.0, on_result=lambda value: value is None))
    assert policy.call(lambda: next(answers)) == 7
    with capture() as events:
        assert policy.call(lambda: None) is None
    assert [event.kind for event in events] == ["retried", "retried", "gave_up"]


async def test_by_result_on_a_loop(anyio_backend):
    answers = iter([None, 7])
    policy = Policy("p", Retry(delay=0.0, on_result=lambda value: value is None))

    async def answer():
        return next(answers)

    assert await policy.run(answer) == 7


def asks(**how):
    error = OSError()
    for name, value in how.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (asks(retry_after=7), 7.0),
        (asks(retry_after=0.5), 1.0),
        (asks(retry_after=float("nan")), 1.0),
        (asks(retry_after=True), 1.0),
        (asks(response=SimpleNamespace(headers={"Retry-After": "12"})), 12.0),
        (asks(response=SimpleNamespace(headers={"retry-after": " 12 "})), 12.0),
        (asks(headers={"Retry-After": "12"}), 12.0),
        (asks(response=SimpleNamespace(headers={"Retry-After": "-12"})), 1.0),
        (asks(response=SimpleNamespace(headers={"Retry-After": "soon"})), 1.0),
        (asks(response=SimpleNamespace(headers={"Retry-After": "9" * 400})), 1.0),
        (asks(response=None), 1.0),
    ],
)
def test_the_other_side_says_how_long(error, pause):
    with instant() as clock:
        Policy("p", LOOPLESS).call(Flaky(error))
    assert clock.sleeps == [pause]


def test_the_other_side_gives_a_date():
    when = email.utils.format_datetime(
        email.utils.datetime.datetime.fromtimestamp(time.time() + 40, email.utils.datetime.UTC),
        usegmt=True,
    )
    with instant() as clock:
        Policy("p", LOOPLESS).call(
            Flaky(asks(response=SimpleNamespace(headers={"Retry-After": when})))
        )
    assert 20.0 < clock.sleeps[0] <= 40.0


def test_longer_than_we_wait_is_the_end():
    with instant() as clock, pytest.raises(OSError) as raised:
        Policy("p", Retry(max_retry_after=30.0)).call(Flaky(asks(retry_after=31.0)))
    assert clock.sleeps == []
    assert "asked to wait 31 s, more than 30 s" in raised.value.__notes__[0]


def test_decorrelated_pauses_grow_from_the_one_before():
    retry = Retry(attempts=99, delay=1.0, max_delay=20.0, jitter="decorrelated")
    assert retry.pause(1, lambda: 1.0) == 3.0
    assert retry.pause(2, lambda: 1.0, before=3.0) == 9.0
    assert retry.pause(3, lambda: 1.0, before=9.0) == 20.0
    assert retry.pause(3, lambda: 0.0, before=9.0) == 1.0
    with instant() as clock, pytest.raises(OSError):
        Policy("p", retry).call(Flaky(*[OSError() for _ in range(99)]))
    assert len(clock.sleeps) == 98
    for before, pause in zip([1.0, *clock.sleeps], clock.sleeps, strict=False):
        assert 1.0 <= pause <= min(20.0, 3 * before)


def test_a_failure_keeps_nothing_alive():
    class Big:
        pass

    def fail():
        big = Big()
        seen.append(weakref.ref(big))
        if len(seen) < 3:
            raise OSError(len(seen))

    seen = []
    gc.disable()
    try:
        Policy("p", Retry(delay=0.0)).call(fail)
        assert [each() for each in seen] == [None, None, None]
    finally:
        gc.enable()


def test_events_tell_of_each_attempt():
    with instant(), capture("p") as events, pytest.raises(OSError):
        Policy("p", Retry(attempts=2, delay=1.0, jitter=0.0)).call(Flaky(OSError(1), OSError(2)))
    assert [(event.strategy, event.kind, event.attempt, event.seconds) for event in events] == [
        ("Retry", "retried", 1, 1.0),
        ("Retry", "gave_up", 2, None),
    ]
    assert [event.error.args for event in events] == [(1,), (2,)]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"on": ()}, "names no exception"),
        ({"on": "OSError"}, "names no exceptions"),
        ({"on": (OSError, int)}, "names no exceptions"),
        ({"on_result": 5}, "is not a function"),
        ({"retry_after": 5}, "is not a function"),
        ({"max_retry_after": -1.0}, "is out of range"),
        ({"jitter": "full"}, "is not a number"),
        ({"budget": 0.2}, "is not a Budget"),
    ],
)
def test_bad_input(arguments, match):
    with pytest.raises(Misuse, match=match):
        Retry(**arguments)
