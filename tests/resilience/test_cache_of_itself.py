"""What is cached and calls itself with the same arguments is told so, and waits no longer."""

from __future__ import annotations

import anyio
import pytest

from penstock import Cache, Policy
from penstock.errors import Misuse

refused = pytest.raises(Misuse, match="a load waits for its own result")


def test_in_a_thread():
    @Policy("itself", Cache(60.0))
    def fetch(key):
        return fetch(key)

    with refused:
        fetch("a")


async def test_on_a_loop(anyio_backend):
    @Policy("itself", Cache(60.0))
    async def fetch(key):
        return await fetch(key)

    with refused:
        await fetch("a")
    # Nothing of it is left in the way of the next.
    with refused:
        await fetch("a")


async def test_by_way_of_another(anyio_backend):
    policy = Policy("itself", Cache(60.0))

    @policy
    async def hen(number):
        return await egg(number)

    @policy
    async def egg(number):
        return await hen(number)

    with refused:
        await hen(1)


async def test_from_a_task_of_the_load(anyio_backend):
    errors = []

    @Policy("itself", Cache(60.0))
    async def fetch(key):
        async def again():
            try:
                await fetch(key)
            except Misuse as error:
                errors.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(again)
        return "answer"

    assert await fetch("a") == "answer"
    assert len(errors) == 1


async def test_other_arguments_and_what_comes_later_are_no_fault(anyio_backend):
    policy = Policy("itself", Cache(60.0))
    calls, over = [], anyio.Event()

    async with anyio.create_task_group() as group:

        @policy
        async def factorial(number):
            calls.append(number)
            if number == 3:
                group.start_soon(later)
            return number * await factorial(number - 1) if number else 1

        async def later():
            # Begun by the load, which is over when it asks.
            await over.wait()
            calls.append(await factorial(3))
            more.append(await other(3))

        more = []

        @Policy("other", Cache(60.0))
        async def other(number):
            return number

        assert await factorial(3) == 6
        over.set()
    assert calls == [3, 2, 1, 0, 6]
    assert more == [3]
