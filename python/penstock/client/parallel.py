"""Several calls at once, each with an answer for when it fails."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

import anyio

from penstock.errors import Misuse
from penstock.resilience import AttemptTimeout
from penstock.resilience.strategy import check_number
from penstock.resilience.which import Which, check_which, takes

__all__ = ("or_else", "parallel")

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


@overload
async def parallel(a: Awaitable[A], b: Awaitable[B], /) -> tuple[A, B]: ...
@overload
async def parallel(a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /) -> tuple[A, B, C]: ...
@overload
async def parallel(
    a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], /
) -> tuple[A, B, C, D]: ...
@overload
async def parallel(*branches: Awaitable[A]) -> tuple[A, ...]: ...
async def parallel(*branches: Awaitable[Any]) -> tuple[Any, ...]:
    """Runs the branches at once, and returns their results in order.

    `user, orders = await parallel(users.get("/users/1"), or_else(orders.get("/orders"), []))`.
    When one fails the others are cancelled and awaited, and its error is raised as it is; errors
    of others that failed in the same moment are notes of it. A cancellation ends all. asyncio,
    uvloop and trio.
    """
    strangers: list[object] = [each for each in branches if not inspect.isawaitable(each)]
    if strangers:
        _close(branches)
        raise Misuse(
            f"parallel: {strangers[0]!r} cannot be awaited", hint="pass calls, not functions"
        )
    results: list[Any] = [None] * len(branches)
    failed: list[Exception] = []
    begun = 0

    async def run(number: int) -> None:
        nonlocal begun
        begun += 1
        try:
            results[number] = await branches[number]
        except Exception as error:  # noqa: BLE001 - raised below, without a group around it
            failed.append(error)
            group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            for number in range(len(branches)):
                group.start_soon(run, number)
    finally:
        if begun < len(branches):
            _close(branches)
    if failed:
        first, *others = failed
        for other in others:
            first.add_note(f"parallel: failed as well: {other!r}")
        try:
            raise first
        finally:
            del first, others, failed
    return tuple(results)


async def or_else(
    branch: Awaitable[A],
    answer: B | Callable[[Exception], B],
    /,
    *,
    on: Which = Exception,
    within: float | None = None,
) -> A | B:
    """The result of `branch`, and `answer` if it fails, or takes longer than `within` seconds.

    `answer` is the value itself, or a function that is given the error. Refusals of a policy and
    deadlines count as failures, a cancellation never does. Raises what `on` does not name.
    """
    try:
        check_which("or_else", "on", on)
        if within is not None:
            check_number("or_else", "within", within, above=True)
    except Misuse:
        _close((branch,))
        raise
    try:
        if within is None:
            return await branch
        with anyio.move_on_after(within) as scope:
            return await branch
        assert scope.cancelled_caught
        raise AttemptTimeout(f"or_else: the branch took more than {within:g} s")
    except Exception as error:
        if isinstance(error, Misuse) or not (on is Exception or takes(on, error)):
            raise
        if callable(answer):
            made: B = answer(error)
            return made
        return answer


def _close(branches: tuple[Awaitable[Any], ...]) -> None:
    # A coroutine that was never begun would complain.
    for each in branches:
        if inspect.iscoroutine(each) and inspect.getcoroutinestate(each) == inspect.CORO_CREATED:
            each.close()
