"""A saga is of its context; steps stay what they are; transactions return what was returned."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_type

from penstock import Page, Retry, Saga, SagaStore, saga
from penstock.saga import (
    CurrentStep,
    Outcome,
    SagaHandle,
    SagaRecord,
    SagaState,
    SagaStep,
    SyncSagaHandle,
    SyncSagaStore,
    Transaction,
)


@dataclass
class Trip:
    passenger: str


@dataclass
class Seat:
    number: str


booking = Saga("book-trip", context=Trip)
assert_type(booking, Saga[Trip])
assert_type(Saga("plain"), Saga[Any])
assert_type(Saga[list[int]]("numbers", context=list[int]), Saga[list[int]])


async def release_seat(trip: Trip) -> None:
    step = saga.current()
    assert_type(step, CurrentStep)
    assert_type(step.idempotency_key, str)
    assert_type(step.fence, int)
    assert_type(step.is_fenced, bool)


async def refund(amount: int) -> None:
    pass


@booking.step(compensate=release_seat, retry=Retry(attempts=3), timeout=2.0)
async def reserve_seat(trip: Trip) -> Seat:
    step = saga.current()
    assert_type(await step.transact(take_seats, trip, 1), Seat)
    await step.transact(take_seats, trip)  # type: ignore[arg-type]
    await step.transact(take_seats, 1, trip)  # type: ignore[arg-type]
    await step.transact(no_transaction, trip)  # type: ignore[arg-type]
    return Seat("12A")


@booking.step(pivot=True)
def charge(trip: Trip) -> int:
    return 1


@booking.step(compensate=refund)  # type: ignore[arg-type]
async def send_ticket(trip: Trip) -> None:
    pass


booking.add_step("hotel", charge, compensate=release_seat)
booking.add_step("refund", refund)  # type: ignore[arg-type]


def take_seats(tx: Transaction, trip: Trip, count: int) -> Seat:
    assert_type(tx.in_transaction, bool)
    assert_type(tx.execute("SELECT 1", (trip.passenger,)), sqlite3.Cursor)
    tx.executemany("INSERT INTO seat VALUES (:n)", ({"n": n} for n in range(count)))
    tx.commit()  # type: ignore[attr-defined]
    return Seat("12A")


def no_transaction(trip: Trip) -> Seat:
    return Seat("12A")


async def the_steps_keep_their_signatures(trip: Trip) -> None:
    assert_type(await reserve_seat(trip), Seat)
    assert_type(charge(trip), int)
    await reserve_seat(1)  # type: ignore[arg-type]


async def use(store: SagaStore, trip: Trip) -> None:
    assert_type(await booking.run(trip), Outcome)
    await booking.run("trip")  # type: ignore[arg-type]
    async with store as opened:
        assert_type(opened, SagaStore)
    outcome = await store.run(booking, trip, key="trip-42")
    assert_type(outcome, Outcome)
    assert_type(outcome.state, SagaState)
    assert_type(outcome.results, Mapping[str, Any])
    assert_type(outcome.step, str | None)
    handle = await store.start(booking, trip)
    assert_type(handle, SagaHandle)
    assert_type(await handle.outcome(), Outcome)
    await store.start(booking, "trip")  # type: ignore[misc]
    assert_type(await store.transact(take_seats, trip, 2), Seat)
    await store.transact(take_seats, "trip", 2)  # type: ignore[arg-type]
    assert_type(await store.list(state="parked"), Page[SagaRecord])
    assert_type(await store.history("book-trip", "trip-42"), Sequence[SagaStep])
    assert_type(await store.resume("book-trip", "trip-42"), bool)


def block(store: SagaStore, trip: Trip) -> None:
    with store.sync as sync:
        assert_type(sync, SyncSagaStore)
        assert_type(sync.run(booking, trip), Outcome)
        assert_type(sync.start(booking, trip), SyncSagaHandle)
        assert_type(sync.start(booking, trip).outcome(), Outcome)
        assert_type(sync.transact(take_seats, trip, 2), Seat)
        sync.transact(take_seats, trip)  # type: ignore[arg-type]
