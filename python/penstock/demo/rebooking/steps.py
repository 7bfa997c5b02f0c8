"""One case as a saga: hold seats, settle the fares, confirm; or take all of it back.

What is kept in the database is written by `transact`, together with the step's own end and with
the event that tells of the outcome: it happens once, whoever dies. What the refund desk does is
outside, and happens once because the desk is handed the step's idempotency key.
"""

from __future__ import annotations

from typing import Any

import anyio

from penstock.outbox import Outbox
from penstock.resilience import Retry
from penstock.saga import Abort, Saga, current

from . import inventory, rules
from .desk_client import DeskBusy, DeskClient, DeskError, DeskFailed, RefundDeclined
from .plan import Plan

__all__ = ("CONFIRMED", "REFUSED", "Steps")

CONFIRMED = "flight.rebooked"
REFUSED = "flight.refused"

# The desk is busy now and then, and may be away while it is started again: for some minutes.
_ASK_AGAIN = Retry(attempts=100, delay=0.02, max_delay=2.0)


class Steps:
    """The saga `rebook`, and what its steps need."""

    def __init__(self, seed: int, desk: DeskClient, outbox: Outbox[Any]) -> None:
        self._seed = seed
        self._desk = desk
        self._outbox = outbox
        self.trouble: DeskFailed | None = None
        """The desk's disk is full or broken: to be mended before anybody goes on."""
        self.in_trouble = anyio.Event()
        self.saga: Saga[Plan] = Saga("rebook", context=Plan)
        self.saga.add_step(
            "reserve", self._reserve, compensate=self._release, compensate_retry=_ASK_AGAIN
        )
        self.saga.add_step(
            "settle",
            self._settle,
            compensate=self._take_back,
            retry=_ASK_AGAIN,
            compensate_retry=_ASK_AGAIN,
        )
        self.saga.add_step("confirm", self._confirm)

    async def _reserve(self, plan: Plan) -> dict[str, Any]:
        reserved = await current().transact(inventory.reserve, plan)
        return {**reserved}

    async def _settle(self, plan: Plan) -> dict[str, int]:
        step = current()
        reserved = step.result("reserve")
        if reserved["held"] < plan.party:
            raise Abort("no seat")
        cents = plan.refund(reserved["legs"])
        if cents:
            try:
                await self._desk.refund(step.idempotency_key, plan.key, cents)
            except RefundDeclined:
                raise Abort("refund declined") from None
            except (DeskBusy, DeskFailed) as error:
                self._note(error)
                raise
            except DeskError as error:
                # So that it is taken back, should this be the last attempt.
                raise ConnectionError(str(error)) from error
        return {"refund": cents}

    async def _confirm(self, plan: Plan) -> None:
        if rules.is_gate_closed(self._seed, plan.key):
            raise Abort("gate closed")
        step = current()
        await step.transact(self._enter_confirmed, plan, step.result("settle")["refund"])

    # -- compensations, in the reverse order ---------------------------------------------------

    async def _take_back(self, plan: Plan) -> None:
        step = current()
        settled = step.result("settle", None)
        # If nobody knows whether it was paid, the desk does.
        cents = (
            plan.refund(step.result("reserve")["legs"]) if settled is None else settled["refund"]
        )
        if cents:
            try:
                await self._desk.reverse(step.idempotency_key, plan.key, cents)
            except DeskError as error:
                self._note(error)
                raise

    async def _release(self, plan: Plan) -> None:
        step = current()
        await step.transact(self._enter_refused, plan, step.failure or "unknown")

    def _note(self, error: DeskError) -> None:
        if isinstance(error, DeskFailed):
            self.trouble = error
            self.in_trouble.set()

    # -- inside of the store's transactions ----------------------------------------------------

    def _enter_confirmed(self, tx: Any, plan: Plan, refund: int) -> None:
        event = self._announce(tx, CONFIRMED, plan, "confirmed", refund)
        inventory.confirm(tx, plan.key, plan.party, refund, event)

    def _enter_refused(self, tx: Any, plan: Plan, reason: str) -> None:
        inventory.release(tx, plan.key)
        event = self._announce(tx, REFUSED, plan, "refused", 0)
        inventory.refuse(tx, plan.key, plan.party, reason, event)

    def _announce(self, tx: Any, topic: str, plan: Plan, outcome: str, refund: int) -> str:
        payload = {"case": plan.key, "outcome": outcome, "party": plan.party, "refund": refund}
        return self._outbox.add(tx, topic=topic, key=plan.key, payload=payload)
