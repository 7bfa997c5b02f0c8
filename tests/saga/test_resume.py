"""Parked sagas: seen, resumed where they stand, under the definition there is then."""

from __future__ import annotations

import anyio
import pytest

from penstock import Retry, Saga, SagaStore, saga
from penstock.saga import Abort, SagaParked

ONCE = Retry(attempts=1)


class Switch:
    """A saga a → b → c whose steps fail while they are told to."""

    def __init__(self, pivot=None, **more):
        self.broken = set()
        self.ran = []
        self.saga = Saga("book")
        for name in "abc":
            self.saga.add_step(
                name,
                self.act(name),
                compensate=self.act(f"undo {name}"),
                compensate_retry=ONCE,
                pivot=name == pivot,
                **more,
            )

    def act(self, name):
        async def act(context):
            self.ran.append(name)
            if name in self.broken:
                raise OSError(f"{name} is broken")
            return name

        return act


async def parked(store, switch, *broken):
    switch.broken = set(broken)
    handle = await store.start(switch.saga, {}, key="k")
    outcome = await handle.outcome()
    assert outcome.state == "parked"
    switch.broken.clear()
    switch.ran.clear()
    return handle, outcome


async def test_forward_behind_the_pivot(url):
    switch = Switch(pivot="b")
    async with SagaStore.open(url, sagas=[switch.saga]) as store:
        handle, outcome = await parked(store, switch, "c")
        assert outcome.step == "c"
        assert outcome.error == "step 'c' failed behind the pivot: OSError: c is broken"
        with pytest.raises(SagaParked, match="is parked: step 'c' failed behind"):
            await store.run(switch.saga, {}, key="k")
        assert await store.resume("book", "k", by="Ada")
        outcome = await handle.outcome()
        assert (outcome.state, outcome.step, outcome.error) == ("completed", None, None)
        found = await store.get("book", "k")
        assert (found.state, found.step, found.error) == ("completed", None, None)
        assert switch.ran == ["c"]
        note = [each for each in await store.history("book", "k") if each.phase == "note"]
        assert [(each.step, each.state) for each in note] == [("Ada", "resumed")]
        assert not await store.resume("book", "k"), "it is not parked"
        assert not await store.resume("book", "nothing"), "nor is what is not there"


async def test_back_when_a_compensation_failed(url):
    switch = Switch()
    async with SagaStore.open(url, sagas=[switch.saga]) as store:
        handle, outcome = await parked(store, switch, "c", "undo b")
        assert outcome.step == "b"
        assert "compensating 'b' failed: OSError: undo b is broken (after 'c': OS" in outcome.error
        assert await store.resume("book", "k")
        outcome = await handle.outcome()
        assert outcome.state == "compensated"
        assert switch.ran == ["undo b", "undo a"]
        assert (outcome.step, outcome.error) == ("c", "OSError: c is broken"), "not b, which works"
        found = await store.get("book", "k")
        assert (found.step, found.error) == ("c", "OSError: c is broken")


async def test_attempts_are_counted_anew(url):
    switch = Switch(pivot="a", retry=Retry(attempts=2, delay=0))
    async with SagaStore.open(url, sagas=[switch.saga]) as store:
        handle, _ = await parked(store, switch, "b")
        switch.broken = {"b"}
        assert await store.resume("book", "k")
        assert (await handle.outcome()).state == "parked", "again"
        assert switch.ran == ["b", "b"]
        history = await store.history("book", "k")
        assert [(each.step, each.attempt) for each in history if each.step == "b"] == [
            ("b", 1), ("b", 2), ("b", 1), ("b", 2),
        ]  # fmt: skip
        assert [each.fence for each in history] == sorted(each.fence for each in history)


async def test_two_at_once_resume_it_once(url):
    switch = Switch(pivot="a")
    said = []
    async with SagaStore.open(url, sagas=[switch.saga]) as store:
        handle, _ = await parked(store, switch, "b")

        async def resume():
            said.append(await store.resume("book", "k"))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(resume)
        assert sorted(said) == [False] * 4 + [True]
        assert (await handle.outcome()).state == "completed"
        assert switch.ran == ["b", "c"]


async def test_waiting_for_a_saga_that_is_still_parked_returns_at_once(url):
    switch = Switch(pivot="a")
    async with SagaStore.open(url, sagas=[switch.saga]) as store:
        handle, first = await parked(store, switch, "b")
        for _ in range(3):
            again = await handle.outcome()
            assert (again.state, again.step, again.error) == (first.state, first.step, first.error)


