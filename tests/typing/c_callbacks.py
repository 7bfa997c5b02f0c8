"""A callback's items are what `decode` makes of its calls, and tuples without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from penstock import Stream, c_call, from_c_callback, from_callback
from penstock.adapters import CALLBACK, CallbackSource, CCallback


@dataclass
class Tick:
    number: int
    user: int


async def many() -> None:
    ticks = from_c_callback("void(int number, void *user)", decode=Tick)
    assert_type(ticks, CCallback[Tick])
    async with ticks as opened:
        assert_type(opened, CCallback[Tick])
        assert_type(await ticks.aget(timeout=1.0), Tick)
        assert_type(await ticks.aget_many(16), list[Tick])
        assert_type([tick async for tick in ticks], list[Tick])
        assert_type(ticks.stream(), Stream[Tick])
    with ticks:
        assert_type(ticks.get(), Tick)
        assert_type(ticks.get_many(16), list[Tick])
        assert_type(list(ticks), list[Tick])
    assert_type(from_c_callback("void()"), CCallback[tuple[Any, ...]])
    from_c_callback("void()", overflow="spill")  # type: ignore[call-overload]


async def one(fn: Any) -> None:
    assert_type(await c_call(fn, 1, CALLBACK, decode=Tick), Tick)
    assert_type(await c_call(fn, 1, CALLBACK), tuple[Any, ...])


async def python(register: Any) -> None:
    assert_type(from_callback(register), CallbackSource[tuple[Any, ...]])
    source = from_callback(register, decode=Tick)
    assert_type(source, CallbackSource[Tick])
    async with source:
        assert_type(await source.aget(), Tick)
        assert_type([tick async for tick in source], list[Tick])
        assert_type(source.stream(), Stream[Tick])
