"""Adapters keep what can be said of a call: parameters, results, both sides of a translation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, assert_type

from penstock import (
    LegacyAdapter,
    Strangler,
    callbackify,
    from_callbacks,
    promisify,
    to_async,
    to_sync,
)
from penstock.adapters import Compare, Report, deprecated, deprecated_arguments, deprecated_callback


def read(path: str, size: int, callback: Callable[[Exception | None, bytes], None]) -> int:
    callback(None, path.encode() * size)
    return 7


def ticks(count: int, callback: Callable[[float], None]) -> None:
    callback(float(count))


def load(url: str, done: Callable[[bytes], None], failed: Callable[[str], None]) -> None:
    done(url.encode())


class Reply(NamedTuple):
    status: int
    body: bytes


async def double(number: int) -> int:
    return 2 * number


def half(number: int, *, digits: int = 2) -> float:
    return round(number / 2, digits)


def close(handle: int) -> None: ...


def close_text(handle: str) -> None: ...


async def callbacks() -> None:
    assert_type(await promisify(read)("a", 3), bytes)
    await promisify(read)(3, "a")  # type: ignore[arg-type]
    promisify(read, cancel=close)
    promisify(read, cancel=close_text)  # type: ignore[misc, arg-type]
    assert_type(await promisify(ticks, style="value")(3), float)
    assert_type(await promisify(read, results=Reply)("a", 3), Reply)
    assert_type(await from_callbacks(load)("a"), bytes)
    await from_callbacks(load)(3)  # type: ignore[arg-type]
    promisify(7)  # type: ignore[call-overload]

    def told(error: Exception | None, value: int | None) -> None: ...

    callbackify(double)(4, told)
    callbackify(double)("4", told)  # type: ignore[arg-type]


async def threads() -> None:
    assert_type(await to_async(half)(3, digits=1), float)
    await to_async(half)("3")  # type: ignore[arg-type]
    assert_type(to_sync(double)(3), int)
    to_sync(double)("3")  # type: ignore[arg-type]


class Order: ...


class Price: ...


def old(request: dict[str, str]) -> str:
    return request["ART"]


def to_old(order: Order) -> dict[str, str]:
    return {"ART": str(order)}


def to_new(text: str) -> Price:
    return Price()


def to_new_of_bytes(text: bytes) -> Price:
    return Price()


async def legacy() -> None:
    prices = LegacyAdapter(old, requests=to_old, responses=to_new, errors={KeyError: LookupError})
    assert_type(prices, LegacyAdapter[Order, Price, dict[str, str], str])
    assert_type(await prices(Order()), Price)
    assert_type(prices.call(Order()), Price)
    await prices("order")  # type: ignore[arg-type]
    LegacyAdapter(old, requests=to_old, responses=to_new_of_bytes)  # type: ignore[misc]


def other_half(number: int, *, digits: int = 2) -> float:
    return number / 2


def other(text: str) -> float:
    return 0.0


async def other_double(number: int) -> int:
    return number + number


async def strangling() -> None:
    halves = Strangler("half", half, other_half, compare=Compare())
    assert_type(halves(3, digits=1), float)
    halves("3")  # type: ignore[arg-type]
    Strangler("half", half, other)
    assert_type(await Strangler("double", double, other_double)(3), int)
    assert_type(halves.report(), Report)


@deprecated("half")
def quarter(number: int) -> float:
    return number / 4


@deprecated_arguments(num="number")
def third(number: int) -> float:
    return number / 3


@deprecated_callback(since="2.0")
async def fetch(key: str) -> bytes:
    return key.encode()


async def deprecations() -> None:
    assert_type(quarter(3), float)
    assert_type(third(3), float)
    assert_type(await fetch("a"), bytes)
    await fetch(3)  # type: ignore[arg-type]


def nothing(_: Any) -> None: ...
