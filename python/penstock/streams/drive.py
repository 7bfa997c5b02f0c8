"""The task that runs a segment and hands its items over to the next."""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from penstock.errors import Closed, Lost

from .pace import Fairness
from .step import Step, close_segment

__all__ = ("cancelled_from_inside", "drive", "left")


async def drive(
    tail: Step,
    want: int,
    deliver: Callable[[list[Any]], Awaitable[None]],
    finish: Callable[[BaseException | None], None],
) -> None:
    """Pull from `tail` and deliver until it ends or fails; then close the segment and say so."""
    fairness = Fairness()
    occupation = tail.occupation
    error: BaseException | None = left(tail)
    try:
        while True:
            await fairness.turn()
            items = await tail.pull(want)
            if items is None:
                error = None
                break
            if items:
                occupation.waiting = "downstream"
                await deliver(items)
                occupation.waiting = None
    except Exception as failure:  # handed on; whoever reads at the end of the chain raises it  # noqa: BLE001
        error = failure
    except BaseException as cancel:
        if not cancelled_from_inside(cancel):
            raise
        error = Lost(f"{tail.label}: a function of this segment was cancelled from inside")
        error.__cause__ = cancel
    finally:
        try:
            with anyio.CancelScope(shield=True):
                await close_segment(tail)
        except Exception as failure:  # noqa: BLE001
            error = error or failure
        finish(error)


def left(step: Step) -> Closed:
    """Return what a reader in another task finds once the run's block has been left."""
    return Closed(
        f"{step.label}: the stream was left before its end",
        hint="read from a stream only inside its `async with` block",
    )


def cancelled_from_inside(error: BaseException) -> bool:
    """Whether a function let out the cancellation of something else: nobody cancelled this task.

    asyncio's tasks die of such an error without a word, and the item would be lost with them.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    if task is None or task.cancelling():
        return False
    return anyio.current_effective_deadline() > -math.inf
