"""A policy keeps what it is put around: signatures, results, items."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, assert_type

from penstock import Deadline, Fallback, Policy, Retry, Timeout
from penstock.resilience import Circuit, Event, KeyedPolicy, subscribe
from penstock.testing import FakeClock, capture, instant, scripted

policy = Policy("users", Deadline(10.0), Retry(attempts=3), Timeout(5.0))


async def get_user(number: int, name: str = "") -> str:
    return name * number


def get_plain(number: int) -> list[int]:
    return [number]


@policy
async def decorated(number: int, *, name: str) -> str:
    return name * number


@policy
def plain(number: int) -> float:
    return number / 2


@policy
async def numbers(count: int) -> AsyncGenerator[int]:
    for number in range(count):
        yield number


async def keeps_types() -> None:
    assert_type(await policy.run(get_user, 1), str)
    assert_type(await policy.run(get_user, 1, "a"), str)
    await policy.run(get_user, 1, 2)  # type: ignore[arg-type]
    assert_type(await policy.run(get_number, 1), int)
    call: Coroutine[Any, Any, int] = policy.run(get_number, 1)
    assert_type(await call, int)
    await policy.run(get_number, "1")  # type: ignore[arg-type]
    await policy.run(get_plain, 1)  # type: ignore[arg-type]
    assert_type(policy.call(get_plain, 1), list[int])
    policy.call(get_plain, "1")  # type: ignore[arg-type]

    assert_type(await decorated(1, name="a"), str)
    await decorated("1", name="a")  # type: ignore[arg-type]
    assert_type(plain(1), float)
    plain()  # type: ignore[call-arg]
    async for number in numbers(3):
        assert_type(number, int)

    async for attempt in policy.attempts():
        async with attempt as same:
            assert_type(same.number, int)
    for attempt in policy.attempts():
        with attempt:
            assert_type(attempt.number, int)


async def get_number(number: int) -> int:
    return number


async def keyed() -> None:
    hosts = policy.keyed(lambda number: number)
    assert_type(hosts, KeyedPolicy)
    assert_type(await hosts.run(get_number, 1), int)
    assert_type(hosts.call(get_plain, 1), list[int])
    assert_type(hosts(get_plain)(1), list[int])
    assert_type(hosts.for_key("a"), Policy)
    assert_type(policy.circuit, Circuit)
    policy.circuit.mode = "shadow"
    policy.circuit.mode = "wrong"  # type: ignore[assignment]


def seen() -> None:
    assert_type(subscribe(print), Callable[[], None])
    with capture("users") as events:
        assert_type(events, list[Event])
    with instant() as clock:
        assert_type(clock, FakeClock)
    Policy("test", Fallback(value=0), scripted(OSError(), 1.0, "pass"))
    Policy("test", 5)  # type: ignore[arg-type]
    scripted("fail")  # type: ignore[arg-type]
