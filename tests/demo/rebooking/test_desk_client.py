"""The client: answers go to whoever asked, across cancellations, crashes and restarts."""

import json
import os
import random
import signal
from collections import Counter

import anyio
import pytest

from penstock.demo.rebooking.desk_client import DeskClient, DeskError, RefundDeclined
from penstock.demo.rebooking.desk_process import Desk
from penstock.demo.rebooking.rules import is_declined
from penstock.testing import capture

SEED = 2013
CASES = [f"case {n}" for n in range(500)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "refunds.jsonl"


def effects(path):
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [line for line in lines if not line["repeat"]]


async def ask(client, case, cents=100):
    """What comes of one refund; the client asks as often as it takes."""
    try:
        await client.refund(f"key of {case}", case, cents)
    except RefundDeclined:
        return ["declined"]
    return ["paid"]


def expected(case):
    return ["declined" if is_declined(SEED, case) else "paid"]


async def test_many_at_a_time(path):
    results = {}

    async def one(case):
        results[case] = await ask(client, case)

    async with Desk(path, SEED) as desk, DeskClient(desk.socket) as client:
        async with anyio.create_task_group() as tasks:
            for case in CASES:
                tasks.start_soon(one, case)
        case = next(case for case in CASES if expected(case) == ["paid"])
        await client.reverse("another key", case, 100)
    assert results == {case: expected(case) for case in CASES}
    assert Counter(line["kind"] for line in effects(path)) == {
        "refund": sum("paid" in said for said in results.values()),
        "reversal": 1,
    }


async def test_errors_name_what_is_wrong(path):
    async with Desk(path, SEED) as desk, DeskClient(desk.socket) as client:
        with pytest.raises(DeskError, match="is no entry"):
            await client.refund("key", CASES[0], 0)
        await client.refund("key", CASES[0], 1)
        with pytest.raises(DeskError, match="key was used for another request"):
            await client.refund("key", CASES[0], 2)


async def test_a_cancelled_call_mixes_no_answers_up(path):
    """Every answer is tied to its case: a wrong one would say paid for declined, or the reverse."""
    lot = random.Random(1)
    declined = [case for case in CASES if expected(case) == ["declined"]]
    paid = [case for case in CASES if expected(case) == ["paid"]]

    async def one(case):
        with anyio.CancelScope() as scope:
            if lot.random() < 0.5:
                tasks.start_soon(cancel_soon, scope)
            assert await ask(client, case) == expected(case)

    async def cancel_soon(scope):
        for _ in range(lot.randrange(4)):
            await anyio.lowlevel.checkpoint()
        scope.cancel()

    async with Desk(path, SEED) as desk, DeskClient(desk.socket) as client:
        for _ in range(20):
            async with anyio.create_task_group() as tasks:
                for case in (*lot.sample(paid, len(declined)), *declined):
                    tasks.start_soon(one, case)
        assert await ask(client, declined[0]) == ["declined"]
        assert await ask(client, paid[0]) == ["paid"]


@pytest.mark.timeout(180)
async def test_a_desk_that_is_killed_over_and_over_pays_each_once(path):
    results = {}

    async def one(case):
        results[case] = (await ask(client, case))[-1]

    async def kill(times):
        for _ in range(times):
            had = len(results)
            while len(results) < had + 60:
                await anyio.lowlevel.checkpoint()
            os.kill(desk.pid, signal.SIGKILL)
            await anyio.to_thread.run_sync(desk.start)

    async with Desk(path, SEED) as desk, DeskClient(desk.socket, patience=120) as client:
        limit = anyio.CapacityLimiter(8)

        async def in_turn(case):
            async with limit:
                await one(case)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill, 5)
            for case in CASES:
                tasks.start_soon(in_turn, case)
    assert results == {case: expected(case)[-1] for case in CASES}
    paid = [case for case, said in results.items() if said == "paid"]
    assert Counter(line["case"] for line in effects(path)) == Counter(paid)


async def test_without_a_desk_patience_ends(path, tmp_path):
    async with DeskClient(tmp_path / "nowhere", patience=0.05) as client:
        for _ in range(2):
            with pytest.raises(DeskError, match="does not answer"):
                await client.refund("key", CASES[0], 1)


async def test_a_desk_that_hangs_up_without_a_word_is_left_alone(tmp_path_factory):
    """Neither asked in a tight loop nor for ever."""
    place = tmp_path_factory.mktemp("d") / "s"
    calls = 0

    async def hang_up(stream):
        nonlocal calls
        calls += 1
        await stream.aclose()

    listener = await anyio.create_unix_listener(place)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, hang_up)
        async with DeskClient(place, patience=1) as client:
            with pytest.raises(DeskError, match="does not answer"):
                await client.refund("key", CASES[0], 1)
        tasks.cancel_scope.cancel()
    assert 2 <= calls < 20


async def test_leaving_ends_those_who_still_wait(tmp_path):
    said = []

    async def wait():
        with pytest.raises(DeskError, match="does not answer"):
            await client.refund("key", CASES[0], 1)
        said.append("ended")

    async with anyio.create_task_group() as tasks, DeskClient(tmp_path / "nowhere") as client:
        with capture("refund-desk") as events:
            tasks.start_soon(wait)
            while not events:  # it has tried, and pauses
                await anyio.lowlevel.checkpoint()
    assert said == ["ended"]
