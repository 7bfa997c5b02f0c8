"""A short share of `make chaos ROOM=shared`, and the same script where it must fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from penstock import SharedQueue
from penstock.queues import QueueShutDown
from tests.chaos import shared, shared_streams
from tests.chaos.shared import PATIENCE, Round
from tests.chaos.shared_actors import made, named
from tests.chaos.shared_books import Book, Books
from tests.chaos.shared_peers import Multiprocessing

FRESH = random.SystemRandom().getrandbits(32)
SEEDS = [1, 2, pytest.param(FRESH, id="fresh")]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_is_harmed_by_a_death_or_a_stop(seed: int):
    done = shared.run(seed, 3.0)
    assert done.operations > 0
    assert done.rounds > 0


@pytest.mark.parametrize("max_items", [1, 4])
def test_nobody_sleeps_beside_an_item(max_items: int):
    assert shared_streams.run(2.0, max_items) > 0


def rounds_of_multiprocessing(disturbances: int, patience: float) -> int:
    """Twenty of them. Its locks go with a fork, or with a spawn, but not with both."""
    return sum(
        Round(
            random.Random(seed),
            Multiprocessing,
            patience=patience,
            disturbances=disturbances,
            is_spawned=0.0,
        ).run(f"seed {seed}")
        for seed in range(20)
    )


@pytest.mark.timeout(150)
def test_the_same_rounds_show_the_harm_where_there_is_some():
    with pytest.raises(AssertionError, match=r"(?s)seed \d+: .*(lost|never came to an end)"):
        rounds_of_multiprocessing(disturbances=30, patience=2.0)


@pytest.mark.timeout(150)
def test_the_same_rounds_invent_no_harm():
    assert rounds_of_multiprocessing(disturbances=0, patience=PATIENCE) > 0


# --- a shutdown -------------------------------------------------------------------------------


@contextmanager
def waiting(queue: Any, body: Callable[[Any, Any], None]) -> Iterator[Any]:
    """A process that waits, and the line by which it says what came of it."""
    context: Any = get_context("spawn")
    line, theirs = context.Pipe(duplex=False)
    process = context.Process(target=body, args=(queue, theirs))
    process.start()
    theirs.close()
    try:
        yield line
    finally:
        process.kill()
        process.join()
        line.close()


def wait_for_the_end(queue: Any, line: Any) -> None:
    async def one() -> None:
        with pytest.raises(QueueShutDown):
            await queue.aget()

    async def say() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        line.send("both wait")

    async def both() -> None:
        await asyncio.gather(one(), one(), say())

    asyncio.run(both())
    line.send("over")


def test_a_shutdown_elsewhere_ends_the_wait_of_every_task():
    with SharedQueue[int]() as queue, waiting(queue, wait_for_the_end) as line:
        assert line.recv() == "both wait"
        queue.shutdown()
        assert line.poll(PATIENCE)
        assert line.recv() == "over"


# --- the script itself ------------------------------------------------------------------------


def test_items_tell_whether_they_came_whole():
    for producer in range(3):
        for number in range(16):
            assert named(made(producer, number)) == (producer, number)
    torn = made(0, 6)
    torn[-1] += 1
    with pytest.raises(AssertionError, match=r"\(0, 6\) did not come whole"):
        named(torn)
    with pytest.raises(AssertionError, match="did not come whole"):
        named(made(0, 2) + "s")


def producer(book: Book) -> None:
    """Put numbers 0 to 3, was refused 4, died in the middle of 5 and 6."""
    book.begins(1, 0, 4)
    book.has_put(1, 0, 4)
    book.begins(1, 4, 1)
    book.has_put(1, 4, 0)
    book.begins(1, 5, 2)


def check(tmp_path: Path, *takes: tuple[int, int, list[int] | None], dropped: bool = False) -> int:
    """The verdict on takers: who, how many it asked for, the numbers that came, None if it died."""
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    books = Books(folder)
    books.dropped = dropped
    with closing(Book(books.path())) as book:
        producer(book)
    for who, most, numbers in takes:
        with closing(Book(books.path())) as book:
            book.asks(who, most)
            if numbers is not None:
                book.took(who, [(1, number) for number in numbers])
    return books.check("here")


def test_the_books_judge(tmp_path: Path):
    assert check(tmp_path, (2, 4, [0, 1, 2, 3])) == 8
    assert check(tmp_path, (2, 5, [0, 1, 2, 3, 5])) == 9, "what was under way may have gone in"
    assert check(tmp_path, (2, 3, [0, 3]), (3, 2, None)) == 6, "two died with their taker"
    assert check(tmp_path, (2, 3, [0]), dropped=True) == 5
    wrong: dict[str, list[tuple[int, int, list[int] | None]]] = {
        "1 of 4 were lost, and the dead may have had 0": [(2, 4, [0, 1, 2])],
        "2 of 4 were lost, and the dead may have had 1": [(2, 2, [0, 3]), (3, 1, None)],
        "taken twice": [(2, 4, [0, 1, 2, 3]), (3, 1, [3])],
        "refused or never put": [(2, 5, [0, 1, 2, 3, 4])],
        "refused or never put, ": [(2, 5, [0, 1, 2, 3, 7])],
        "taker 2 had number 1 of producer 1 after 2": [(2, 4, [0, 2, 1, 3])],
    }
    for verdict, takes in wrong.items():
        with pytest.raises(AssertionError, match=f"here: .*{verdict}"):
            check(tmp_path, *takes)


def test_the_books_judge_leases(tmp_path: Path):
    def check(*takers: list[tuple[str, int]], dropped: bool = False) -> int:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        books = Books(folder, has_leases=True)
        books.dropped = dropped
        with closing(Book(books.path())) as book:
            book.begins(1, 0, 2)
            book.has_put(1, 0, 2)
        for who, notes in enumerate(takers, 2):
            with closing(Book(books.path())) as book:
                for kind, number in notes:
                    if kind == "took":
                        book.took(who, [(1, number)])
                    else:
                        getattr(book, kind)(who, (1, number))
        return books.check("here")

    first = [("took", 0), ("acked", 0)]
    second = [("took", 1), ("acked", 1)]
    assert check(first, second) == 4
    assert check(first, [("took", 1)]) == 4, "the dead one may have said so"
    assert check(first, [("took", 1)], second) == 5
    assert check(first, [("took", 1), ("settled", 1)], second) == 5
    assert check(first, dropped=True) == 3
    wrong: dict[str, list[list[tuple[str, int]]]] = {
        "1 of 2 were lost, and no dead one had them": [first],
        "1 of 2 were lost, and no ": [first, [("took", 1), ("settled", 1)]],
        "acknowledged twice": [first, second, second],
        "refused or never put": [first, second, [("took", 2)]],
    }
    for verdict, takers in wrong.items():
        with pytest.raises(AssertionError, match=f"here: {verdict}"):
            check(*takers)
