"""A shop under a real uvicorn: a saga store, a relay, a consumer and a pool as parts.

    python -m tests.asgi.shop FOLDER LOOP [PLAN]

An order is acknowledged when its saga has completed: it was priced by the pool, and written
together with the event that tells of it. The relay passes the event on, the consumer writes it into
`delivered`. Whatever is cut in the middle is said on standard error, which is otherwise silent.

Without a server: PLAN "busy" places orders by itself until SIGTERM, and writes those that were
acknowledged to standard output; "settle" runs until every event has been delivered, as the next
start of the program would. PLAN "broken" is served with a part that does not start.
"""

from __future__ import annotations

import itertools
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from fastapi import FastAPI

from penstock import (
    LoopMonitor,
    Message,
    MessageQueue,
    Outbox,
    Relay,
    Retry,
    Saga,
    SagaStore,
    Service,
    WorkerPool,
    run_in_worker,
    saga,
)
from penstock.asgi import Middleware, health_app, metrics_app
from penstock.errors import Closed
from penstock.service import State

TABLES = (
    "CREATE TABLE IF NOT EXISTS orders (number TEXT PRIMARY KEY, price INTEGER)",
    "CREATE TABLE IF NOT EXISTS delivered (number TEXT, times INTEGER)",
)


def price(number: str) -> int:
    """Takes a worker some milliseconds."""
    return sum(ord(letter) * n for n in range(20_000) for letter in number[-2:]) % 997


def told(what: str) -> Any:
    """Says so if its block is cancelled."""

    @asynccontextmanager
    async def block() -> Any:
        try:
            yield
        except anyio.get_cancelled_exc_class():
            sys.stderr.write(f"cut: {what}\n")
            raise

    return block()


@asynccontextmanager
async def shown(name: str) -> Any:
    sys.stdout.write(f"open {name}\n")
    yield
    sys.stdout.write(f"close {name}\n")


@asynccontextmanager
async def broken() -> Any:
    raise OSError("no such disk")
    yield


class Shop:
    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'shop.db'}"
        self.outbox: Outbox[dict[str, str]] = Outbox("orders")
        self.order = Saga("order", context=dict)
        self.order.add_step("price", self.find_price)
        self.order.add_step("enter", self.enter)
        self.queue: MessageQueue[dict[str, str]] = MessageQueue(
            "deliveries", self.url, retry=Retry(attempts=100, delay=0.01)
        )
        self.store = SagaStore.open(self.url, sagas=[self.order])
        relay = Relay(self.outbox, source=self.url, to=self.queue)
        consumer = self.queue.consumer(self.deliver, concurrency=4)
        self.service = Service("shop", drain=30.0)
        self.service.add(
            self.prepared(), self.store, relay, consumer, WorkerPool(workers=1), LoopMonitor(5.0)
        )

    @asynccontextmanager
    async def prepared(self) -> Any:
        async with SagaStore.open(self.url, sagas=[]) as store:
            await store.transact(self.create_tables)
        yield

    def create_tables(self, tx: Any) -> None:
        self.outbox.create_tables(tx)
        for table in TABLES:
            tx.execute(table)

    # -- what it does --------------------------------------------------------------------------

    async def find_price(self, order: dict[str, str]) -> int:
        async with told(f"the price of {order['number']}"):
            return await run_in_worker(price, order["number"])

    async def enter(self, order: dict[str, str]) -> None:
        step = saga.current()
        await step.transact(self.enter_order, order["number"], step.result("price"))

    def enter_order(self, tx: Any, number: str, cents: int) -> None:
        tx.execute("INSERT INTO orders VALUES (?, ?)", (number, cents))
        self.outbox.add(tx, topic="order.placed", key=number, payload={"number": number})

    async def deliver(self, message: Message[dict[str, str]]) -> None:
        async with told(f"the delivery of {message.data['number']}"):
            await anyio.sleep(0.005)  # a slow handler, so that some are under way at any time
            await self.store.transact(self.note_delivery, message.data["number"])

    def note_delivery(self, tx: Any, number: str) -> None:
        tx.execute("INSERT INTO delivered VALUES (?, 1)", (number,))

    # -- how it is served ----------------------------------------------------------------------

    def app(self) -> FastAPI:
        app = FastAPI(lifespan=self.service.lifespan)
        app.add_middleware(Middleware, service=self.service)
        app.mount("/health", health_app(self.service))
        app.mount("/metrics", metrics_app())

        @app.post("/orders/{number}")
        async def place(number: str) -> dict[str, str]:
            async with told(f"the request of {number}"):
                await self.store.run(self.order, {"number": number}, key=number)
            return {"placed": number}

        return app

    def unsettled(self, tx: Any) -> int:
        counts = (
            "SELECT count(*) FROM penstock_saga WHERE state <> 'completed'",
            "SELECT count(*) FROM orders WHERE number NOT IN (SELECT number FROM delivered)",
        )
        return sum(tx.execute(count).fetchone()[0] for count in counts)

    @asynccontextmanager
    async def settling(self) -> Any:
        async def settle() -> None:
            while await self.store.transact(self.unsettled):  # noqa: ASYNC110 - it is in a file
                await anyio.sleep(0.01)
            self.service.shutdown()

        async with anyio.create_task_group() as group:
            group.start_soon(settle)
            yield
            group.cancel_scope.cancel()

    @asynccontextmanager
    async def placing(self) -> Any:
        async def place(connection: int) -> None:
            for n in itertools.count():
                number = f"b-{connection}-{n}"
                try:
                    with self.service.work():
                        async with told(f"the work of {number}"):
                            await self.store.run(self.order, {"number": number}, key=number)
                        sys.stdout.write(f"{number}\n")
                        sys.stdout.flush()
                except Closed:
                    if self.service.state == State.DRAINING:
                        return
                    await anyio.sleep(0.001)  # it starts

        async with anyio.create_task_group() as group:
            for connection in range(6):
                group.start_soon(place, connection)
            yield


def main(folder: Path, loop: str, plan: str = "serve") -> None:
    shop = Shop(folder)
    if plan in {"settle", "busy"}:
        shop.service.add(shop.settling() if plan == "settle" else shop.placing())
        shop.service.run(loop)  # type: ignore[arg-type]
        return
    if plan == "broken":
        shop.service.add(shown("one"), shown("two"), broken(), shown("never"))
    # uvicorn raises the signal once more behind its own end: with this that is the end, and 0.
    signal.signal(signal.SIGTERM, lambda *_: None)
    config = uvicorn.Config(
        shop.app(),
        uds=str(folder / "socket"),
        loop=loop,
        log_level="warning",
        timeout_graceful_shutdown=30,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
