"""Any pipeline gives the items, and the error, of its plain-Python meaning.

Pipelines are generated: operators in any order, functions plain, async and suspending, failing
at some items, with every policy, fused or handed over, in lists of any size. Seen red with: an
error raised ahead of the items before it in its list, results handed over without regard to
their tickets, two workers handing over at once, the rest of a batch forgotten.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock import Stream


class Broken(Exception):
    pass


def value(item: Any) -> int:
    """A number for any item that a pipeline can hold: batches nest."""
    return item if isinstance(item, int) else sum(map(value, item)) + len(item)


@dataclass(frozen=True)
class Function:
    """One behaviour in three colours; fails where the item's number hits a residue."""

    what: str  # map, filter, flat_map
    colour: str  # plain, async, suspending
    fails_at: int | None

    def meaning(self, item: Any) -> Any:
        number = value(item)
        if self.fails_at is not None and number % 7 == self.fails_at:
            raise Broken(number)
        if self.what == "filter":
            return number % 3 != 0
        if self.what == "flat_map":
            return [number + offset for offset in range(number % 4)]
        return number * 2 + 1

    def called(self) -> Callable[[Any], Any]:
        if self.colour == "plain":
            return self.meaning

        async def awaited(item: Any) -> Any:
            for _ in range(value(item) % 3 if self.colour == "suspending" else 0):
                await checkpoint()
            return self.meaning(item)

        async def given_one_by_one(item: Any) -> AsyncIterator[int]:
            for made in self.meaning(item):
                await checkpoint()
                yield made

        if self.what == "flat_map" and self.colour == "suspending":
            return given_one_by_one
        return awaited


@dataclass(frozen=True)
class Operator:
    name: str
    function: Function | None = None
    count: int = 0
    concurrency: int = 1
    policy: str = "stop"
    timed: bool = False

    def meant(self, items: Iterator[Any], dropped: list[Any]) -> Iterator[Any]:
        if self.name == "take":
            yield from itertools.islice(items, self.count)
        elif self.name == "skip":
            yield from itertools.islice(items, self.count, None)
        elif self.name == "buffer":
            yield from items
        elif self.name == "batch":
            while batch := list(itertools.islice(items, self.count)):
                yield batch
        else:
            yield from self._function_meant(items, dropped)

    def _function_meant(self, items: Iterator[Any], dropped: list[Any]) -> Iterator[Any]:
        assert self.function is not None
        for item in items:
            try:
                result = self.function.meaning(item)
            except Broken:
                if self.policy == "stop":
                    raise
                if self.policy == "receiver":
                    dropped.append(item)
                continue
            if self.name == "map":
                yield result
            elif self.name == "flat_map":
                yield from result
            elif result:
                yield item

    def built(self, stream: Stream[Any], dropped: list[Any], *, ordered: bool) -> Stream[Any]:
        if self.name == "batch":
            return stream.batch(self.count, within=600.0 if self.timed else None)
        if self.name in {"take", "skip", "buffer"}:
            return getattr(stream, self.name)(self.count)
        assert self.function is not None
        on_error: Any = self.policy
        if self.policy == "receiver":
            on_error = lambda item, error: dropped.append(item)  # noqa: E731
        if self.name == "map":
            return stream.map(
                self.function.called(),
                concurrency=self.concurrency,
                ordered=ordered,
                on_error=on_error,
            )
        return getattr(stream, self.name)(self.function.called(), on_error=on_error)


@dataclass
class Result:
    items: list[Any] = field(default_factory=list)
    error: Broken | None = None
    dropped: list[list[Any]] = field(default_factory=list)


def plain(source: list[int], fails: int | None, operators: list[Operator]) -> Result:
    def begin() -> Iterator[int]:
        for position, item in enumerate(source):
            if position == fails:
                raise Broken("source")
            yield item

    result = Result(dropped=[[] for _ in operators])
    items: Iterator[Any] = begin()
    for operator, dropped in zip(operators, result.dropped, strict=True):
        items = operator.meant(items, dropped)
    try:
        result.items.extend(items)
    except Broken as error:
        result.error = error
    return result


