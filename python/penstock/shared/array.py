"""numpy in shared memory.

An array in a queue's memory goes to another process without a copy, whatever its size; one in
memory of its own goes with a process when that starts. Needs numpy, which is imported with this
module and not before.
"""

from __future__ import annotations

import math
import mmap
import os
from operator import index
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import numpy as np

from penstock._native import SharedQueue, born_at_once, know_shared_array, plain_memory
from penstock.errors import Misuse

from .passing import duplicate, spawning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike

__all__ = ("SharedArray",)


class _Memory(mmap.mmap):
    """A file in memory, mapped; the kernel frees it when the last process lets go of it."""

    fd: int = -1

    def __new__(cls, fd: int, length: int) -> Self:
        self = super().__new__(cls, fd, length)
        self.fd = fd
        return self

    @classmethod
    def create(cls, length: int) -> _Memory:
        fd = None
        try:
            fd = plain_memory(length)
            return cls(fd, length)
        except (MemoryError, OSError, OverflowError, ValueError) as failure:
            if fd is not None:
                os.close(fd)
            message = f"SharedArray: no memory for {length} bytes: {failure}"
            raise MemoryError(message) from failure

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def _memory_of(array: np.ndarray[Any, Any]) -> object:
    """What an array is a view of, in the end; None if it has memory of numpy's."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base


def _address(array: np.ndarray[Any, Any]) -> int:
    """Where the first element lies."""
    address: int = array.__array_interface__["data"][0]
    return address


class SharedArray(np.ndarray[Any, Any]):
    """A numpy array in shared memory; made by `empty`.

    Use one in a queue's memory (`queue=`) to hand large data to another process through that queue:
    putting it, or any view of it, in an item of whatever kind, copies nothing. Use one in memory of
    its own for data that several processes work on in place.

    It is an array as any other. Views of it are SharedArrays, results of operations plain arrays.
    What comes out of a queue is a plain array, too: a read-only view of the same memory, which
    lives as long as any view of it in any process.

        with SharedQueue() as queue:
            image = SharedArray.empty((1080, 1920, 3), "u1", queue=queue)
            camera.read_into(image)
            queue.put({"frame": 1, "image": image})  # leave it alone from here on
    """

    @classmethod
    def empty(
        cls,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: DTypeLike = float,
        *,
        queue: SharedQueue[Any] | None = None,
        timeout: float | None = 0.0,
    ) -> SharedArray:
        """A new array of that shape and dtype.

        With a `queue` it lies in this process's part of the queue's memory, counts against its
        `arena_bytes` until the last view of it in any process is gone, and holds what was there
        before. Write it, put it, and leave it alone: takers look at the same memory. Room is
        waited for up to `timeout` seconds, None for no limit, as `put` waits; then QueueFull is
        raised.

        Without one it has memory of its own, zeroed, which goes when the last process that maps it
        does; forked children inherit it, and `multiprocessing.Process(args=...)` hands it to
        spawned ones, each time the same memory, as writable there as here. A queue copies it, as it
        copies any other array.

        Raises Misuse for what cannot be shared (a dtype of Python objects, a size that never fits)
        and MemoryError where there is no memory. Any thread.
        """
        if queue is not None:
            born = born_at_once(cls, shape, dtype, queue, timeout)
            if born is not None:
                return born
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise Misuse(
                f"SharedArray: dtype {kind} refers to Python objects, which have no meaning in "
                "another process",
                hint="give a dtype of plain data; objects go through a queue by pickle",
            )
        # What isinstance(shape, SupportsIndex) asks, at a tenth of its cost.
        sizes: Any = (shape,) if hasattr(shape, "__index__") else shape
        lengths = tuple(map(index, sizes))
        if lengths and min(lengths) < 0:
            raise Misuse(f"SharedArray: shape {shape} has a negative length")
        if not isinstance(queue, SharedQueue | None):
            raise Misuse(
                f"SharedArray: queue={queue!r} is no SharedQueue",
                hint="give the queue that the array is to go through, or leave it out",
            )
        length = math.prod(lengths) * kind.itemsize or 1
        memory = _Memory.create(length) if queue is None else queue._allocate(length, timeout)  # noqa: SLF001
        # Any object with the buffer interface will do; numpy's stubs name a few.
        return cls(lengths, kind, memory)  # type: ignore[arg-type]

    def __array_wrap__(
        self, array: np.ndarray[Any, Any], context: Any = None, return_scalar: bool = False
    ) -> Any:
        if self is array or type(self) is not SharedArray:
            return array
        plain = np.asarray(array)
        return plain[()] if return_scalar or plain.shape == () else plain

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        if isinstance(found, SharedArray) and _memory_of(found) is None:
            return np.asarray(found)  # a copy, as a list of indices makes it
        return found

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        memory = _memory_of(self)
        if not isinstance(memory, _Memory) or spawning() is None:
            # As a plain array: its buffer stands beside the pickle, and a queue knows its memory.
            return np.asarray(self).__reduce_ex__(protocol)  # type: ignore[return-value]
        begin = _address(self) - _address(np.frombuffer(memory, "u1"))
        layout = (begin, self.shape, self.strides, self.dtype, self.flags.writeable)
        return _rebuild, (duplicate(memory.fd), len(memory), *layout)


def _rebuild(
    descriptor: Any,
    length: int,
    begin: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: np.dtype[Any],
    writable: bool,
) -> SharedArray:
    memory = _Memory(descriptor.detach(), length)
    array = SharedArray(shape, dtype, memory, begin, strides)
    array.flags.writeable = writable
    return array


know_shared_array(SharedArray)
