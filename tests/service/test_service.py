"""Order, failure, deadlines and health of a service's parts, on every loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from penstock import Service
from penstock.errors import Misuse
from penstock.service import Part, PartFailed


class Recorder:
    """Makes parts that write down what happens to them."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def part(self, name: str, **faults: Exception) -> Part:
        log = self.log

        class Recorded:
            async def _step(self, step: str) -> None:
                log.append(f"{step} {name}")
                if step in faults:
                    raise faults[step]

            async def start(self) -> None:
                await self._step("start")

            async def drain(self) -> None:
                await self._step("drain")

            async def stop(self) -> None:
                await self._step("stop")

        part = Recorded()
        part.name = name
        return part


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


class Failing:
    """Runs until it is told to fail, as a part that holds a task group does."""

    def __init__(self, error: Exception, name: str = "failing") -> None:
        self.name = name
        self.error = error
        self.fail = anyio.Event()

    @asynccontextmanager
    async def _live(self):
        async def work() -> None:
            await self.fail.wait()
            raise self.error

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            yield
            group.cancel_scope.cancel()

    async def __aenter__(self) -> None:
        self._lived = self._live()
        await self._lived.__aenter__()

    async def __aexit__(self, *exception: object) -> bool | None:
        return await self._lived.__aexit__(*exception)


class Stubborn:
    """Drains only when it is let; says so when it is cut."""

    def __init__(self) -> None:
        self.draining = anyio.Event()
        self.release = anyio.Event()
        self.ended = ""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        self.draining.set()
        try:
            await self.release.wait()
            self.ended = "drained"
        except BaseException:
            self.ended = "cut"
            raise


async def test_parts_start_in_order_and_drain_in_reverse(recorder: Recorder):
    service = Service("orders")
    service.add(recorder.part("a"), recorder.part("b"))
    service.add(recorder.part("c"))
    async with service as inside:
        assert inside is service
        assert recorder.log == ["start a", "start b", "start c"]
        assert service.state == "running"
        assert service.ready
        recorder.log.clear()
    assert recorder.log == ["drain c", "drain b", "drain a", "stop c", "stop b", "stop a"]
    assert (service.state, service.ready) == ("stopped", False)


async def test_a_service_without_parts_runs(recorder: Recorder):
    async with Service("empty") as service:
        assert service.ready


async def test_a_part_that_does_not_start_ends_those_before_it(recorder: Recorder):
    service = Service("orders")
    service.add(
        recorder.part("a"), recorder.part("b", start=OSError("no disk")), recorder.part("c")
    )
    with pytest.raises(
        PartFailed, match=r"part 'b' of service 'orders' did not start: OSError: no"
    ):
        async with service:
            pytest.fail("it did not start")
    assert recorder.log == ["start a", "start b", "drain a", "stop a"]
    assert service.state != "running"


async def test_the_cause_is_the_part_s_own_error(recorder: Recorder):
    cause = OSError("no disk")
    service = Service("orders")
    service.add(recorder.part("b", start=cause))
    with pytest.raises(PartFailed) as caught:
        async with service:
            pass
    assert caught.value.__cause__ is cause
    assert caught.value.part == "b"
    assert caught.value.code == "part-failed"


async def test_a_part_that_fails_takes_the_service_down(recorder: Recorder):
    failing = Failing(LookupError("lost"))
    service = Service("orders")
    service.add(recorder.part("before"), failing, recorder.part("after"))
    reached = False
    with pytest.raises(
        PartFailed, match=r"part 'failing' of .* failed: LookupError: lost"
    ) as caught:
        async with service:
            failing.fail.set()
            await anyio.sleep_forever()
            reached = True
    assert not reached
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert recorder.log[2:] == ["drain after", "drain before", "stop after", "stop before"]
    assert service.state == "failed"
    assert not service.ready
    assert service.health().parts[1].detail == "LookupError: lost"


async def test_a_part_that_is_watched_fails_through_its_watch(recorder: Recorder):
    class Watched(Stubborn):
        def __init__(self) -> None:
            super().__init__()
            self.release.set()
            self.fail = anyio.Event()

        async def watch(self) -> None:
            await self.fail.wait()
            raise ConnectionError("reset")

    watched = Watched()
    service = Service("orders")
    service.add(watched)
    with pytest.raises(PartFailed, match=r"'Watched' .* ConnectionError: reset"):
        async with service:
            watched.fail.set()
            await anyio.sleep_forever()
    assert watched.ended == "drained"


async def test_a_watch_that_returns_is_no_failure():
    class Quiet(Stubborn):
        async def watch(self) -> None:
            watched.set()

    watched = anyio.Event()
    part = Quiet()
    part.release.set()
    service = Service("orders")
    service.add(part)
    async with service:
        await watched.wait()
        await anyio.lowlevel.checkpoint()
        assert service.ready
    assert part.ended == "drained"


