"""`run_in_worker`: one call in a process, on the pool of the service that runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from penstock._serving import serving
from penstock.errors import Misuse

from ._pool import WorkerPool

__all__ = ("run_in_worker",)

_Ts = TypeVarTuple("_Ts")
R = TypeVar("R")


async def run_in_worker(fn: Callable[[*_Ts], R], *args: *_Ts, timeout: float | None = None) -> R:
    """Run `fn(*args)` in a worker process of the running service, and return its result.

    For code below a service that should not be handed its pool: a route, a message's handler, a
    saga's step. The service has the `WorkerPool` among its parts; nothing is started here, since
    what starts by itself is stopped by nobody. Without a service make a pool and use
    `pool.run`, which this is, with its costs and its rules for `timeout`, cancellation and errors.

    Args:
        fn: a function of a module; keywords go through `functools.partial`.
        timeout: seconds, waiting for a worker included; then the worker is ended.

    Raises Misuse where no service runs, or it has no pool, or several. The event loop's tasks
    only: the service around the caller, or else the one on its loop.

    """
    return await _pool().run(fn, *args, timeout=timeout)


def _pool() -> WorkerPool:
    found = serving()
    if found is None:
        raise Misuse(
            "run_in_worker: no service runs on this event loop",
            hint="service.add(WorkerPool()), or `async with WorkerPool() as pool: await "
            "pool.run(fn)`",
        )
    pools = [part for part in found.parts if isinstance(part, WorkerPool)]
    if not pools:
        raise Misuse(
            f"run_in_worker: service {found.name!r} has no pool", hint="service.add(WorkerPool())"
        )
    if len(pools) > 1:
        names = ", ".join(repr(pool.name) for pool in pools)
        raise Misuse(
            f"run_in_worker: service {found.name!r} has {len(pools)} pools: {names}",
            hint="name the one that is meant: await pool.run(fn)",
        )
    return pools[0]
