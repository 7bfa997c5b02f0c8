"""How a queue between processes gets into another process: with it when it starts, or by name."""

from __future__ import annotations

import sys
from typing import Any

from penstock._native import SharedQueue
from penstock.errors import Lost, Misuse

__all__ = ("duplicate", "reduce", "spawning")


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
        return _rebuild, (type(queue), duplicate(queue.fileno()), queue.spin)
    if queue.name is None:
        raise Misuse(
            f"{queue!r} has no name, and is pickled other than for a process that is being started",
            hint="give it a name, or hand it to multiprocessing.Process or to a pool's initargs",
        )
    return _join, (type(queue), queue.name, queue._id, queue.spin)  # noqa: SLF001


def _rebuild(kind: type[SharedQueue[Any]], descriptor: Any, spin: float) -> SharedQueue[Any]:
    return kind._attach(descriptor.detach(), spin)  # noqa: SLF001


def _join(kind: type[SharedQueue[Any]], name: str, number: int, spin: float) -> SharedQueue[Any]:
    queue = kind.attach(name, spin=spin)
    if queue._id != number:  # noqa: SLF001
        queue.close()
        raise Lost(
            f"the shared queue '{name}' that was pickled is gone, and another one has its name",
            hint="let a process have the queue until all who are to join it have",
        )
    return queue
