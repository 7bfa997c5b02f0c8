"""Whatever parameters a function has, it is given what its caller gave."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial

import pytest

from penstock import CircuitBreaker, Policy, Retry, Timeout
from penstock.resilience.signature import signature_of


def plain(a, b=2, /, c=3, *, d, e=5):
    return a, b, c, d, e


def no_parameters():
    return ()


def packed(a, *rest, b=1, **named):
    return a, rest, b, named


def names_of_ours(value, clock, task=0, *, permit_0=0, fn=0, error=0):
    return value, clock, task, permit_0, fn, error


POLICIES = (
    Policy("plain"),
    Policy("retry", Retry(attempts=2, delay=0.0)),
    Policy("breaker", Retry(attempts=2, delay=0.0), CircuitBreaker()),
)


CALLS = (
    (plain, partial(plain, 1, d=4)),
    (plain, partial(plain, 1, 0, 0, d=0, e=0)),
    (plain, partial(plain, 1, c=7, d=4)),
    (no_parameters, partial(no_parameters)),
    (packed, partial(packed, 1, 2, 3, b=4, c=5)),
    (names_of_ours, partial(names_of_ours, 1, clock=2, fn=3, error=4)),
)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda each: each.name)
@pytest.mark.parametrize(("fn", "call"), CALLS)
def test_a_function_is_given_what_its_caller_gave(policy, fn, call):
    assert policy(fn)(*call.args, **call.keywords) == call()
    assert inspect.signature(policy(fn)) == inspect.signature(fn)


@pytest.mark.parametrize(("fn", "call"), CALLS)
def test_an_async_function_is_too(fn, call):
    scope = {}
    heading = str(inspect.signature(fn))
    exec(f"async def later{heading}: return sorted(locals().items())", scope)
    later = scope["later"]
    policy = Policy("async", Retry(attempts=2, delay=0.0), CircuitBreaker(), Timeout(60.0))

    async def both():
        decorated = await policy(later)(*call.args, **call.keywords)
        return decorated, await later(*call.args, **call.keywords)

    decorated, bare = asyncio.run(both())
    assert decorated == bare


def test_a_default_is_the_functions_own_object():
    marks = []

    @Policy("defaults", Retry(attempts=2, delay=0.0))
    def collected(mark=None, *, into=marks):
        into.append(mark)
        return into

    assert collected("a") is marks
    assert collected() is marks
    assert marks == ["a", None]


def test_arguments_that_do_not_fit_are_no_failure_of_the_other_side():
    policy = Policy("misfit", CircuitBreaker(failure_threshold=1))
    decorated = policy(plain)
    for _ in range(3):
        with pytest.raises(TypeError, match=r"plain\(\) missing 1 required keyword-only"):
            decorated(1)
    assert policy.circuit.state == "closed"
    assert decorated(1, d=4) == (1, 2, 3, 4, 5)


def test_what_is_no_plain_function_keeps_its_arguments_packed():
    class Callable:
        def __call__(self, a, *, b):
            return a, b

    assert signature_of(Callable()) is None
    assert signature_of(packed) is None
    assert Policy("callable", Retry(attempts=2, delay=0.0)).call(partial(Callable(), b=2), 1) == (
        1,
        2,
    )


def test_a_name_that_the_lines_use_does_not_fit():
    signature = signature_of(names_of_ours)
    assert signature is not None
    assert signature.parameters == "value, clock, task, *, permit_0, fn, error"
    lines = ["got = fun(*args, **kwargs)"]
    assert signature.fits(lines)
    assert not signature.fits([*lines, "value = got"])
    assert not signature.fits([*lines, "seen(args)"])
