"""A task that writes where it must not costs its worker, and nobody else anything."""

from __future__ import annotations

import pytest

from penstock import WorkerPool
from penstock.errors import Lost
from penstock.workers import WorkerLost
from tests.workers import tasks
from tests.workers.steps import PATIENCE

LINK, ARENA = "penstock-link", "penstock-arena"
PAGE = 4096

# Where things lie in a link; see `rust/core/src/shm/port.rs`.
STATES, DOWN_HEAD, UP_HEAD, DATA = PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE
SLEEPS = 2 * 128


@pytest.mark.timeout(50)
@pytest.mark.parametrize("byte", [0x00, 0xFF, 0x5A])
@pytest.mark.parametrize(
    ("offset", "length"),
    [
        pytest.param(0, 1 << 30, id="all"),
        pytest.param(STATES, PAGE, id="states"),
        pytest.param(DOWN_HEAD, PAGE, id="down"),
        pytest.param(UP_HEAD, PAGE, id="up"),
        pytest.param(UP_HEAD + SLEEPS, 8, id="bell"),
        pytest.param(DATA, 1 << 30, id="records"),
    ],
)
def test_the_link(byte: int, offset: int, length: int, tmp_path):
    path = tmp_path / "ran"
    with WorkerPool(workers=2) as pool:
        innocent = [pool.submit(tasks.double, number) for number in range(50)]
        guilty = pool.submit(scribble, str(path), LINK, byte, offset, length)
        innocent += [pool.submit(tasks.double, number) for number in range(50, 100)]
        error = guilty.exception(PATIENCE / 2)
        assert error is None or isinstance(error, Lost)
        assert path.read_text() == "once\n", "it is not tried again with the next worker"
        for number, future in enumerate(innocent):
            lost = future.exception(PATIENCE / 2)
            # One that the damaged worker began before the damage was seen.
            assert isinstance(lost, WorkerLost) or future.result() == 2 * number
        lost = sum(future.exception() is not None for future in innocent)
        assert lost <= 1
        assert list(pool.map(tasks.double, range(100))) == [2 * n for n in range(100)]


def scribble(path: str, name: str, byte: int, offset: int, length: int) -> int:
    tasks.record(path, "once")
    return tasks.scribble(name, byte, offset, length)


@pytest.mark.timeout(30)
async def test_a_task_that_wipes_its_state_still_has_a_timeout(step):
    held = step()
    async with WorkerPool(workers=1) as pool:
        assert await pool.run(tasks.add, 1) == 2
        with pytest.raises(TimeoutError):
            await pool.run(wipe_and_hold, *held.pipes, timeout=1.0)
        assert await pool.run(tasks.add, 1) == 2


def wipe_and_hold(started: str, release: str) -> None:
    tasks.scribble(LINK, 0, STATES, PAGE)
    tasks.hold(started, release)


def test_arguments_of_others_are_out_of_reach():
    """The pool's arena is mapped without the right to write its content."""
    with WorkerPool(workers=1) as pool:
        error = pool.submit(write_to_pools_arena, tasks.np.ones(10_000)).exception(PATIENCE)
        assert isinstance(error, WorkerLost)
        assert error.signal == 11
        assert pool.submit(tasks.total, tasks.np.ones(10_000)).result(PATIENCE) == 10_000


def write_to_pools_arena(array) -> None:
    tasks.ctypes.memset(array.ctypes.data, 0, array.nbytes)


@pytest.mark.timeout(50)
@pytest.mark.parametrize("byte", [0x00, 0xFF, 0x5A])
def test_the_arena(byte: int):
    with WorkerPool(workers=2, max_bytes=32 << 20) as pool:
        array = tasks.np.ones(20_000)
        error = pool.submit(tasks.scribble, ARENA, byte, PAGE, 4096 * 64).exception(PATIENCE)
        assert error is None or isinstance(error, Lost)
        futures = [pool.submit(tasks.add, array) for _ in range(20)]
        outcomes = [future.exception(PATIENCE) for future in futures]
        assert all(error is None or isinstance(error, Lost) for error in outcomes)
        pool.kill_workers()
        for _ in range(20):
            error = pool.submit(tasks.add, array).exception(PATIENCE)
            if error is None:
                break
        for _ in range(20):
            assert pool.submit(tasks.total, array).result(PATIENCE) == 20_000
