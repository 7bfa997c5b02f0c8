"""Waiting for what other processes and threads do, without taking the processor from them."""

from __future__ import annotations

from collections.abc import Callable

import anyio


async def when(condition: Callable[[], object]) -> None:
    """Returns once it holds."""
    while not condition():  # noqa: ASYNC110 (nobody here could set an event)
        await anyio.sleep(0.005)
