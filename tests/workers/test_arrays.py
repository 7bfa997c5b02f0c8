"""Arrays and buffers through the pool: by value, in shared memory, for as long as they are used."""

from __future__ import annotations

import gc
import pickle
from concurrent.futures import Future

import numpy as np
import pytest

from penstock import WorkerPool
from penstock._native import Port
from penstock.errors import Full, Misuse
from penstock.shared import OUT_OF_BAND, dump
from tests.workers import tasks
from tests.workers.steps import PATIENCE

MIB = 1 << 20
LARGE = 30_000
RECORD = np.dtype([("id", "<i8"), ("delay", "<f4"), ("carrier", "S2")])

ARRAYS = {
    "float64": np.arange(LARGE, dtype="f8"),
    "float16": np.arange(LARGE, dtype="f2"),
    "int8": np.arange(LARGE, dtype="i1"),
    "big-endian": np.arange(LARGE, dtype=">i4"),
    "bool": np.arange(LARGE) % 2 == 0,
    "complex": np.arange(LARGE) * 1j,
    "datetime": np.arange(LARGE).astype("M8[s]"),
    "bytes": np.full(LARGE, b"EWR"),
    "text": np.full(LARGE, "JFK"),
    "records": np.zeros(LARGE, dtype=RECORD),
    "c-order": np.arange(LARGE, dtype="f8").reshape(100, 300),
    "fortran-order": np.asfortranarray(np.arange(LARGE, dtype="f8").reshape(100, 300)),
    "strided": np.arange(2 * LARGE, dtype="f8")[::2],
    "reversed": np.arange(LARGE, dtype="f8")[::-1],
    "transposed-block": np.arange(2 * LARGE, dtype="f8").reshape(200, 300)[:100].T,
    "small": np.arange(10),
    "small-fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "none": np.zeros(0),
    "none-of-three": np.zeros((3, 0, 5)),
    "single": np.array(7.5),
    "single-record": np.zeros((), dtype=RECORD),
    "5-dimensional": np.arange(LARGE).reshape(2, 3, 5, 10, 100),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_arrives_as_it_was_and_comes_back(pool: WorkerPool, name: str):
    array = ARRAYS[name]
    there = pool.submit(tasks.describe_array, array).result(PATIENCE)
    here = tasks.describe_array(array)
    assert there[:2] == here[:2]
    assert there[5] == here[5]
    back = pool.submit(tasks.identity, array).result(PATIENCE)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    if array.flags.c_contiguous or array.flags.f_contiguous:
        assert there[2:4] == here[2:4], "order kept"
        assert back.flags.f_contiguous == array.flags.f_contiguous


def test_objects_with_arrays_inside(pool: WorkerPool):
    value = {"x": [np.ones(LARGE), (np.zeros(3), "text")], "y": np.full(LARGE, 2, "u1")}
    back = pool.submit(tasks.identity, value).result(PATIENCE)
    assert (back["x"][0] == 1).all()
    assert (back["y"] == 2).all()
    assert back["x"][1][1] == "text"


def test_one_array_twice_stays_one(pool: WorkerPool):
    array = np.ones(LARGE)
    first, second = pool.submit(tasks.identity, [array, array]).result(PATIENCE)
    assert first is second


def test_large_arguments_are_read_only_and_results_are_not(pool: WorkerPool):
    array = np.ones(LARGE)
    with pytest.raises(ValueError, match="read-only"):
        pool.submit(tasks.write_to, array).result(PATIENCE)
    result = pool.submit(tasks.add, array).result(PATIENCE)
    result[0] = 40
    result += 2
    assert (result[0], result[1]) == (42, 4)
    assert (array == 1).all()


def test_an_array_that_was_read_only_where_it_came_from_stays_so(pool: WorkerPool):
    back = pool.submit(tasks.identity, np.ones(LARGE)).result(PATIENCE)
    assert not back.flags.writeable, "the worker's argument was, and it was handed back as it is"


@pytest.mark.parametrize("size", [0, 1, OUT_OF_BAND - 1, OUT_OF_BAND, 3 * MIB])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes(pool: WorkerPool, kind: type, size: int):
    value = kind(b"ab" * size)[:size]
    back = pool.submit(tasks.identity, value).result(PATIENCE)
    assert type(back) is kind
    assert back == value


@pytest.mark.parametrize("size", [1, OUT_OF_BAND, MIB])
def test_bare_buffers(pool: WorkerPool, size: int):
    value = bytes(range(256)) * (size // 256 + 1)
    buffers = [pickle.PickleBuffer(value), pickle.PickleBuffer(bytearray(value))]
    assert pool.submit(tasks.lengths, buffers).result(PATIENCE) == [len(value)] * 2, "as a view"
    first, second = pool.submit(tasks.rewrap, buffers).result(PATIENCE)
    assert bytes(first) == bytes(second) == value
    assert len(first) == len(second) == len(value)


def test_a_memoryview_does_not_pickle(pool: WorkerPool):
    with pytest.raises(Misuse, match="memoryview"):
        pool.submit(len, memoryview(b"abc"))


def test_more_buffers_than_a_message_can_name(pool: WorkerPool):
    arrays = [np.full(OUT_OF_BAND, number % 251, "u1") for number in range(Port.BUFFERS + 50)]
    assert len(dump(arrays).buffers) == Port.BUFFERS
    back = pool.submit(tasks.identity, arrays).result(PATIENCE)
    assert len(back) == len(arrays)
    assert all((a == b).all() for a, b in zip(arrays, back, strict=True))


def test_the_stream_of_ten_megabytes_is_short():
    batch = {f"column-{n}": np.zeros(10 * MIB // 8 // 5) for n in range(5)}
    payload = dump((tasks.total, (batch,), {}))
    assert len(payload.stream) < 4096
    assert payload.nbytes >= 10 * MIB - 100
    with WorkerPool(workers=1) as pool:
        pool.submit(tasks.identity, batch).result(PATIENCE)
        statistics = pool.statistics()
    assert 0 < statistics.largest_stream < 4096
    assert statistics.largest_payload >= 10 * MIB - 100
    assert statistics.payload_bytes >= 10 * MIB - 100


def test_views_outlive_worker_and_pool():
    with WorkerPool(workers=1) as pool:
        first = pool.submit(tasks.add, np.ones(LARGE)).result(PATIENCE)
        pool.kill_workers()
        second = pool.submit(tasks.add, np.ones(LARGE), 2).result(PATIENCE)
        part = first[100:200]
        del first
    del pool
    gc.collect()
    part += 1
    assert (part == 3).all()
    assert (second == 3).all()


def test_a_view_is_not_overwritten_by_later_results(pool_of_one: WorkerPool):
    views = [
        pool_of_one.submit(tasks.add, np.full(LARGE, number)).result(PATIENCE)
        for number in range(20)
    ]
    assert [int(view[0]) for view in views] == [number + 1 for number in range(20)]
    assert all((view == view[0]).all() for view in views)


def test_nothing_is_held_when_tasks_and_views_have_gone(pool: WorkerPool):
    futures = [pool.submit(tasks.add, np.ones(LARGE)) for _ in range(20)]
    assert all((future.result(PATIENCE) == 2).all() for future in futures)
    assert settled(pool)


def settled(pool: WorkerPool) -> bool:
    """Whether no argument is held any more, once the workers have come round to each other's.

    A task may have been taken over from the one that it lay with first, which finds out when its
    turn would have come.
    """
    for _ in range(100):
        if pool.statistics().arena_held == 0:
            return True
        for future in [pool.submit(tasks.add, 1) for _ in range(8)]:
            future.result(PATIENCE)
    return False


async def test_a_deadline_holds_nothing_of_what_is_done(anyio_backend):
    """Twenty results in an arena for five, each with a deadline that is far away."""
    async with WorkerPool(workers=1, max_bytes=8 * MIB) as pool:
        for _ in range(40):
            result = await pool.run(tasks.ones, MIB // 8, timeout=3600)
            assert result.sum() == MIB // 8
            del result
        assert len(pool._engine.deadlines._tasks) == 0
        assert len(pool._engine.deadlines._heap) <= 100


def test_a_failed_task_holds_nothing(pool: WorkerPool):
    """Exception and frame refer to each other; the collector must not be needed."""
    with WorkerPool(workers=1, max_bytes=8 * MIB) as small:
        for _ in range(20):
            error = small.submit(fail_with_cycle, np.ones(MIB // 8)).exception(PATIENCE)
            assert isinstance(error, ValueError), error
        assert small.submit(tasks.total, np.ones(MIB // 8)).result(PATIENCE) == MIB // 8


def fail_with_cycle(array: np.ndarray) -> None:
    gc.disable()
    mine = ValueError(f"{len(array)} is wrong")
    raise mine


def test_memory_of_dropped_payloads_is_given_back():
    with WorkerPool(workers=1, max_bytes=1 << 30) as pool:
        for _ in range(8):
            assert pool.submit(tasks.total, np.ones(4 * MIB)).result(PATIENCE) == 4 * MIB
        for _ in range(8):
            assert pool.submit(tasks.total, np.ones(MIB // 8)).result(PATIENCE) == MIB // 8
        assert settled(pool)
        statistics = pool.statistics()
        assert statistics.arena_resident <= 64 * MIB


# -- limits


def test_what_no_arena_could_hold_is_refused(pool: WorkerPool):
    with WorkerPool(workers=1, max_bytes=4 * MIB) as small:
        with pytest.raises(Misuse, match=r"do not fit into an arena") as caught:
            small.submit(tasks.total, np.ones(MIB)).result(PATIENCE)
        assert "max_bytes" in caught.value.hint
        with pytest.raises(Misuse, match="do not fit into an arena"):
            small.submit(tasks.ones, MIB).result(PATIENCE)
        assert small.submit(tasks.ones, 10).result(PATIENCE).sum() == 10


def test_arguments_wait_for_room_while_tasks_are_under_way():
    with WorkerPool(workers=2, max_bytes=4 * MIB) as pool:
        futures = [pool.submit(tasks.total, np.ones(MIB // 4)) for _ in range(50)]
        assert [future.result(PATIENCE) for future in futures] == [MIB // 4] * 50


def test_an_arena_full_of_what_a_worker_keeps_fails_the_task_and_not_the_pool():
    with WorkerPool(workers=1, max_bytes=4 * MIB) as pool:
        kept = 0
        error = None
        while error is None:
            future: Future[int] = pool.submit(tasks.keep, np.ones(MIB // 8))
            error = future.exception(PATIENCE)
            kept += error is None
        assert isinstance(error, Full)
        assert kept == 4
        assert "4194304 of 4194304 bytes are held" in str(error)
        assert "max_bytes" in error.hint
        assert pool.statistics().arena_held == 4 * MIB
        assert pool.submit(tasks.drop).result(PATIENCE) == 4
        assert pool.submit(tasks.keep, np.ones(MIB // 8)).result(PATIENCE) == 1


def test_an_arena_full_of_results_in_use_fails_the_task_and_not_the_pool():
    with WorkerPool(workers=1, max_bytes=4 * MIB) as pool:
        results = [pool.submit(tasks.ones, MIB // 8).result(PATIENCE) for _ in range(4)]
        with pytest.raises(Full, match="no room") as caught:
            pool.submit(tasks.ones, MIB // 8).result(PATIENCE)
        assert "drop or copy the arrays" in caught.value.hint
        assert pool.submit(tasks.add, 1).result(PATIENCE) == 2
        results.pop()
        assert pool.submit(tasks.ones, MIB // 8).result(PATIENCE).sum() == MIB // 8
        assert [result.sum() for result in results] == [MIB // 8] * 3


def test_a_dead_workers_hold_on_arguments_ends_with_it():
    with WorkerPool(workers=1, max_bytes=4 * MIB) as pool:
        for _ in range(3):
            for _ in range(4):
                pool.submit(tasks.keep, np.ones(MIB // 8)).result(PATIENCE)
            assert pool.submit(tasks.kill_self).exception(PATIENCE)
        assert settled(pool)
