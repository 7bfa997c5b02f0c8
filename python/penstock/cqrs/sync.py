"""The blocking views of buses, for threads: Django, Flask, scripts."""

from __future__ import annotations

from types import TracebackType

from penstock._blocking import BlockingView

from .bus import Bus

__all__ = ("SyncBus",)


class Open:
    """A bus needs no opening: what the view holds open is its loop."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def __aenter__(self) -> Bus:
        return self._bus

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def __repr__(self) -> str:
        return f"{self._bus!r}.sync"


class SyncBus(BlockingView):
    """What `bus.sync` is: `with bus.sync as blocking:`, with blocking methods of the same names.

    Handlers run on an event loop of their own, on a thread that lives as long as the block. Any
    thread may call; refused with Misuse on an event loop's thread. Ctrl-C ends a call as
    cancellation does.
    """

    def __init__(self, bus: Bus) -> None:
        super().__init__(Open(bus))
        self._bus = bus
