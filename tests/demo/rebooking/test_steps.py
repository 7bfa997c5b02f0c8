"""The steps of a case: what they tell the refund desk."""

from __future__ import annotations

from penstock import Outbox, SagaStore
from penstock.demo.rebooking import inventory
from penstock.demo.rebooking.desk_client import DeskBusy
from penstock.demo.rebooking.plan import Plan
from penstock.demo.rebooking.steps import Steps

PLAN = Plan(
    key="2013-01-01-UA1-EWR",
    route="EWR-IAH",
    distance=1400,
    party=1,
    fare=20_000,
    candidates=[("2013-01-01-UA2-EWR", 100, 50, 5_000)],
)


class BusyDesk:
    """Has no time for the first two calls."""

    def __init__(self):
        self.keys = []

    async def refund(self, key, case, cents):
        self.keys.append(key)
        if len(self.keys) < 3:
            raise DeskBusy("the refund desk is busy")


async def test_every_attempt_asks_the_desk_under_one_key():
    desk, outbox = BusyDesk(), Outbox("rebookings")
    steps = Steps(2013, desk, outbox)
    async with SagaStore.open("memory://", sagas=[steps.saga]) as store:
        await store.transact(inventory.create_tables)
        await store.transact(outbox.create_tables)
        handle = await store.start(steps.saga, PLAN, key=PLAN.key)
        await handle.outcome()
    assert desk.keys == [f"rebook/{PLAN.key}/settle"] * 3
