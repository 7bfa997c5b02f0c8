"""Pickle protocol 5 with large buffers beside the stream instead of in it.

An array of 10 MB becomes a stream of some hundred bytes and one buffer; the buffer is copied
once, into shared memory, and comes out at the other side as a view of it.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any, NamedTuple

from penstock._native import Port
from penstock.errors import Misuse

OUT_OF_BAND = 16 << 10
"""Buffers of at least so many bytes travel beside the stream; below, a copy in the stream is
cheaper than a slab."""


class Payload(NamedTuple):
    """A pickle stream and the buffers it refers to, in the order in which it does."""

    stream: bytes
    buffers: list[memoryview]

    @property
    def nbytes(self) -> int:
        """Bytes of stream and buffers together."""
        if not self.buffers:
            return len(self.stream)
        return len(self.stream) + sum(buffer.nbytes for buffer in self.buffers)


def dump(value: object) -> Payload:
    """Pickle `value`, its large contiguous buffers out of band.

    The buffers are views: they keep the arrays they belong to alive, and show what is written
    to those arrays until they are copied. Raises what pickling `value` raises.
    """
    buffers: list[memoryview] = []

    def beside(buffer: pickle.PickleBuffer) -> bool:
        # A true answer leaves the buffer in the stream.
        try:
            raw = buffer.raw()
        except BufferError:
            return True  # not contiguous
        if raw.nbytes < OUT_OF_BAND or len(buffers) == Port.BUFFERS:
            return True
        buffers.append(raw)
        return False

    stream = pickle.dumps(value, protocol=5, buffer_callback=beside)
    return Payload(stream, buffers)


def dump_view(view: memoryview) -> Payload:
    """As `dump`, for a memoryview: what comes out is one of the same format and shape.

    Raises Misuse for one whose bytes do not lie in one piece.
    """
    if not view.c_contiguous:
        raise Misuse(
            f"a memoryview of shape {view.shape} and strides {view.strides} lies in pieces",
            hint="put view.tobytes(), or the array itself",
        )
    return dump(_View(view))


class _View:
    def __init__(self, view: memoryview) -> None:
        self.view = view

    def __reduce__(self) -> tuple[object, ...]:
        return _reshape, (pickle.PickleBuffer(self.view), self.view.format, self.view.shape)


def _reshape(buffer: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    return memoryview(buffer).cast("B").cast(form, shape)  # type: ignore[call-overload, no-any-return]


def load(stream: Any, buffers: Sequence[Any]) -> Any:
    """Rebuild what `dump` took apart, over `buffers` of any type with the buffer interface.

    Arrays are views of the buffers and writable if those are. Only for streams from processes
    of the same program: unpickling runs code of the sender's choice.
    """
    # What was a bare buffer comes out as what is given here, and a memoryview has a length.
    return pickle.loads(stream, buffers=map(memoryview, buffers))  # noqa: S301