async def test_a_part_that_cannot_be_drained_does_not_keep_the_others(recorder: Recorder):
    service = Service("orders")
    service.add(recorder.part("a"), recorder.part("b", drain=ValueError("half done")))
    with pytest.raises(PartFailed, match=r"part 'b' .* ValueError: half done"):
        async with service:
            pass
    assert recorder.log[2:] == ["drain b", "drain a", "stop b", "stop a"]


async def test_the_block_s_own_error_comes_through_as_it_is(recorder: Recorder):
    service = Service("orders")
    service.add(recorder.part("a"))
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with service:
            raise error
    assert caught.value is error
    assert recorder.log == ["start a", "drain a", "stop a"]


async def test_the_block_s_error_says_what_failed_beside_it(recorder: Recorder):
    service = Service("orders")
    service.add(recorder.part("a", drain=ValueError("half done")))
    with pytest.raises(KeyError) as caught:
        async with service:
            raise KeyError("mine")
    assert caught.value.__notes__ == ["part 'a' of service 'orders' failed: ValueError: half done"]


class Depended(Failing):
    """Wakes who waits for it as it fails, as a store does that can no longer write."""

    def __init__(self, error: Exception, name: str = "depended") -> None:
        super().__init__(error, name)
        self.is_closed = anyio.Event()

    @asynccontextmanager
    async def _live(self):
        async def work() -> None:
            await self.fail.wait()
            self.is_closed.set()
            raise self.error

        async def deeper() -> None:
            async with anyio.create_task_group() as inner:
                inner.start_soon(work)

        async with anyio.create_task_group() as group:
            group.start_soon(deeper)
            yield

    async def use(self) -> None:
        self.fail.set()
        await self.is_closed.wait()
        raise KeyError("closed")


async def test_the_part_that_failed_before_the_block_is_what_is_raised(recorder: Recorder):
    failing = Failing(LookupError("lost"))
    service = Service("orders")
    service.add(recorder.part("a"), failing)
    with pytest.raises(PartFailed, match=r"part 'failing' .* LookupError: lost") as caught:
        async with service:
            failing.fail.set()
            try:
                await anyio.sleep_forever()
            finally:
                raise KeyError("a consequence")
    assert caught.value.__notes__ == ["after it: KeyError: 'a consequence'"]
    assert isinstance(caught.value.__context__, KeyError)
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert service.state == "failed"


async def test_a_part_that_wakes_the_block_as_it_fails_came_first(recorder: Recorder):
    # Drained first, so that nothing gives it time.
    depended = Depended(LookupError("lost"))
    service = Service("orders")
    service.add(recorder.part("a"), depended)
    with pytest.raises(PartFailed, match=r"'depended' .* LookupError: lost") as caught:
        async with service:
            await depended.use()
    assert caught.value.__notes__ == ["after it: KeyError: 'closed'"]


async def test_a_watch_that_failed_before_the_block_is_what_is_raised():
    class Watched(Stubborn):
        async def watch(self) -> None:
            await fail.wait()
            raise ConnectionError("reset")

    fail = anyio.Event()
    watched = Watched()
    watched.release.set()
    service = Service("orders")
    service.add(watched)
    with pytest.raises(PartFailed, match=r"'Watched' .* ConnectionError: reset") as caught:
        async with service:
            fail.set()
            try:
                await anyio.sleep_forever()
            finally:
                raise KeyError("a consequence")
    assert caught.value.__notes__ == ["after it: KeyError: 'a consequence'"]


async def test_the_first_to_fall_is_told_also_where_it_ends_last(recorder: Recorder):
    store = Failing(LookupError("lost"), "store")
    user = Failing(KeyError("no store"), "user")

    @asynccontextmanager
    async def slow_to_close():
        async with store:
            try:
                yield
            finally:
                user.fail.set()
                with anyio.CancelScope(shield=True):
                    while service.health().parts[1].state != "failed":
                        await anyio.lowlevel.checkpoint()

    service = Service("orders")
    service.add(slow_to_close(), user)
    with pytest.raises(PartFailed, match=r"LookupError: lost") as caught:
        async with service:
            store.fail.set()
            await anyio.sleep_forever()
    [note] = caught.value.__notes__
    assert note == "part 'user' of service 'orders' failed: KeyError: 'no store'"


class Cut(Stubborn):
    """Raises when it is cancelled."""

    @asynccontextmanager
    async def _live(self):
        try:
            async with anyio.create_task_group():
                yield
                await anyio.sleep_forever()
        except BaseException:
            raise LookupError("cut") from None

    async def __aenter__(self) -> None:
        self._lived = self._live()
        await self._lived.__aenter__()

    async def __aexit__(self, *exception: object) -> bool | None:
        return await self._lived.__aexit__(*exception)


async def test_cancellation_stays_cancellation_beside_a_part_that_failed():
    service = Service("orders")
    service.add(Cut())
    with anyio.CancelScope() as scope:
        async with service:
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert service.state == "failed"


