"""What a killed worker had goes to another one, up to a point."""

import os
import signal

import pytest

from penstock.demo.lost_workers import run_again
from penstock.errors import Lost
from penstock.workers import WorkerPool


def die_for(times, folder):
    """Die by SIGKILL the first `times` times; the attempt's number afterwards."""
    attempt = len(list(folder.iterdir())) + 1
    (folder / str(attempt)).touch()
    if attempt <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return attempt


def fail(folder):
    (folder / "once").touch(exist_ok=False)
    raise ValueError("of its own")


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_another_worker_has_it(tmp_path, times):
    async with WorkerPool(workers=1) as pool:
        assert await run_again(pool, die_for, times, tmp_path) == times + 1


async def test_what_kills_every_worker_is_given_up(tmp_path):
    async with WorkerPool(workers=1) as pool:
        with pytest.raises(Lost):
            await run_again(pool, die_for, 9, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


async def test_what_fails_is_not_run_again(tmp_path):
    async with WorkerPool(workers=1) as pool:
        with pytest.raises(ValueError, match="of its own"):
            await run_again(pool, fail, tmp_path)
