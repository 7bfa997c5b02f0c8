"""Several calls at once: results in order, the first error as it is, an answer for each branch."""

from __future__ import annotations

import anyio
import pytest

from penstock.client import or_else, parallel
from penstock.errors import Misuse
from penstock.resilience import AttemptTimeout
from tests.resilience.calls import Call, Work, everywhere, turn_until


async def give(value):
    await anyio.lowlevel.checkpoint()
    return value


async def fail(error):
    await anyio.lowlevel.checkpoint()
    raise error


async def fail_at_once(error):
    raise error


async def test_results_come_in_order():
    assert await parallel(give(1), give("b"), or_else(fail(OSError()), [])) == (1, "b", [])
    assert await parallel() == ()


async def test_they_run_at_once():
    one, other = anyio.Event(), anyio.Event()

    async def meet(mine, theirs):
        mine.set()
        await theirs.wait()

    await parallel(meet(one, other), meet(other, one))


async def test_the_first_error_ends_the_others_and_is_raised_as_it_is():
    work = Work()
    error = OSError("first")
    with pytest.raises(OSError, match="first") as caught:
        await parallel(work(), fail(error))
    assert caught.value is error
    assert (work.cancelled, work.running) == (1, 0)
    errors = [OSError("first"), KeyError("second")]
    with pytest.raises((OSError, KeyError)) as caught:
        await parallel(*map(fail_at_once, errors))
    errors.remove(caught.value)  # trio begins tasks in any order
    assert caught.value.__notes__ == [f"parallel: failed as well: {errors[0]!r}"]


async def test_an_answer_for_a_branch():
    assert await or_else(fail(OSError("x")), str) == "x"
    with pytest.raises(KeyError):
        await or_else(fail(KeyError()), None, on=OSError)
    with pytest.raises(Misuse, match="on=7 names no exceptions"):
        await or_else(give(1), None, on=7)
    with pytest.raises(Misuse, match="within=0"):
        await or_else(give(1), None, within=0)
    with pytest.raises(Misuse, match="cannot be awaited"):
        await parallel(give(1), 7)


async def test_what_takes_too_long_is_answered():
    work = Work()
    errors = []
    assert await or_else(work(), errors.append, within=0.02) is None
    assert isinstance(errors[0], AttemptTimeout)
    assert work.cancelled == 1


@everywhere
async def test_a_cancellation_ends_all(anyio_backend, how):
    work = Work()
    async with anyio.create_task_group() as group:
        call = Call(how, lambda: parallel(work(), or_else(work(), None))).start(group)
        await turn_until(lambda: work.running == 2)
        call.cancel()
        assert await call.ended() == "cancelled"
    assert work.cancelled == 2
