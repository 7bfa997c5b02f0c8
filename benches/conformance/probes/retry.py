"""Of retries."""

from __future__ import annotations

import asyncio

from ..adapter import Adapter, Wrap
from ..probe import Seen, fails, outcome, passes, probe, shown, start, turns, until


async def _cancelled(retrying: Wrap) -> Seen:
    calls = 0

    async def work() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        return "answer"

    task = start(retrying(work))
    await until(lambda: calls)
    await turns(5)
    task.cancel()
    result = await outcome(task)
    if calls > 1:
        return fails(f"tries again: {shown(result)}")
    return passes() if result == "cancelled" else fails(shown(result))


@probe("retry")
async def a_cancelled_attempt_is_the_last(adapter: Adapter) -> Seen:
    """Cancelling the caller ends the call, with the filter of the defaults."""
    return await _cancelled(adapter.retry(3, 0.0))


@probe("retry")
async def whatever_the_filter_takes(adapter: Adapter) -> Seen:
    """Cancelling ends the call even where the filter takes all, or such a filter is refused."""
    try:
        retrying = adapter.retry(3, 0.0, widest=True)
    except (TypeError, ValueError):
        return passes("refused")
    return await _cancelled(retrying)


@probe("retry")
def interruptions_are_not_tried_again(adapter: Adapter) -> Seen:
    """Ctrl-C, exit and a closing generator end a blocking call, or such a filter is refused."""
    for kind in (KeyboardInterrupt, SystemExit, GeneratorExit):
        calls = 0

        def work() -> str:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise kind  # noqa: B023
            return "answer"

        try:
            call = adapter.retry(3, 0.0, widest=True, blocking=True)(work)
        except (TypeError, ValueError):
            return passes("refused")
        try:
            result: object = call()
        except BaseException as error:
            result = error
        if calls > 1:
            return fails(f"tries {kind.__name__} again")
        if not isinstance(result, kind):
            return fails(f"{kind.__name__} becomes {shown(result)}")
    return passes()


@probe("retry")
async def a_pause_ends_at_once(adapter: Adapter) -> Seen:
    """Cancelling during the pause between two attempts ends the call then and there."""
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError

    task = start(adapter.retry(3, 30.0)(work))
    await until(lambda: calls)
    await asyncio.sleep(0.05)
    if task.done():
        return fails("no pause")
    task.cancel()
    result = await outcome(task)
    if calls > 1:
        return fails("tries again")
    return passes() if result == "cancelled" else fails(shown(result))


@probe("retry")
async def no_pause_beyond_the_total_time(adapter: Adapter) -> Seen:
    """With two seconds in all, it gives up rather than begin a pause of ten."""
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError

    task = start(adapter.retry(9, 10.0, total=2.0)(work))
    await until(lambda: calls)
    done, _ = await asyncio.wait({task}, timeout=1.0)
    if done:
        await outcome(task)
        return passes()
    result = await outcome(task, 2.5)
    return fails("pauses on" if result == "hangs" else "pauses, and is cut off")
