"""What can happen to one item of a queue between processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import Conflict, Lost

if TYPE_CHECKING:
    from penstock._native import Lease

__all__ = ("LeaseLost", "Unreadable")


class Unreadable(Lost):
    """An item was taken that cannot be rebuilt in this process; what it raised is the cause.

    It is out of the queue. `record` is what was put, as it came: put it aside for somebody to look
    at. In a queue with `ack=True` it comes back when its lease is over, unless `lease` is settled.
    """

    record: bytes = b""
    """The pickle stream, its large buffers left out; or the bytes that were put."""
    lease: Lease[bytes] | None = None
    """To acknowledge the item or give it back, if it was taken under a lease."""

    def __reduce__(self) -> tuple[object, ...]:
        rebuild, arguments, _ = super().__reduce__()
        # A lease is this process's own affair.
        return rebuild, arguments, {**self.__dict__, "lease": None}


class LeaseLost(Conflict):
    """A lease was over before its item was acknowledged: another taker has the item, or will."""
