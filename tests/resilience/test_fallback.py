"""What is answered when the call failed for good."""

from __future__ import annotations

import pytest

from penstock import Fallback, Policy, Retry
from penstock.errors import Misuse
from penstock.resilience import CircuitOpen
from penstock.testing import capture


def fail(error):
    raise error


async def fail_async(error):
    raise error


async def test_a_value(anyio_backend):
    policy = Policy("fallback", Fallback(value=None))
    assert policy.call(fail, OSError()) is None
    assert await policy.run(fail_async, OSError()) is None
    assert policy.call(int, "7") == 7


async def test_a_handler_gets_the_error_and_the_arguments(anyio_backend):
    error = OSError()
    policy = Policy("fallback", Fallback(lambda *told: told))
    assert policy.call(fail, error) == (error, error)
    assert await policy.run(fail_async, error) == (error, error)

    @Policy("fallback", Fallback(lambda error, a, *, b: (a, b)))
    def named(a, *, b):
        raise OSError

    assert named(1, b=2) == (1, 2)


async def test_an_async_handler(anyio_backend):
    async def answer(error, *_args):
        return "later"

    policy = Policy("fallback", Fallback(answer))
    assert await policy.run(fail_async, OSError()) == "later"
    with pytest.raises(Misuse, match="the fallback is an async function, the call is not"):
        policy.call(fail, OSError())


async def test_an_error_of_the_handler_is_raised_in_place(anyio_backend):
    def broken(error, *_args):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Policy("fallback", Fallback(broken)).call(fail, OSError())
    with pytest.raises(ZeroDivisionError):
        await Policy("fallback", Fallback(broken)).run(fail_async, OSError())


def test_only_what_is_meant_is_answered():
    policy = Policy("fallback", Fallback(value=0, on=OSError))
    assert policy.call(fail, OSError()) == 0
    with pytest.raises(ValueError):
        policy.call(fail, ValueError())


def test_refusals_are_answered_and_mistakes_are_not():
    policy = Policy("fallback", Fallback(value=0))
    assert policy.call(fail, CircuitOpen("inner")) == 0
    with pytest.raises(Misuse):
        policy.call(fail, Misuse("no"))


def test_it_comes_after_the_last_attempt():
    with capture() as events:
        assert Policy("fallback", Fallback(value=0), Retry(delay=0.0)).call(fail, OSError()) == 0
    assert [event.kind for event in events] == ["retried", "retried", "gave_up", "answered"]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (Fallback, "either a handler or value="),
        (lambda: Fallback(print, value=0), "either a handler or value="),
        (lambda: Fallback(5), "cannot be called"),
        (lambda: Fallback(value=0, on=KeyboardInterrupt), "no failure"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(Misuse, match=match):
        make()
