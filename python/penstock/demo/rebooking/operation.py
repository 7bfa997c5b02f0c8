"""The second half at work: one service of store, relay, consumer, pool and monitor.

Nothing here remembers anything that the database does not. Whoever opens the same file after a
`kill -9` goes on: the store takes over the sagas, the relay the outbox, the consumer the messages,
and the cases that were not begun are begun.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio

from penstock.demo.failures import DemoError
from penstock.errors import EngineError
from penstock.loop import LoopMonitor, LoopStatistics
from penstock.messages import DeadLetter, MessageQueue
from penstock.metrics import Distribution, Metrics
from penstock.outbox import Outbox, Relay
from penstock.resilience import Retry
from penstock.saga import SagaStore
from penstock.service import PartFailed, Service, ServiceHealth
from penstock.tracing import Trace
from penstock.workers import WorkerPool

from . import inventory
from .cases import Cases
from .desk_client import DeskClient
from .desk_process import Desk
from .notices import INBOX, Notices
from .observer import Observer
from .outcome import Moment
from .schedule import Schedule
from .steps import Steps

__all__ = ("Operated", "Order", "Terminated", "operate")

# Whoever takes over has to wait for as long; nobody here blocks the loop for a fraction of it.
_LEASE = 2.0
_AGAIN = Retry(attempts=4, delay=0.02, max_delay=0.2)
# A disk that is full stays full: tell so instead of waiting.
_PATIENCE = 1.0


class Terminated(Exception):
    """SIGTERM came; everything under way was drained, and the rest is in the database."""


# Others may fail because of one of these.
_TELLING = (EngineError, DemoError, Terminated)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be worked through, and with what."""

    database: Path
    ledger: Path
    seed: int
    workers: int
    source: Path
    digest: str
    """Of the source's content."""
    socket: Path | None
    """Of a refund desk that runs already; None starts one."""
    root: int | None
    """The process that all others of this run descend from, for its memory; None: this one."""


@dataclass(frozen=True, slots=True)
class Operated:
    """What only the process that did it knows; the rest is in the database."""

    seconds: float
    moments: tuple[Moment, ...]
    slowest: Trace | None
    loop: LoopStatistics
    health: ServiceHealth
    events: int
    dead: int
    redriven: int
    letters: tuple[DeadLetter, ...]
    end_to_end: Distribution


async def operate(order: Order, schedule: Schedule, show: Callable[[Moment], None]) -> Operated:
    """Rebook every cancelled flight of the schedule, pass on every notice, and drain.

    Raises `DemoError` for a database of another run, EngineError for one that cannot be used,
    Terminated after SIGTERM.
    """
    url = f"sqlite:///{quote(os.fsencode(order.database.absolute()))}"
    with _unwrapped():
        # Before anything recovers: this may be the file of another run.
        async with SagaStore.open(url, sagas=[]) as store:
            settled = await store.transact(_prepare, order, schedule.cancellations)
        async with AsyncExitStack() as stack:
            socket = order.socket
            if socket is None:
                desk = await stack.enter_async_context(Desk(order.ledger, order.seed))
                socket = desk.socket
            client = await stack.enter_async_context(DeskClient(socket))
            return await _operate(order, url, schedule, client, settled, show)
    raise AssertionError("nothing is swallowed")


async def _operate(
    order: Order,
    url: str,
    schedule: Schedule,
    client: DeskClient,
    settled: dict[str, str],
    show: Callable[[Moment], None],
) -> Operated:
    metrics = Metrics()
    end_to_end = metrics.histogram("end_to_end_seconds")
    outbox: Outbox[dict[str, Any]] = Outbox("rebookings")
    steps = Steps(order.seed, client, outbox)
    queue: MessageQueue[dict[str, Any]] = MessageQueue("notices", url, retry=_AGAIN, lease=_LEASE)
    store = SagaStore.open(url, sagas=[steps.saga], lease=_LEASE, patience=_PATIENCE)
    notices = Notices(order.seed, store, end_to_end)
    relay = Relay(outbox, source=url, to=queue, lease=_LEASE)
    pool = WorkerPool(order.workers, preload=("penstock.demo.rebooking.plan",), name="plans")
    monitor = LoopMonitor()
    service = Service("rebooking", drain=20.0)
    service.add(store, relay, queue.consumer(notices.handle, concurrency=32), pool, monitor)

    cases = Cases(schedule, steps.saga, store, pool, order.seed, frozenset(settled), notices.begun)
    confirmed = sum(outcome == "confirmed" for outcome in settled.values())
    counted = confirmed, len(settled) - confirmed
    observer = Observer(schedule.cancellations, counted, cases, relay, queue, show, order.root)
    async with service:
        health = service.health()
        async with anyio.create_task_group() as tasks:
            await tasks.start(_listen_for_sigterm)
            tasks.start_soon(observer.run)
            tasks.start_soon(_watch, steps, order.ledger)
            await cases.work()
            await observer.until_delivered()
            letters = [letter async for letter in queue.iter_dead_letters()]
            # Whatever kept the notices from going out is mended now.
            notices.repaired = True
            redriven = await queue.redrive([letter.id for letter in letters])
            await observer.until_delivered()
            tasks.cancel_scope.cancel()
        await observer.look()
        events = (await relay.statistics()).published
    return Operated(
        seconds=observer.seconds,
        moments=tuple(observer.moments),
        slowest=observer.slowest,
        loop=monitor.statistics(),
        health=health,
        events=events,
        dead=len(letters),
        redriven=redriven,
        letters=tuple(letters[:20]),
        end_to_end=end_to_end.snapshot(),
    )


def _prepare(tx: Any, order: Order, cancelled: int) -> dict[str, str]:
    """Make the tables, check whose run this is, and say which cases have ended."""
    inventory.create_tables(tx)
    Outbox("rebookings").create_tables(tx)
    INBOX.create_tables(tx)
    inventory.claim_run(tx, order.seed, str(order.source), order.digest, cancelled)
    return dict(tx.execute("SELECT case_key, outcome FROM rebooking").fetchall())


async def _watch(steps: Steps, ledger: Path) -> None:
    """End the service while the refund desk cannot write: no retry makes room on a disk."""
    await steps.in_trouble.wait()
    raise DemoError(str(ledger), str(steps.trouble), "make room, and run it again: it goes on")


async def _listen_for_sigterm(
    *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                raise Terminated
    finally:
        # On asyncio the receiver leaves the default behind, whatever was there before.
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Let the one thing that went wrong out of the groups and parts around it."""
    try:
        yield
    except Exception as error:
        reasons = list(_reasons(error))
        reason = next((each for each in reasons if isinstance(each, _TELLING)), reasons[0])
        if reason is error:
            raise
        raise reason from None


def _reasons(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _reasons(each)
    elif isinstance(error, PartFailed) and error.__cause__ is not None:
        yield from _reasons(error.__cause__)
        if error.__context__ is not None:
            # What came of it, for whoever waited.
            yield from _reasons(error.__context__)
    else:
        yield error
