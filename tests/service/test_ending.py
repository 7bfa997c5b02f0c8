"""How a service ends: not ready, no intake, what is under way, closing, telemetry last."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager

import anyio
import pytest

from penstock import Service
from penstock.errors import Closed, Misuse
from penstock.service import PartFailed


class Log(list):
    """Makes parts with every hook, which write down what happens to them."""

    def part(self, name: str, **hooks: object):
        log = self

        class Logged:
            async def __aenter__(self) -> None:
                log.append(f"open {name}")

            async def __aexit__(self, kind: object, *_: object) -> None:
                log.append(f"{'close' if kind is None else 'cut'} {name}")

            def stop_intake(self) -> None:
                log.append(f"no more {name}")

            async def drain(self, deadline: float) -> None:
                self.deadline = deadline
                log.append(f"drain {name}")

        part = Logged()
        part.name = name
        for hook, value in hooks.items():
            setattr(part, hook, value)
        return part


@pytest.fixture
def log() -> Log:
    return Log()


async def test_it_ends_in_phases(log: Log):
    service = Service("orders")
    service.add(log.part("a"), log.part("eyes", is_telemetry=True), log.part("b"))
    async with service:
        log.clear()
    assert log == [
        *("no more b", "no more a", "no more eyes"),
        *("drain b", "drain a", "drain eyes"),
        *("close b", "close a", "close eyes"),
    ]


async def test_it_is_not_ready_from_the_first_moment_on(log: Log):
    said = []
    service = Service("orders")

    def stop_intake() -> None:
        said.append((service.ready, service.state))

    service.add(log.part("a", stop_intake=stop_intake))
    async with service:
        assert service.ready
    assert said == [(False, "draining")]


async def test_a_drain_is_told_until_when(log: Log):
    service = Service("orders", drain=7.0)
    part = log.part("a")
    service.add(part)
    async with service:
        before = anyio.current_time()
    assert before + 7.0 <= part.deadline <= anyio.current_time() + 7.0


@pytest.mark.parametrize("form", ["deadline", "until", "nothing", "option", "keyword", "plain"])
async def test_drains_come_in_several_forms(form: str, log: Log):
    async def by_name(*, deadline: float) -> None:
        got.append(deadline)

    async def by_place(until: float) -> None:
        got.append(until)

    async def nothing() -> None:
        got.append(None)

    async def option(timeout: float = 3.0) -> None:
        got.append(timeout)

    def plain() -> None:
        got.append(None)

    got: list[object] = []
    drains = {
        "deadline": by_name,
        "until": by_place,
        "nothing": nothing,
        "option": option,
        "keyword": by_name,
        "plain": plain,
    }
    service = Service("orders")
    service.add(log.part("a", drain=drains[form]))
    async with service:
        pass
    [value] = got
    assert (value in {None, 3.0}) == (form in {"nothing", "option", "plain"})
    assert "close a" in log


async def test_intake_is_stopped_everywhere_before_anything_is_drained(log: Log):
    """Also where stopping it takes its time: they do it side by side."""
    stopped = anyio.Event()

    async def waits() -> None:
        await stopped.wait()
        log.append("no more b, at last")

    service = Service("orders")
    service.add(log.part("a", stop_intake=stopped.set), log.part("b", stop_intake=waits))
    async with service:
        log.clear()
    assert log == ["no more b, at last", "drain b", "drain a", "close b", "close a"]


async def test_without_time_to_drain_everything_is_stopped_at_once(log: Log):
    async def waits() -> None:
        await anyio.sleep_forever()

    service = Service("orders", drain=0)
    service.add(log.part("a"), log.part("b", stop_intake=waits))
    async with service:
        log.clear()
    assert log == ["no more a", "cut b", "cut a"]


async def test_what_is_under_way_finds_every_part_open(log: Log):
    """A store that is older than the pool, and needs it for what it has begun."""
    pool = log.part("pool")

    async def drain() -> None:
        assert "close pool" not in log
        log.append("the store's last work in the pool")

    service = Service("orders")
    service.add(log.part("store", drain=drain), pool)
    async with service:
        pass
    assert log.index("the store's last work in the pool") < log.index("close pool")


async def test_an_intake_that_cannot_be_stopped_is_told_and_drained(log: Log):
    def stop_intake() -> None:
        raise LookupError("no such socket")

    service = Service("orders")
    service.add(log.part("a", stop_intake=stop_intake), log.part("b"))
    with pytest.raises(PartFailed, match=r"part 'a' .* LookupError: no such socket"):
        async with service:
            log.clear()
    assert log == ["no more b", "drain b", "drain a", "close b", "close a"]


async def test_cancellation_drains_nothing(log: Log):
    service = Service("orders")
    service.add(log.part("a"), log.part("eyes", is_telemetry=True), log.part("b"))
    with anyio.CancelScope() as scope:
        async with service:
            log.clear()
            scope.cancel()
            await anyio.sleep_forever()
    # All at once; on trio in any order.
    assert sorted(log) == ["cut a", "cut b", "cut eyes"]


async def test_a_part_that_does_not_start_ends_those_before_it_in_reverse(log: Log):
    @asynccontextmanager
    async def broken():
        raise OSError("no disk")
        yield

    service = Service("orders")
    service.add(log.part("a"), log.part("b"), broken(), log.part("c"))
    with pytest.raises(PartFailed, match=r"part 'broken' .* did not start: OSError: no disk"):
        async with service:
            pytest.fail("it did not start")
    assert log[:2] == ["open a", "open b"]
    assert log[-4:] == ["drain b", "drain a", "close b", "close a"]


# -- work from outside ---------------------------------------------------------------------------


async def test_work_is_waited_for_before_any_part_is_drained(log: Log):
    service = Service("orders")
    service.add(log.part("a"))
    release = anyio.Event()

    async def work() -> None:
        with service.work():
            begun.set()
            await release.wait()
            log.append("work is done")

    begun = anyio.Event()
    async with anyio.create_task_group() as group, service:
        group.start_soon(work)
        await begun.wait()
        assert service.in_flight == 1
        log.clear()

        async def let_go() -> None:
            while service.state != "draining":
                await anyio.lowlevel.checkpoint()
            with pytest.raises(Closed, match="takes no work now"), service.work():
                pass
            release.set()

        group.start_soon(let_go)
    assert log == ["no more a", "work is done", "drain a", "close a"]
    assert service.in_flight == 0


async def test_work_is_waited_for_until_the_deadline_only(log: Log):
    service = Service("orders", drain=0.05)
    service.add(log.part("a"))
    async with anyio.create_task_group() as group:

        async def work() -> None:
            with service.work():
                begun.set()
                await anyio.sleep_forever()

        begun = anyio.Event()
        async with service:
            group.start_soon(work)
            await begun.wait()
        assert log[-1] == "close a"
        group.cancel_scope.cancel()
    assert service.in_flight == 0


@pytest.mark.parametrize("where", ["before", "behind"])
async def test_who_hangs_is_cut_and_the_others_are_closed(where: str, log: Log):
    async def hangs() -> None:
        await anyio.sleep_forever()

    store, hanging = log.part("store"), log.part("hanging", drain=hangs)
    service = Service("orders", drain=0.05)
    service.add(*((hanging, store) if where == "before" else (store, hanging)))
    async with service:
        log.clear()
    assert "cut hanging" in log
    assert [line for line in log if "store" in line] == [
        "no more store",
        "drain store",
        "close store",
    ]


async def test_a_stop_that_hangs_keeps_nobody_for_ever(monkeypatch):
    class Hanging:
        name = "hanging"

        async def start(self) -> None: ...

        async def drain(self) -> None: ...

        async def stop(self) -> None:
            await anyio.sleep_forever()

    monkeypatch.setattr("penstock.service.part._STOPPING", 0.02)
    service = Service("orders", drain=0.01)
    service.add(Hanging())
    with pytest.raises(PartFailed, match=r"stop\(\) of part 'hanging' took longer"):
        async with service:
            pass


async def test_stop_at_once_does_not_wait_for_work(log: Log):
    service = Service("orders", drain=1000)
    service.add(log.part("a"))
    async with anyio.create_task_group() as group:

        async def work() -> None:
            with service.work():
                begun.set()
                await anyio.sleep_forever()

        async def impatient() -> None:
            while service.state != "draining":
                await anyio.lowlevel.checkpoint()
            service.stop_at_once()

        begun = anyio.Event()
        async with service:
            group.start_soon(work)
            await begun.wait()
            group.start_soon(impatient)
        assert log[-1] == "cut a"
        group.cancel_scope.cancel()


async def test_there_is_no_work_before_it_runs_and_after(log: Log):
    service = Service("orders")
    with pytest.raises(Closed, match="service 'orders' takes no work now"), service.work():
        pass
    async with service:
        with service.work():
            pass
    with pytest.raises(Closed), service.work():
        pass


# -- the service around a call ---------------------------------------------------------------------


async def test_the_current_service_is_the_one_around():
    with pytest.raises(Misuse, match="no service runs on this event loop"):
        Service.current()
    found = []

    async def look() -> None:
        found.append(Service.current())

    outer, inner = Service("outer"), Service("inner")
    async with outer:
        assert Service.current() is outer
        async with inner, anyio.create_task_group() as group:
            group.start_soon(look)
        assert Service.current() is outer
    assert found == [inner]
    with pytest.raises(Misuse, match="no service runs"):
        Service.current()


async def test_the_service_around_is_so_again_behind_one_inside_of_it():
    started, end = anyio.Event(), anyio.Event()

    async def other() -> None:
        async with Service("other"):
            started.set()
            await end.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        await started.wait()
        async with Service("outer") as outer:
            async with Service("inner"):
                pass
            assert Service.current() is outer
        end.set()


async def test_a_part_finds_its_own_service(log: Log):
    found = []

    @asynccontextmanager
    async def part():
        found.append(Service.current())
        yield
        found.append(Service.current())

    service = Service("orders")
    service.add(part())
    async with service:
        pass
    assert found == [service, service]


async def test_of_two_services_neither_is_the_loop_s(log: Log):
    """Tasks of a server are in the contexts of neither."""
    services = [Service("one"), Service("two")]
    running = []
    end = anyio.Event()

    async def run(service: Service) -> None:
        async with service:
            running.append(service)
            await end.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(run, services[0])
        while len(running) < 1:
            await anyio.lowlevel.checkpoint()
        assert Service.current() is services[0]
        group.start_soon(run, services[1])
        while len(running) < 2:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(Misuse, match="2 services run on this event loop: 'one', 'two'"):
            Service.current()
        end.set()


# -- bad input -------------------------------------------------------------------------------------


def no_part_is_added(service: Service, part: object, words: str, hint: str) -> None:
    with pytest.raises(Misuse, match=words) as caught:
        service.add(part)
    assert hint in caught.value.hint
    assert service.health().parts == ()


async def test_what_is_no_part_is_told_what_would_make_it_one(log: Log):
    @asynccontextmanager
    async def function():
        yield

    async def coroutine() -> None: ...

    class Blocking:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    service = Service("orders")
    no_part_is_added(service, object(), "cannot be a part", "async context manager")
    no_part_is_added(service, Service, "cannot be a part", "add an object, Service(…)")
    no_part_is_added(service, function, "cannot be a part", "call it")
    no_part_is_added(service, coroutine(), "cannot be a part", "coroutine")
    no_part_is_added(service, Blocking(), "cannot be a part", "blocking context manager")


async def test_hooks_that_cannot_work_are_refused_as_they_are_added(log: Log):
    async def health() -> bool:
        return True

    async def drain(one: int, other: int) -> None: ...

    async def by_keyword(*, within: float) -> None: ...

    service = Service("orders")
    for hooks, words, hint in (
        ({"health": health}, r"health\(\) of part 'a' cannot work", "not async"),
        ({"drain": drain}, r"drain\(\) of part 'a' wants one, other", "drain(deadline)"),
        ({"drain": by_keyword}, r"drain\(\) of part 'a' wants within", "drain(deadline)"),
        ({"drain": math.pi}, "drain of part 'a' is 3.14.*cannot be called", "make drain a method"),
        ({"watch": True}, "watch of part 'a' is True", "make watch a method"),
        ({"stop_intake": True}, "stop_intake of part 'a' is True", "make stop_intake a method"),
    ):
        no_part_is_added(service, log.part("a", **hooks), words, hint)
