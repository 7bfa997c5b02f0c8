"""Sources over what Python can iterate."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Any

from penstock.errors import Closed, Misuse

from .generators import aclose_generator, close_generator
from .pace import Slice
from .step import Head

__all__ = ("AsyncIterableSource", "BatchSource", "IterableSource", "OneShot")

_AT_ONCE = 4096


class OneShot:
    """Hands out the user's iterable, an iterator only once: a second run would find it empty."""

    __slots__ = ("_items", "_used")

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._items = items
        self._used = False

    def __call__(self) -> Iterable[Any] | AsyncIterable[Any]:
        if isinstance(self._items, Iterator | AsyncIterator):
            if self._used:
                raise Misuse(
                    f"the {type(self._items).__name__} given to Stream.from_iterable was used up "
                    f"by an earlier run",
                    hint="give an iterable that can be begun again, such as a list",
                )
            self._used = True
        return self._items


class IterableSource(Head):
    """Takes as many at once as fit a slice and are wanted, at most `chunk_size`."""

    def __init__(self, name: str, items: Iterable[Any], chunk_size: int) -> None:
        super().__init__(name, None)
        self._iterator: Iterator[Any] | None = iter(items)
        self._chunk_size = chunk_size
        self._slice = Slice()

    async def pull(self, want: int) -> list[Any] | None:
        if self._failure is not None:
            raise self._failure
        if self._iterator is None:
            return None
        limit = min(want, self._chunk_size)
        out: list[Any] = []
        slice_ = self._slice
        slice_.begin()
        size = 0
        while len(out) == size < limit:
            size = min(size + slice_.round, limit)
            try:
                # `extend` keeps what the iterator gave before it raised.
                out.extend(islice(self._iterator, size - len(out)))
            except Exception as error:  # noqa: BLE001
                return self._fail(error, self.tally.items_out + len(out) + 1, out)
            if slice_.is_over():
                break
        if len(out) < size:
            close_generator(self._iterator)
            self._iterator = None
            return self._emit(out) if out else None
        return self._emit(out)

    async def close(self) -> None:
        iterator, self._iterator = self._iterator, None
        close_generator(iterator)


class AsyncIterableSource(Head):
    """Takes one item at a time: the next may be long in coming, and this one is wanted now."""

    def __init__(self, name: str, items: AsyncIterable[Any]) -> None:
        super().__init__(name, None)
        self._iterator: AsyncIterator[Any] | None = aiter(items)

    async def pull(self, want: int) -> list[Any] | None:  # noqa: ARG002
        if self._failure is not None:
            raise self._failure
        if self._iterator is None:
            return None
        self.occupation.waiting = "upstream"
        try:
            item = await anext(self._iterator)
        except StopAsyncIteration:
            self._iterator = None
            return None
        except Exception as error:  # noqa: BLE001
            return self._fail(error, self.tally.items_out + 1, [])
        except BaseException:
            self._break(self.tally.items_out + 1)  # a cancelled generator would seem to end
            raise
        finally:
            self.occupation.waiting = None
        return self._emit([item])

    async def close(self) -> None:
        iterator, self._iterator = self._iterator, None
        await aclose_generator(iterator)


class BatchSource(Head):
    """Takes what is there of a queue or its like, by its `aget_many`; that is left to its owner."""

    def __init__(self, name: str, items: Any) -> None:
        super().__init__(name, None)
        self._items = items

    async def pull(self, want: int) -> list[Any] | None:
        self.occupation.waiting = "upstream"
        try:
            out: list[Any] = await self._items.aget_many(min(want, _AT_ONCE))
        except Closed:
            return None
        except Exception as error:  # noqa: BLE001
            return self._fail(error, self.tally.items_out + 1, [])
        finally:
            self.occupation.waiting = None
        return self._emit(out)