async def ours(
    source: list[int],
    fails: int | None,
    operators: list[Operator],
    *,
    async_source: bool,
    chunk_size: int,
    ordered: bool = True,
) -> Result:
    def begin() -> Iterator[int]:
        for position, item in enumerate(source):
            if position == fails:
                raise Broken("source")
            yield item

    async def begin_async() -> AsyncIterator[int]:
        for item in begin():
            await checkpoint()
            yield item

    result = Result(dropped=[[] for _ in operators])
    stream: Stream[Any] = Stream.from_iterable(
        begin_async() if async_source else begin(), chunk_size=chunk_size
    )
    for operator, dropped in zip(operators, result.dropped, strict=True):
        stream = operator.built(stream, dropped, ordered=ordered)
    try:
        async with stream as items:
            async for item in items:
                result.items.append(item)
    except Broken as error:
        result.error = error
    return result


def functions(what: str, *, failing: bool) -> st.SearchStrategy[Function]:
    fails_at = st.none() | st.integers(0, 6) if failing else st.none()
    colours = st.sampled_from(["plain", "async", "suspending"])
    return st.builds(Function, what=st.just(what), colour=colours, fails_at=fails_at)


def operators(*, failing: bool, order_matters: bool) -> st.SearchStrategy[Operator]:
    policy = st.sampled_from(["stop", "skip", "receiver"])
    calls = [
        st.builds(
            Operator,
            name=st.just(what),
            function=functions(what, failing=failing),
            concurrency=st.sampled_from([1, 1, 2, 5]) if what == "map" else st.just(1),
            policy=policy,
        )
        for what in ("map", "filter", "flat_map")
    ]
    cuts = [
        st.builds(Operator, name=st.sampled_from(["take", "skip"]), count=st.integers(0, 12)),
        st.builds(Operator, name=st.just("batch"), count=st.integers(1, 6), timed=st.booleans()),
    ]
    buffer = st.builds(Operator, name=st.just("buffer"), count=st.integers(1, 8))
    return st.one_of(*calls, buffer, *(cuts if order_matters else []))


SOURCES = st.lists(st.integers(0, 50), max_size=30)
EXAMPLES = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def run(backend: tuple[str, dict[str, Any]], function: Callable[[], Any]) -> Any:
    name, options = backend
    return anyio.run(function, backend=name, backend_options=options)


@EXAMPLES
@given(
    source=SOURCES,
    fails=st.none() | st.integers(0, 30),
    chain=st.lists(operators(failing=True, order_matters=True), max_size=6),
    async_source=st.booleans(),
    chunk_size=st.integers(1, 40),
)
def test_items_and_error_are_those_of_the_plain_pipeline(
    anyio_backend, source, fails, chain, async_source, chunk_size
):
    expected = plain(source, fails, chain)
    got = run(
        anyio_backend,
        lambda: ours(source, fails, chain, async_source=async_source, chunk_size=chunk_size),
    )
    assert got.items == expected.items
    assert (got.error is None) == (expected.error is None)
    if expected.error is not None:
        assert got.error.args == expected.error.args
    elif all(operator.name != "take" for operator in chain):
        # Stages work ahead on lists, so a cut or an error behind may come after a drop.
        assert got.dropped == expected.dropped


@EXAMPLES
@given(
    source=SOURCES,
    chain=st.lists(operators(failing=False, order_matters=False), max_size=5),
    async_source=st.booleans(),
)
def test_without_order_the_items_are_the_same(anyio_backend, source, chain, async_source):
    expected = plain(source, None, chain)
    got = run(
        anyio_backend,
        lambda: ours(source, None, chain, async_source=async_source, chunk_size=8, ordered=False),
    )
    assert Counter(got.items) == Counter(expected.items)


@pytest.mark.parametrize("size", [1, 7])
async def test_a_pipeline_of_every_operator(size):
    stream = (
        Stream.from_iterable(range(100), chunk_size=size)
        .skip(10)
        .filter(lambda x: x % 2)
        .map(lambda x: x * 10)
        .flat_map(lambda x: (x, x + 1))
        .buffer(3)
        .take(7)
        .batch(3)
    )
    assert await stream.collect() == [[110, 111, 130], [131, 150, 151], [170]]
