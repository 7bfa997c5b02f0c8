"""How a queue between processes gets into another process: with it when it starts, or by name."""

from __future__ import annotations

import sys
from typing import Any

from penstock._native import SharedQueue
from penstock.errors import Misuse

__all__ = ("attach", "reduce", "spawning")


def spawning() -> Any:
    """The child that multiprocessing is about to spawn, while it pickles what the child gets."""
    # Whoever spawns one has the module; it is not loaded only to find that out.
    context = sys.modules.get("multiprocessing.context")
    return None if context is None else context.get_spawning_popen()


def duplicate(fd: int) -> Any:
    """`fd` for the child that is about to be spawned; its `detach()` is the number there."""
    return sys.modules["multiprocessing.context"].reduction.DupFd(fd)


def reduce(queue: SharedQueue[Any]) -> tuple[object, ...]:
    """What `queue` is pickled as."""
    if spawning() is not None:
        arguments = (type(queue), duplicate(queue.fileno()), queue.name, queue.spin)
        return _rebuild, arguments
    raise Misuse(
        f"{queue!r} cannot be pickled outside of the start of a process",
        hint="give it to multiprocessing.Process or a pool's initargs, or SharedQueue.attach(name)",
    )


def _rebuild(
    kind: type[SharedQueue[Any]], descriptor: Any, name: str | None, spin: float
) -> SharedQueue[Any]:
    return kind._attach(descriptor.detach(), name, spin)  # noqa: SLF001


def attach(
    kind: type[SharedQueue[Any]], name: str, spin: float, timeout: float
) -> SharedQueue[Any]:
    """Joins the queue of that name through any process that has it."""
    raise Misuse(
        f"there is no {kind.__name__} '{name}' to join with spin={spin} after {timeout} s",
        hint="the name is that of a living queue",
    )
