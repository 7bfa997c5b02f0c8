"""`Stream`: a pipeline as a value. Building one does nothing; a run does (`run`)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from penstock.errors import Misuse

from . import arguments as check
from .apply import Filter, Map
from .buffer import Buffer, TimedBatch
from .concurrent import ConcurrentMap
from .expand import FlatMap
from .files import FileSource
from .iterables import AsyncIterableSource, BatchSource, IterableSource, OneShot
from .lines import Lines, check_encoding
from .policy import OnError, Policy
from .run import Run
from .shape import Batch, Skip, Take
from .sinks import CallableSink, FileSink, Fold, Sink
from .statistics import RunStatistics, StageStatistics, Totals
from .step import Step
from .through import ByteBuffer, Through
from .transform import Transform, mark_of

__all__ = ("Stream",)

T = TypeVar("T")
U = TypeVar("U")

_KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class _Stage:
    name: str
    build: Callable[..., Step]


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    build: Callable[[], Step]


class Stream(Generic[T]):
    """A description of a pipeline, from a source through stages, that can be run.

    Each operator returns a new stream and leaves this one as it was; nothing is opened, read or
    called before a run. A run is one of

    - `async with stream as items:` and `async for item in items:` inside the block,
    - `await stream.to(sink)`, `collect()`, `count()` or `reduce(fn, initial)`.

    Use it where items pass through several steps and either end may be slow: memory stays
    within the bounds that the operators state, whatever the speed of source and sink. For a
    loop over a list that fits in memory a plain `for` is faster and shorter.

    Stages run in the task that iterates, on lists of items, up to the next `buffer`,
    `map(concurrency=…)` or `batch(within=…)`: what comes before one of those runs in a task of
    its own. About once a millisecond a run lets its event loop go on (asyncio, uvloop, trio).

    An error in a stage surfaces as it is, after the items before it, with a note that names the
    stage and the item; leaving the block, by whatever way, ends all stages and closes the source
    before it returns. Cancelling a wait for the next item loses none, unless it interrupts a
    stage's own async function; then the run is over and says so.

    A stream has one run at a time, and may be run again if its source can be begun again.
    """

    __slots__ = ("_run", "_source", "_stages")

    def __init__(self, source: _Source, stages: tuple[_Stage, ...] = ()) -> None:
        self._source = source
        self._stages = stages
        self._run: Run[T] | None = None

    @staticmethod
    def from_iterable(
        items: Iterable[U] | AsyncIterable[U], *, chunk_size: int = 1024
    ) -> Stream[U]:
        """Begin with what an iterable or an async iterable gives.

        At most `chunk_size` items of an iterable are taken at once, fewer at first and whenever
        they are slow to come, and never more than a later `take` still wants; of an async
        iterable one at a time, so give it a `buffer` if it should run ahead. Of a queue, or of
        whatever else has its `aget_many`, what is there, as far as it is wanted. A generator is
        closed with the run, any other iterator is left to its owner; an iterator, which can be
        read only once, gives one run (`Misuse` at the second). A blocking iterator blocks the
        loop. `Misuse` for something that cannot be iterated.
        """
        is_async = isinstance(items, AsyncIterable)
        if not is_async and not isinstance(items, Iterable) and not hasattr(items, "__getitem__"):
            raise Misuse(
                f"Stream.from_iterable: cannot iterate over {check.shown(items)}",
                hint="give an iterable or an async iterable",
            )
        check.positive("Stream.from_iterable", "chunk_size", chunk_size)
        name = f"from_iterable({type(items).__name__})"
        if is_async and hasattr(items, "aget_many"):
            return Stream(_Source(name, partial(BatchSource, name, items)))
        begin = OneShot(items)

        def build() -> Step:
            begun: Any = begin()
            if is_async:
                return AsyncIterableSource(name, begun)
            return IterableSource(name, begun, chunk_size)

        return Stream(_Source(name, build))

    @staticmethod
    def from_file(
        path: str | os.PathLike[str],
        *,
        chunk_size: int = 256 * _KIBIBYTE,
        member: str | None = None,
    ) -> Stream[bytes]:
        """Begin with the content of a regular file, as blocks of up to `chunk_size` bytes.

        A gzip file or a zip, known by its first bytes and not by its name, is unpacked as it is
        read; of a zip with several files name the `member`. A thread of the run's own reads and
        unpacks, at most two blocks ahead, so that the loop never waits for the disk: five blocks
        are in memory at most.

        Starting a run raises `FileNotFoundError`, `IsADirectoryError`, `PermissionError`, or
        `SourceError` for what is no regular file or no sound archive; a truncated or damaged
        archive raises `SourceError`, with the position, after the content before the damage.
        `Misuse` for a member that is not there or not named. Leaving a run waits for the read
        under way and closes the file.
        """
        check.positive("Stream.from_file", "chunk_size", chunk_size)
        where = check.path("Stream.from_file", path)
        name = f"from_file({where.name})"
        return Stream(_Source(name, partial(FileSource, name, str(where), chunk_size, member)))

    def lines(
        self: Stream[bytes],
        *,
        encoding: str = "utf-8",
        max_bytes: int = 1024 * _KIBIBYTE,
        keep_ends: bool = False,
        on_error: OnError = "stop",
    ) -> Stream[str]:
        r"""Decode blocks of bytes and cut them into lines at "\n" or "\r\n".

        Line ends are dropped, or kept as they are with `keep_ends`; a lone "\r" ends no line.
        A line that is not in `encoding`, or longer than `max_bytes` (without its end), raises
        `LineError` with its number, or goes by `on_error` as bytes (a long one cut to
        `max_bytes`). At most `max_bytes` and one block are held. Encodings whose line end is not
        the byte 0x0A (UTF-16, UTF-32) are refused with `Misuse`; "utf-8-sig" drops a byte order
        mark.
        """
        stage = self._place("lines")
        codec = check_encoding(encoding, stage)
        check.positive(stage, "max_bytes", max_bytes)
        policy = Policy(on_error, stage)
        build = partial(
            Lines,
            encoding=codec,
            max_bytes=max_bytes,
            keep_ends=keep_ends,
            policy=policy,
        )
        return self._then("lines", build)

    @overload
    def map(
        self,
        fn: Callable[[T], Awaitable[U]],
        *,
        concurrency: int = 1,
        ordered: bool = True,
        on_error: OnError = "stop",
    ) -> Stream[U]: ...
    @overload
    def map(
        self,
        fn: Callable[[T], U],
        *,
        concurrency: int = 1,
        ordered: bool = True,
        on_error: OnError = "stop",
    ) -> Stream[U]: ...
    def map(
        self,
        fn: Callable[[T], Any],
        *,
        concurrency: int = 1,
        ordered: bool = True,
        on_error: OnError = "stop",
    ) -> Stream[Any]:
        """Replace each item by what `fn`, sync or async, returns for it.

        `fn` is taken as async if it is a coroutine function or its first result is awaitable.
        With `concurrency` above 1 up to so many async calls are in flight; results keep the
        items' order, or with `ordered=False` come as they are ready. At most `concurrency` items
        wait for their call and as many results to be taken; to keep order, at most twice as many
        calls have begun whose turn to be handed on has not come. A sync `fn` runs in the loop's
        thread, one call at a time: send heavy work to a pool,
        `map(partial(pool.run, fn), concurrency=4)`.

        `on_error` decides about an item whose call raises an `Exception`: `"stop"` ends the run
        with that error, `"skip"` drops the item, a callable (sync or async) is given the item
        and the error, and the run goes on; both count as `dropped`. `Misuse` for a bad argument.
        """
        stage = self._place("map")
        check.function(stage, fn)
        check.positive(stage, "concurrency", concurrency)
        policy = Policy(on_error, stage)
        name = f"map({check.name_of(fn)})"
        if concurrency == 1:
            return self._then(name, partial(Map, fn=fn, policy=policy))
        build = partial(
            ConcurrentMap, fn=fn, concurrency=concurrency, ordered=ordered, policy=policy
        )
        return self._then(name, build)

    def filter(
        self, fn: Callable[[T], Awaitable[object] | object], *, on_error: OnError = "stop"
    ) -> Stream[T]:
        """Keep the items for which `fn`, sync or async, is true; `on_error` as in `map`."""
        stage = self._place("filter")
        check.function(stage, fn)
        policy = Policy(on_error, stage)
        return self._then(f"filter({check.name_of(fn)})", partial(Filter, fn=fn, policy=policy))

    @overload
    def flat_map(
        self, fn: Callable[[T], AsyncIterable[U]], *, on_error: OnError = "stop"
    ) -> Stream[U]: ...
    @overload
    def flat_map(
        self, fn: Callable[[T], Iterable[U]], *, on_error: OnError = "stop"
    ) -> Stream[U]: ...
    @overload
    def flat_map(
        self,
        fn: Callable[[T], Awaitable[Iterable[U] | AsyncIterable[U]]],
        *,
        on_error: OnError = "stop",
    ) -> Stream[U]: ...
    def flat_map(self, fn: Callable[[T], Any], *, on_error: OnError = "stop") -> Stream[Any]:
        """Replace each item by all that `fn` gives for it, one item's after the other's.

        `fn` returns an iterable or an async iterable, or is async and returns one; it is read as
        it is needed, so it may be endless. An error in it lets go what is left of that item
        (`on_error` as in `map`).
        """
        stage = self._place("flat_map")
        check.function(stage, fn)
        policy = Policy(on_error, stage)
        return self._then(f"flat_map({check.name_of(fn)})", partial(FlatMap, fn=fn, policy=policy))

    def through(
        self,
        transform: Transform[T, U] | Callable[[], Transform[T, U]],
        *,
        on_error: OnError = "stop",
    ) -> Stream[U]:
        """Pass all items through a `Transform`: a stage that remembers, with a high-water mark.

        Give an object for one run, or the class, or a function that makes one, for any number. It
        runs in a task of its own, ahead by at most its `high_water_mark`; a mark of 0 leaves it in
        the task that takes. `on_error` as in `map`.
        """
        stage = self._place("through")
        # Of a class one is made now as well: what cannot be made is told here.
        given: Any = transform
        is_one = isinstance(given, Transform) or not callable(given)
        named = given if is_one else given()
        if not isinstance(named, Transform):
            raise Misuse(
                f"{stage}: no Transform: {check.shown(transform)}",
                hint="class Upper(Transform): …, then through(Upper())",
            )
        mark = mark_of(named)
        policy = Policy(on_error, stage)
        make = (lambda: named) if is_one else given
        added = [_Stage(type(named).__name__, partial(Through, make=make, policy=policy))]
        if mark and named.object_mode:
            build: Callable[..., Step] = partial(Buffer, max_items=mark)
            added.append(_Stage(f"high_water_mark({mark:,})", build))
        elif mark:
            build = partial(ByteBuffer, max_bytes=mark)
            added.append(_Stage(f"high_water_mark({mark:,} bytes)", build))
        return Stream(self._source, (*self._stages, *added))

    def batch(self, size: int, *, within: float | None = None) -> Stream[list[T]]:
        """Gather items into lists of `size`, the last one shorter.

        With `within`, a list is handed on at the latest so many seconds after its first item was
        taken up, however short; the stages before then run in their own task, at most `size`
        items ahead. If the run fails, the unfinished list is not handed on.
        """
        stage = self._place("batch")
        check.positive(stage, "size", size)
        if within is None:
            return self._then(f"batch({size})", partial(Batch, size=size))
        check.seconds(stage, "within", within)
        build = partial(TimedBatch, size=size, within=within)
        return self._then(f"batch({size}, within={within})", build)

    def buffer(self, max_items: int) -> Stream[T]:
        """Let the stages before run ahead in a task of their own, by at most `max_items`.

        That task also holds the list it is handing over, which is no longer than `max_items`
        unless a stage makes many items out of one. Use it where both sides wait for something
        (a socket and a disk); between stages that only compute it gains nothing.
        """
        check.positive(self._place("buffer"), "max_items", max_items)
        return self._then(f"buffer({max_items})", partial(Buffer, max_items=max_items))

    def take(self, count: int) -> Stream[T]:
        """Pass on the first `count` items and end; the stages before are asked for no more."""
        check.not_negative(self._place("take"), "count", count)
        return self._then(f"take({count})", partial(Take, count=count))

    def skip(self, count: int) -> Stream[T]:
        """Leave out the first `count` items."""
        check.not_negative(self._place("skip"), "count", count)
        return self._then(f"skip({count})", partial(Skip, count=count))

    async def to(self, sink: Callable[[T], Awaitable[object] | object] | FileSink) -> Totals:
        """Run, give every item to `sink`, and return what it came to.

        `sink` is called once per item, in order; if it is async each call is awaited before the
        next. Or it is a file: `to_file(path)`. An error of the sink ends the run, as an error of
        a stage does; a file is then left as it was before.
        """
        target: Sink
        if isinstance(sink, Sink):
            target = sink
        else:
            check.function("Stream.to", sink)
            target = CallableSink(f"to({check.name_of(sink)})", sink)
        async with self._begin(target) as run, target:
            while (items := await run.take()) is not None:
                await target.write(items)
        done = run.statistics()
        return Totals(done.read, target.tally.items_out, done.dropped, done.seconds, done.stages)

    async def collect(self) -> list[T]:
        """Run and return all items as a list, which has no bound but the stream's length."""
        out: list[T] = []
        async with self._begin() as run:
            while (items := await run.take()) is not None:
                out += items
        return out

    async def count(self) -> int:
        """Run, drop the items and return how many there were."""
        count = 0
        async with self._begin() as run:
            while (items := await run.take()) is not None:
                count += len(items)
        return count

    async def reduce(self, fn: Callable[[U, T], Awaitable[U] | U], initial: U) -> U:
        """Run, fold the items into one value with `fn(value, item)`, sync or async, and return it.

        The value is `initial` for a stream without items. An error of `fn` ends the run.
        """
        check.function("Stream.reduce", fn)
        fold = Fold(f"reduce({check.name_of(fn)})", fn, initial)
        async with self._begin(fold) as run, fold:
            while (items := await run.take()) is not None:
                await fold.write(items)
        value: U = fold.value
        return value

    def statistics(self) -> RunStatistics:
        """Return the counts of the run under way or, after it, of the last one; zeros before.

        May be called from any thread, for a progress bar or a metric; costs microseconds.
        """
        if self._run is not None:
            return self._run.statistics()
        names = [self._source.name, *(stage.name for stage in self._stages)]
        stages = tuple(StageStatistics(name, 0, 0, 0, None, 0) for name in names)
        return RunStatistics(stages, 0, 0, 0, 0, 0.0)

    async def __aenter__(self) -> Run[T]:
        return await self._begin().__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._run is not None
        await self._run.__aexit__(kind, error, traceback)

    def __repr__(self) -> str:
        return " | ".join([self._source.name, *(stage.name for stage in self._stages)])

    def _begin(self, sink: Sink | None = None) -> Run[T]:
        if self._run is not None and self._run.is_under_way:
            raise Misuse(
                f"this stream is being run already: {self!r}",
                hint="build one stream per run that goes on at the same time",
            )
        steps = [self._source.build()]
        for stage in self._stages:
            steps.append(stage.build(stage.name, steps[-1]))
        self._run = Run(steps, sink)
        return self._run

    def _then(self, name: str, build: Callable[..., Step]) -> Stream[Any]:
        return Stream(self._source, (*self._stages, _Stage(name, build)))

    def _place(self, operator: str) -> str:
        """Return how an operator added now is called in messages."""
        return f"stage {len(self._stages) + 1} {operator}"
