"""Blocks are told once, with what blocks, on every loop; an idle loop is left alone.

A loop is blocked by waiting for the monitor to say so: no test depends on how long that takes. A
machine that is busy may add blocks of its own, which no test counts.
"""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from penstock import LoopMonitor, Service
from penstock.errors import Misuse
from penstock.loop import LoopBlock


class Teller:
    """An `on_block` that lets the loop it blocks go on, and keeps what it was told of that."""

    def __init__(self) -> None:
        self.blocks: list[LoopBlock] = []
        self.told = threading.Event()

    def __call__(self, block: LoopBlock) -> None:
        if any(frame.name == "block_until_told" for frame in block.stack or ()):
            self.blocks.append(block)
            self.told.set()

    def block_until_told(self) -> None:
        assert self.told.wait(30), "the block was not told"
        self.told.clear()


async def until(claim: Callable[[], bool]) -> None:
    while not claim():
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def kind(anyio_backend: tuple[str, dict[str, object]]) -> str:
    name, options = anyio_backend
    return "uvloop" if options else name


async def test_a_block_is_told_while_it_lasts_with_its_stack(kind: str):
    teller = Teller()
    async with LoopMonitor(0.02, on_block=teller) as monitor:
        await anyio.lowlevel.checkpoint()
        teller.block_until_told()
        (block,) = teller.blocks
        assert not block.is_over
        await until(lambda: block.is_over)
        statistics = monitor.statistics()
    assert block.stack is not None
    names = [frame.name for frame in block.stack]
    assert "block_until_told" in names
    assert names.index("test_a_block_is_told_while_it_lasts_with_its_stack") < names.index(
        "block_until_told"
    )
    assert "assert self.told.wait(30)" in str(block)
    assert block.seconds >= 0.015
    assert statistics.loop == kind
    assert statistics.blocks >= 1
    assert block.seconds <= statistics.longest <= statistics.blocked_seconds
    assert statistics.delay.max >= 0.015
    assert block in monitor.blocks


async def test_every_block_is_told_once():
    teller = Teller()
    async with LoopMonitor(0.02, on_block=teller) as monitor:
        for n in range(5):
            await anyio.lowlevel.checkpoint()
            teller.block_until_told()
            await until(lambda: teller.blocks[-1].is_over)
            assert len(teller.blocks) == n + 1
    assert len(monitor.blocks) == monitor.statistics().blocks >= 5


async def test_a_block_that_holds_the_interpreter_is_told_as_well():
    teller = Teller()
    async with LoopMonitor(0.02, on_block=teller) as monitor:
        await anyio.lowlevel.checkpoint()
        begun = time.monotonic()
        sum(range(20_000_000))  # one native call
        took = time.monotonic() - begun
        await until(lambda: monitor.statistics().longest > 0.8 * took)
    block = max(monitor.blocks, key=lambda block: block.seconds)
    assert block.is_over
    assert teller.blocks == []


async def test_a_loop_that_keeps_turning_is_not_blocked(kind: str):
    teller = Teller()
    async with LoopMonitor(1000, on_block=teller) as monitor:
        for _ in range(500):
            await anyio.lowlevel.checkpoint()
        statistics = monitor.statistics()
    assert teller.blocks == []
    assert (statistics.blocks, statistics.longest) == (0, 0.0)
    if kind == "uvloop":
        assert statistics.utilisation is None
    else:
        assert statistics.delay.count >= 400
        assert 0 < statistics.utilisation <= 1


async def test_the_task_is_named_where_the_loop_knows_it(kind: str):
    teller = Teller()

    async def named() -> None:
        if kind != "trio":
            asyncio.current_task().set_name("the culprit")
        await anyio.lowlevel.checkpoint()
        teller.block_until_told()

    async with LoopMonitor(0.02, on_block=teller), anyio.create_task_group() as group:
        group.start_soon(named)
    assert teller.blocks[0].task == (None if kind == "trio" else "the culprit")
    assert ("'the culprit'" in str(teller.blocks[0])) == (kind != "trio")


