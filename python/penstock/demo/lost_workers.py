"""A worker that dies costs the demo a moment and nothing else: what it ran is run again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from penstock.errors import Lost
from penstock.workers import WorkerPool

__all__ = ("run_again",)

_ATTEMPTS = 3

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


async def run_again(pool: WorkerPool, fn: Callable[[*Ts], R], *args: *Ts) -> R:
    """`pool.run` for a pure function: another worker has it when one was killed over it.

    Raises what `fn` raises, and `Lost` when the third worker in a row was lost: then it is the
    task that kills them.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return await pool.run(fn, *args)
        except Lost:
            continue
    return await pool.run(fn, *args)