def defined(*steps, name="book", compensate=True):
    made = Saga(name)
    ran = []

    def act(what):
        async def act(context):
            ran.append(what)
            if context == what:
                raise Abort(f"{what}, as told")
            return what

        return act

    for step in steps:
        undo = act(f"undo {step}") if compensate else None
        made.add_step(step, act(step), compensate=undo, compensate_retry=ONCE)
    return made, ran


async def interrupted(file, made, context):
    """Leaves saga k of `made` behind, given back before its second step."""
    begun = anyio.Event()

    async def waits(_context):
        begun.set()
        await anyio.sleep_forever()

    made.steps[1].do = waits
    with anyio.CancelScope() as scope:
        async with SagaStore.open(file, sagas=[made]) as store:
            await store.start(made, context, key="k")
            await begun.wait()
            scope.cancel()


async def test_a_changed_definition_is_parked(file):
    old, _ = defined("a", "b")
    await interrupted(file, old, "")
    new, ran = defined("a", "b", "c")
    async with SagaStore.open(file, sagas=[new]) as store:
        await store.recover()
        found = await store.get("book", "k")
        assert (found.state, found.step) == ("parked", None)
        assert found.error == "its definition was changed since it was started"
        assert ran == []
        # It goes on under the new one: what was done is its beginning.
        assert await store.resume("book", "k")
        outcome = await store.run(new, "", key="k")
        assert outcome.results == {"a": "a", "b": "b", "c": "c"}
        assert ran == ["b", "c"]


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (("x", "b"), "its definition has other steps than were done: a"),
        (("a",), "its definition has fewer steps than it had"),
        (("b", "a"), "its definition has other steps than were done: a"),
    ],
)
async def test_a_definition_that_does_not_fit_parks_it_again(file, steps, reason):
    old, _ = defined("a", "b")
    await interrupted(file, old, "")
    new, ran = defined(*steps)
    async with SagaStore.open(file, sagas=[new]) as store:
        await store.recover()
        for _ in range(2):
            assert await store.resume("book", "k")
            await store.recover()
            assert (await store.get("book", "k")).error == reason
    assert ran == []


async def test_a_compensation_that_went_from_the_definition_is_passed_over(file):
    switch = Switch()
    async with SagaStore.open(file, sagas=[switch.saga]) as store:
        await parked(store, switch, "c", "undo b")
    new, ran = defined("a", "b", "c", compensate=False)
    async with SagaStore.open(file, sagas=[new]) as store:
        assert await store.resume("book", "k")
        await store.recover()
        assert (await store.get("book", "k")).state == "compensated"
    assert ran == []


async def test_a_definition_put_back_goes_on_with_what_was_parked(file):
    old, _ = defined("a", "b")
    await interrupted(file, old, "")
    new, _ = defined("a", "b", "c")
    async with SagaStore.open(file, sagas=[new]) as store:
        await store.recover()
    again, ran = defined("a", "b")
    async with SagaStore.open(file, sagas=[again]) as store:
        await store.recover()
        assert (await store.get("book", "k")).state == "parked", "it stays so until resumed"
        assert await store.resume("book", "k")
        await store.recover()
        assert (await store.get("book", "k")).state == "completed"
    assert ran == ["b"]


async def test_a_context_that_cannot_be_decoded_any_more(file):
    old = Saga("book", context=dict[str, int])
    new = Saga("book", context=list[str])
    for each in (old, new):
        for name in "ab":
            each.add_step(name, lambda context: None)
    await interrupted(file, old, {"a": 1})
    async with SagaStore.open(file, sagas=[new]) as store:
        await store.recover()
        found = await store.get("book", "k")
        assert found.state == "parked"
        assert found.error.startswith("its context cannot be decoded: ")


async def test_a_result_that_cannot_be_decoded_any_more_fails_who_asks(file):
    old, new = Saga("book"), Saga("book")

    async def text(context) -> str:
        return "A12"

    async def number(context) -> int:
        return 12

    async def asks(context):
        return saga.current().result("a")

    old.add_step("a", text)
    old.add_step("b", asks)
    new.add_step("a", number)
    new.add_step("b", asks)
    await interrupted(file, old, 1)
    async with SagaStore.open(file, sagas=[new]) as store:
        await store.recover()
        found = await store.get("book", "k")
        assert (found.state, found.step) == ("compensated", "b")
        assert "Undecodable" in found.error
        assert (await (await store.start(new, 1, key="k")).outcome()).results == {"a": "A12"}
        assert store.health(), "the other sagas go on"
