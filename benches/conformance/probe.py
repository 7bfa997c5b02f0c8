"""A probe: its question, and how it is asked of one adapter."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from .adapter import Adapter

__all__ = ("Probe", "Seen", "all_probes", "fails", "passes", "probe", "turns", "until")


@dataclass(frozen=True)
class Seen:
    """What a probe saw: the right answer or not, and in words which."""

    is_right: bool
    words: str


Ask: TypeAlias = Callable[[Adapter], "Seen | Coroutine[Any, Any, Seen]"]


@dataclass(frozen=True)
class Probe:
    """One question."""

    strategy: str
    name: str
    question: str
    ask: Ask

    def run(self, adapter: Adapter) -> Seen:
        """Asks it; an async one on an asyncio loop of its own.

        `asyncio.run` would wait for tasks that do not end when they are cancelled, which some
        packages leave behind.
        """
        seen = self.ask(adapter)
        if isinstance(seen, Seen):
            return seen
        loop = asyncio.new_event_loop()
        try:
            answer = loop.run_until_complete(seen)
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=0.5))
        finally:
            loop.close()
        return answer


def probe(strategy: str) -> Callable[[Ask], Probe]:
    """Makes a probe of a function: named as it is, asking what its docstring says."""

    def make(ask: Ask) -> Probe:
        assert ask.__doc__ is not None
        question = " ".join(ask.__doc__.split("\n\n")[0].split())
        return Probe(strategy, ask.__name__.replace("_", "-"), question, ask)

    return make


def all_probes() -> list[Probe]:
    """Every probe, by strategy in the order of a policy, then as written."""
    from . import probes

    found: list[Probe] = []
    for name in probes.ORDER:
        module = importlib.import_module(f"{probes.__name__}.{name}")
        found += [each for each in vars(module).values() if isinstance(each, Probe)]
    assert set(probes.ORDER) == {module.name for module in pkgutil.iter_modules(probes.__path__)}
    return found


def passes(words: str = "yes") -> Seen:
    """The right answer."""
    return Seen(is_right=True, words=words)


def fails(words: str) -> Seen:
    """A wrong one."""
    return Seen(is_right=False, words=words)


async def turns(number: int) -> None:
    """Lets the loop turn so often."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    """Whether the condition came to hold within so many seconds."""
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.001)
    return True


async def outcome(task: asyncio.Task[Any], seconds: float = 5.0) -> object:
    """How a task ended: its value, its exception, "cancelled", or "hangs"."""
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
        return "hangs"
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return task.result() if error is None else error


def shown(result: object) -> str:
    """An outcome in a word."""
    return type(result).__name__ if isinstance(result, BaseException) else str(result)


def start(call: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
    """Calls it in a task of its own."""

    async def run() -> Any:
        return await call()

    return asyncio.get_running_loop().create_task(run())
