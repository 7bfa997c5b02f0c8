"""Measuring a call changes nothing about its type."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from penstock import metrics


async def fetch(user: str, *, fresh: bool = False) -> bytes:
    return user.encode()


@metrics.measured("parse")
def parse(text: str, base: int = 10) -> int:
    return int(text, base)


@metrics.measured("load")
async def load(path: str) -> bytes:
    return path.encode()


async def measure() -> None:
    assert_type(await metrics.measure("fetch", fetch, "123"), bytes)
    assert_type(await metrics.measure("fetch", fetch, "123", fresh=True), bytes)
    assert_type(metrics.measure("length", len, "123"), int)
    with metrics.measure("block"):
        assert_type(parse("11", base=2), int)
    assert_type(await load("x"), bytes)
    parse(11)  # type: ignore[arg-type]
    await load()  # type: ignore[call-arg]
    same: Callable[[str], Coroutine[Any, Any, bytes]] = load
    del same


def instruments() -> None:
    seconds = metrics.histogram("http_client_seconds", labels=("route",)).bind(route="/users")
    seconds.record(0.0123)
    seconds.record("fast")  # type: ignore[arg-type]
    assert_type(seconds.quantile(0.99), float)
    assert_type(seconds.count, int)
    metrics.counter("requests").inc(2)
    metrics.gauge("depth").set(3.5)