async def test_a_part_that_fails_as_it_is_cut_came_after_the_block():
    service = Service("orders")
    service.add(Cut())
    with pytest.raises(KeyError) as caught:
        async with service:
            service.stop_at_once()
            raise KeyError("mine")
    assert caught.value.__notes__ == ["part 'Cut' of service 'orders' failed: LookupError: cut"]


async def test_a_part_that_ends_by_itself_is_not_well():
    class Ending(Failing):
        @asynccontextmanager
        async def _live(self):
            async with anyio.create_task_group() as group:
                self.end = group.cancel_scope.cancel
                yield

    ending = Ending(LookupError("never raised"))
    service = Service("orders")
    service.add(ending)
    async with service:
        assert service.ready
        ending.end()
        while service.ready:
            await anyio.lowlevel.checkpoint()
        assert service.health().parts[0].detail == "it ended by itself"


async def test_drain_has_a_deadline(recorder: Recorder):
    stubborn = Stubborn()
    service = Service("orders", drain=0.05)
    service.add(recorder.part("a"), stubborn)
    async with service:
        pass
    assert stubborn.ended == "cut"
    # The time is up for those behind it, too.
    assert recorder.log[-1] == "stop a"


async def test_cancellation_stops_at_once(recorder: Recorder):
    stubborn = Stubborn()
    service = Service("orders", drain=1000)
    service.add(recorder.part("a"), stubborn)
    with anyio.CancelScope() as scope:
        async with service:
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert stubborn.ended in {"", "cut"}
    assert recorder.log == ["start a", "stop a"]


async def test_stop_at_once_cuts_a_drain_short():
    stubborn = Stubborn()
    service = Service("orders", drain=1000)
    service.add(stubborn)

    async def impatient() -> None:
        await stubborn.draining.wait()
        service.stop_at_once()

    async with anyio.create_task_group() as group:
        group.start_soon(impatient)
        async with service:
            pass
    assert stubborn.ended == "cut"


async def test_stop_at_once_ends_the_block():
    service = Service("orders", drain=1000)
    async with service:
        service.stop_at_once()
        await anyio.sleep_forever()
    assert service.state == "stopped"


async def test_shutdown_ends_the_wait(recorder: Recorder):
    service = Service("orders")
    service.add(recorder.part("a"))
    service.shutdown()  # nothing to end yet
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            service.shutdown()
            service.shutdown()

        async with service:
            group.start_soon(ask)
            await service.wait()
    assert recorder.log == ["start a", "drain a", "stop a"]
    with pytest.raises(Misuse, match="does not run"):
        await service.wait()


async def test_health_is_what_the_parts_say():
    class Part(Stubborn):
        def __init__(self, health: Callable[[], bool]) -> None:
            super().__init__()
            self.release.set()
            self.health = health

    def broken() -> bool:
        raise ConnectionError("no server")

    well = True
    service = Service("orders")
    service.add(Part(lambda: True), Part(lambda: well), Part(broken), Stubborn())
    service._hosts[3].part.release.set()
    assert not service.ready
    async with service:
        health = service.health()
        assert [part.is_healthy for part in health.parts] == [True, True, False, True]
        assert health.parts[2].detail == "ConnectionError: no server"
        assert not service.ready
        assert [part.name for part in health.parts] == ["Part", "Part-2", "Part-3", "Stubborn"]
        well = False
        assert not service.health().parts[1].is_healthy
        assert "Part-2    running, not healthy" in str(service.health())


async def test_a_failure_while_others_start_is_the_one_that_is_told(recorder: Recorder):
    failing = Failing(LookupError("lost"))

    class Slow(Stubborn):
        async def __aenter__(self) -> None:
            failing.fail.set()
            await anyio.sleep_forever()

    service = Service("orders")
    service.add(recorder.part("a"), failing, Slow())
    with pytest.raises(PartFailed, match=r"part 'failing' .* LookupError: lost"):
        async with service:
            pytest.fail("it did not start")
    assert recorder.log == ["start a", "drain a", "stop a"]


async def test_lifespan_is_the_service(recorder: Recorder):
    service = Service("orders")
    service.add(recorder.part("a"))
    async with service.lifespan(object()):
        assert service.ready
    assert recorder.log == ["start a", "drain a", "stop a"]


async def test_what_cannot_work_is_refused(recorder: Recorder):
    with pytest.raises(Misuse, match="needs a name"):
        Service("")
    for drain in (-1, math.inf, math.nan, "x", None):
        with pytest.raises(Misuse, match="drain="):
            Service("x", drain=drain)
    service = Service("orders")
    part = recorder.part("a")
    for wrong in (object(), None, anyio.Event()):
        with pytest.raises(Misuse, match="cannot be a part"):
            service.add(part, wrong)
    service.add(part)
    with pytest.raises(Misuse, match="is a part of service 'orders' already"):
        service.add(part)
    async with service:
        with pytest.raises(Misuse, match="has been started"):
            service.add(recorder.part("b"))
    with pytest.raises(Misuse, match="started before"):
        async with service:
            pass
    assert recorder.log == ["start a", "drain a", "stop a"]
