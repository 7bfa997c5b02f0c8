"""What it costs that an awaited call could be ended by a timeout, when it ends in time."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from benches.case import Case, Target, cost
from benches.resilience.calls import (
    all_answered,
    awaited,
    bare,
    contender,
    nothing,
)

SECONDS = 5.0


def penstock(fn: Any) -> Any:
    from penstock import Policy, Timeout

    return Policy("bench", Timeout(SECONDS))(fn)


def asyncio_timeout(fn: Any) -> Any:
    async def call() -> Any:
        async with asyncio.timeout(SECONDS):
            return await fn()

    return call


def anyio(fn: Any) -> Any:
    from anyio import fail_after

    async def call() -> Any:
        with fail_after(SECONDS):
            return await fn()

    return call


def hyx(fn: Any) -> Any:
    from hyx.timeout import timeout

    return timeout(SECONDS)(fn)


def nopanic(fn: Any) -> Any:
    from nopanic import timeout

    return timeout(SECONDS)(fn)


made = partial(contender, awaited, nothing)

CASES = (
    Case(
        room="resilience",
        name="timeout",
        question="What does an awaited call cost that a timeout could end?",
        contenders=[
            made("penstock", f"`Timeout({SECONDS})`", penstock),
            made("asyncio.timeout", f"`async with timeout({SECONDS})`", asyncio_timeout, None),
            made("anyio", f"`with fail_after({SECONDS})`", anyio),
            made("hyx", f"`@timeout({SECONDS})`", hyx),
            made("nopanic", f"`@timeout({SECONDS})`", nopanic),
            bare(awaited),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(0.8e-6), Target(4, "asyncio.timeout")],
    ),
)