async def test_a_teller_that_fails_is_logged_and_the_watch_goes_on(
    caplog: pytest.LogCaptureFixture,
):
    teller = Teller()
    calls = 0

    def failing(block: LoopBlock) -> None:
        nonlocal calls
        calls += 1
        teller(block)
        raise RuntimeError("my mistake")

    async with LoopMonitor(0.02, on_block=failing):
        for n in range(2):
            await anyio.lowlevel.checkpoint()
            teller.block_until_told()
            await until(lambda n=n: len(teller.blocks) == n + 1 and teller.blocks[n].is_over)
    assert [record.exc_info[0] for record in caplog.records] == [RuntimeError] * calls


async def test_by_default_it_warns(caplog: pytest.LogCaptureFixture):
    told = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda _record: told.set()
    logger = logging.getLogger("penstock.loop")
    logger.addHandler(handler)
    try:
        async with LoopMonitor(0.02):
            await anyio.lowlevel.checkpoint()
            assert told.wait(30)
    finally:
        logger.removeHandler(handler)
    record = caplog.records[0]
    assert (record.levelname, record.name) == ("WARNING", "penstock.loop")
    assert re.match(r"event loop blocked for \d+\.\d", record.getMessage())


def monitors() -> int:
    return sum(thread.name == "penstock-loop-monitor" for thread in threading.enumerate())


async def test_nothing_is_left_behind(kind: str):
    before = monitors()
    loop = None if kind == "trio" else asyncio.get_running_loop()
    selector = getattr(loop, "_selector", None)
    async with LoopMonitor() as outer, LoopMonitor():
        assert monitors() == before + 2
        await anyio.lowlevel.checkpoint()
    assert monitors() == before
    assert getattr(loop, "_selector", None) is selector
    seen = outer.statistics().delay.count
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    assert outer.statistics().delay.count == seen


async def test_it_ends_with_a_cancelled_block():
    before = monitors()
    with anyio.CancelScope() as scope:
        async with LoopMonitor():
            scope.cancel()
            await anyio.sleep_forever()
    assert monitors() == before


async def test_it_is_a_part_of_a_service():
    teller = Teller()
    monitor = LoopMonitor(0.02, on_block=teller)
    service = Service("orders")
    service.add(monitor)
    async with service:
        assert service.health().parts[0].name == "loop monitor"
        await anyio.lowlevel.checkpoint()
        teller.block_until_told()
    assert monitor.statistics().blocks >= 1


async def test_what_cannot_work_is_refused():
    for threshold in (0, -1, float("nan"), float("inf"), "x", True):
        with pytest.raises(Misuse, match="threshold="):
            LoopMonitor(threshold)
    with pytest.raises(Misuse, match="on_block="):
        LoopMonitor(on_block=7)
    for keep in (0, -1, 1.5, True):
        with pytest.raises(Misuse, match="keep="):
            LoopMonitor(keep=keep)
    monitor = LoopMonitor()
    async with monitor:
        pass
    with pytest.raises(Misuse, match="once"):
        async with monitor:
            pass


def test_without_a_loop_it_is_refused():
    with pytest.raises(Misuse, match="no event loop"):
        LoopMonitor().__aenter__().send(None)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_idle_loop_sleeps_and_so_does_its_monitor(backend: str):
    program = f"""
        import anyio, resource
        from penstock import LoopMonitor

        def switches():
            return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw

        async def main():
            async with LoopMonitor(0.01):
                await anyio.sleep(0.1)
                before = switches()
                await anyio.sleep(1)
                print(switches() - before)

        anyio.run(main, backend={backend!r})
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    # A heartbeat at the threshold would make a hundred.
    assert int(out) <= 12


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_interpreter_ends_beside_a_watched_loop_in_a_daemon_thread(backend):
    program = f"""
        import threading
        import anyio
        from penstock import LoopMonitor

        begun = threading.Event()

        async def main():
            async with LoopMonitor(0.01):
                begun.set()
                while True:
                    await anyio.sleep(1e-4)

        threading.Thread(
            target=anyio.run, args=(main,), kwargs=dict(backend={backend!r}), daemon=True
        ).start()
        begun.wait()
    """
    for _ in range(5):
        subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=30)
