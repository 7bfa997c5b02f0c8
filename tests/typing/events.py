"""Handlers are checked against the class they subscribe to; what is asked for has its type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_type

from penstock import EventBus, MessageQueue, Outbox, Policy, Retry
from penstock.events import Delivery, Emission, Outcome, Outcomes, Subscription


@dataclass
class UserEvent:
    user: int


@dataclass
class UserCreated(UserEvent):
    name: str


bus = EventBus("users", overflow="drop_oldest")
EventBus("users", overflow="drop")  # type: ignore[arg-type]


async def on_created(event: UserCreated) -> str:
    return event.name


async def on_base(event: UserEvent) -> None: ...


async def on_other(event: bytes) -> None: ...


def plain(event: UserCreated, name: str) -> None: ...


def nothing() -> None: ...


off = bus.on(UserCreated, on_created, priority=1, policy=Policy("p", Retry(attempts=2)))
assert_type(off, Subscription)
off()
bus.on(UserCreated, on_base)
bus.on(UserCreated, plain, timeout=1.0)
bus.on(UserCreated, nothing)
bus.on(UserCreated, on_other)  # type: ignore[arg-type]
bus.on(UserEvent, on_created)  # type: ignore[arg-type]
bus.on("user.created", on_other)
bus.on(3, on_other)  # type: ignore[call-overload]
assert_type(bus.once(UserCreated, on_created), Subscription)


@bus.on("user.*", serial=True)
async def decorated(data: dict[str, int]) -> int:
    return data["id"]


kept: Callable[[dict[str, int]], Any] = decorated


@bus.use
async def logged(delivery: Delivery, proceed: Callable[[], Any]) -> object:
    return await proceed()


async def emits(queue: MessageQueue[UserCreated], outbox: Outbox[UserCreated]) -> None:
    outcomes = await bus.emit("user.created", {"id": 1})
    assert_type(outcomes, Outcomes)
    assert_type(outcomes[0], Outcome)
    assert_type(outcomes[1:], list[Outcome])
    assert_type(outcomes.is_ok, bool)
    assert_type([each.seconds for each in outcomes], list[float])
    assert_type(bus.emit_nowait(UserCreated(1, "Ada")), Emission)
    assert_type(await bus.emit_nowait(UserCreated(1, "Ada")), Outcomes)
    assert_type(bus.sync.emit("x", 1), Outcomes)
    assert_type(await bus.expect(UserCreated, where=lambda event: event.name == "Ada"), UserCreated)
    await bus.expect(UserCreated, where=lambda event: event.nam)  # type: ignore[attr-defined]
    decorated_answer: int = await decorated({"id": 1})
    assert decorated_answer
    bus.bridge(UserCreated, to=queue)
    bus.bridge("user.*", to=outbox, key=lambda event: str(event.user))
    bus.bridge("user.*", to=bus)  # type: ignore[arg-type]
    queue.consumer(bus.receiver())
