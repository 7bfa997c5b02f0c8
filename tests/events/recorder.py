"""What tests of several files use: handlers that note that they were called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel

from penstock.errors import PenstockError


class Recorder:
    """Handlers whose calls are noted in one list, and a way to wait for so many of them."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def handler(self, name: str, *, suspends: bool = False, error: Exception | None = None):
        async def handle(data: Any) -> str:
            self.seen.append((name, data))
            if suspends:
                await anyio.lowlevel.checkpoint()
            if error is not None:
                raise error
            return name

        handle.__qualname__ = name
        return handle


async def until(condition: Callable[[], object]) -> None:
    """Returns when it is so; pytest's own limit ends what never is."""
    while not condition():  # noqa: ASYNC110 - it may be anything
        await anyio.sleep(0.001)


def hint_of(error: BaseException) -> str:
    assert isinstance(error, PenstockError)
    assert error.hint
    return error.hint
