"""What a hedge costs that is not needed: the call has ended before its time."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from benches.case import Case, Target, cost
from benches.resilience.calls import all_answered, awaited, contender, nothing

AFTER = 1.0


def penstock(fn: Any) -> Any:
    from penstock import Hedge, Policy

    return Policy("bench", Hedge(AFTER))(fn)


def nopanic(fn: Any) -> Any:
    from nopanic import hedge

    return hedge(delay=AFTER)(fn)


def task(fn: Any) -> Any:
    async def call() -> Any:
        return await asyncio.create_task(fn())

    return call


made = partial(contender, awaited, nothing)

CASES = (
    Case(
        room="resilience",
        name="hedge-unused",
        question="What does a call cost that is over before its hedge would begin?",
        contenders=[
            made("penstock", f"`Hedge({AFTER})`", penstock),
            made("nopanic", f"`hedge(delay={AFTER})`", nopanic),
            made("one task", "floor: `await create_task(...)`", task, None),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(8e-6), Target(1.5, "nopanic")],
    ),
)
