"""A program's parts under one lifetime."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Literal, Self

import anyio
import anyio.abc
import anyio.lowlevel

from penstock._serving import Serving, enter, leave, serving
from penstock.errors import Misuse

from .errors import PartFailed
from .health import ServiceHealth, State
from .host import Host, describe
from .intake import Intake, Work
from .part import AnyPart, name_of

__all__ = ("Service",)

_CLOSING = 1.0
"""Seconds beyond the time to drain, and at most as many, for closing what does not hang."""
_TURNS = 16
"""Of the loop, between the end of the block and the first request to leave."""


class Service:
    """Starts its parts in order, watches them, and ends them in reverse order when they are done.

    Everything that is to live as long as the program goes in: stores, pools, relays, consumers,
    monitors. A part that fails takes the service down: the others are drained, and `PartFailed`
    names it, with its error as the cause, also where the block raised as a consequence.

    Args:
        name: for messages.
        drain: seconds that all parts together have to finish what is under way, when the service
            ends. Parts that are not done by then are stopped at once; the others have a second more
            to close.

    Three ways to use it: `async with service:`, which drains behind its block; `service.run()`,
    which blocks until SIGTERM or Ctrl-C; `service.lifespan` for ASGI frameworks. It serves once.

    Leaving the block normally or by an exception drains: `ready` turns false; all parts together
    take nothing more from outside; what is under way is finished, work that came in by `work()`
    first and then that of each part, the last one first, while all of them are open; they are
    closed, the last one first, those that are telemetry behind the others. Leaving the block by
    cancellation stops at once. Methods are called on the loop's thread. asyncio, uvloop and trio.

    Example:
        >>> service = Service("orders", drain=20.0)
        >>> service.add(WorkerPool(workers=2))
        >>> service.run()  # doctest: +SKIP

    """

    def __init__(self, name: str, *, drain: float = 20.0) -> None:
        if not name:
            raise Misuse("a service needs a name", hint='Service("orders")')
        if not (isinstance(drain, (int, float)) and 0 <= drain < math.inf):
            raise Misuse(
                f"drain={drain!r} of service {name!r} is not a number of seconds",
                hint="give 0 or more; 0 stops at once",
            )
        self.name = name
        self.drain = float(drain)
        self._state = State.NEW
        self._hosts: list[Host] = []
        self._started: list[Host] = []
        self._fallen: list[Host] = []
        """Those that ended by themselves, the first of them first."""
        self._failed: list[Host] = []
        """Those that raised, as they came to their ends."""
        self._is_urgent = False
        self._intake = Intake(name)
        self._serving: Serving
        self._group: anyio.abc.TaskGroup
        self._block: anyio.CancelScope
        """Around what the caller does while the service runs."""
        self._starting: anyio.CancelScope
        self._finishing: anyio.CancelScope | None = None
        """Around the time that all parts have to finish what is under way."""
        self._asked_to_end: anyio.Event

    def __repr__(self) -> str:
        return f"<Service {self.name!r}: {self._state}, {len(self._hosts)} parts>"

    def add(self, *parts: AnyPart) -> None:
        """Add parts, to be started in this order and drained in the reverse one.

        A part is an async context manager, or has `start()`, `drain()` and `stop()`; see `Part` for
        what it may have besides. Raises `Misuse` for anything else, for a part that is in already,
        and once the service has been started; then none of them is added.
        """
        if self._state is not State.NEW:
            raise Misuse(
                f"service {self.name!r} has been started", hint="add parts before starting it"
            )
        taken = {host.name for host in self._hosts}
        known = {id(host.part) for host in self._hosts}
        hosts = []
        for part in parts:
            if id(part) in known:
                raise Misuse(f"{part!r} is a part of service {self.name!r} already")
            known.add(id(part))
            name = base = name_of(part)
            number = 1
            while name in taken:
                number += 1
                name = f"{base}-{number}"
            taken.add(name)
            hosts.append(Host(name, part))
        self._hosts += hosts

    # -- what it says ------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """One of "new", "starting", "running", "draining", "stopped" and "failed"."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether work should be sent here: it runs, and every part is healthy."""
        return self.health().is_healthy

    def health(self) -> ServiceHealth:
        """State and health of every part; prints as a list. Asks them all: costs what they do."""
        parts = tuple(host.health() for host in self._hosts)
        is_healthy = self._state is State.RUNNING and all(part.is_healthy for part in parts)
        return ServiceHealth(self.name, self._state, is_healthy, parts)

    @staticmethod
    def current() -> Service:
        """The service around the caller, or the only one that runs on its event loop.

        Also while it starts and drains. Raises Misuse where there is none, or more than one and
        none of them is around the caller.
        """
        found = serving()
        if found is None:
            raise Misuse(
                "no service runs on this event loop",
                hint="call from inside of `async with service:`, or of its lifespan",
            )
        assert isinstance(found.service, Service)
        return found.service

    # -- work from outside ---------------------------------------------------------------------

    def work(self) -> Work:
        """A block around one piece of work from outside: a request, a connection, a message.

        `with service.work():` is refused with `Closed` unless the service runs, and waited for
        within the time to drain, before any part is: the parts it needs are there to the end. For
        what comes in by other ways than parts do; `penstock.asgi.Middleware` does it for requests.
        On the loop's thread; some 0.3 µs. A cancelled block counts as done.
        """
        return Work(self._intake)

    @property
    def in_flight(self) -> int:
        """How many blocks of `work()` are under way."""
        return self._intake.under_way

    # -- lifetime ----------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Ask the service to end: `wait` returns, and `run` drains. Any number of times."""
        if self._state not in {State.NEW, State.STOPPED, State.FAILED}:
            self._asked_to_end.set()

    async def wait(self) -> None:
        """Wait until somebody calls `shutdown`. A failing part ends the block around this, too."""
        if self._state not in {State.RUNNING, State.DRAINING}:
            raise Misuse(
                f"service {self.name!r} does not run", hint="wait inside of `async with service:`"
            )
        await self._asked_to_end.wait()

    def stop_at_once(self) -> None:
        """Cancel the block and every part, also one that starts or drains."""
        self._is_urgent = True
        if self._state in {State.STARTING, State.RUNNING}:
            self._starting.cancel()
            self._block.cancel()
        if self._finishing is not None:
            self._finishing.cancel()
        for host in self._started:
            host.cut()

    async def __aenter__(self) -> Self:
        if self._state is not State.NEW:
            raise Misuse(
                f"service {self.name!r} has been started before", hint="make another service"
            )
        self._state = State.STARTING
        self._asked_to_end = anyio.Event()
        self._starting = anyio.CancelScope()
        self._block = anyio.CancelScope()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        # Before the parts: what they start belongs to this service.
        self._serving = enter(self, self.name, tuple(host.part for host in self._hosts))
        try:
            with self._starting:
                await self._start()
            if self._failed:
                raise self._failure(self._failed[0])
        except BaseException as error:
            # The group's exit takes what is raised here back, so that it is not wrapped.
            await self._wind_down(abrupt=not isinstance(error, Exception))
            await self._group.__aexit__(None, None, None)
            self._raise_the_first(error)
            raise
        self._state = State.RUNNING
        self._intake.is_open = True
        self._block.__enter__()
        return self

    async def _start(self) -> None:
        for host in self._hosts:
            try:
                await self._group.start(host.run, self._fallen.append, self._hear)
            except Exception as error:
                raise PartFailed(
                    f"part {host.name!r} of service {self.name!r} did not start: {describe(error)}",
                    part=host.name,
                ) from error
            self._started.append(host)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        is_ours = bool(self._block.__exit__(kind, error, trace))
        is_abrupt = error is not None and not is_ours and not isinstance(error, Exception)
        await self._wind_down(abrupt=is_abrupt)
        await self._group.__aexit__(None, None, None)
        if error is not None and not is_ours:
            self._raise_the_first(error)
        elif self._failed:
            failure = self._failure(self._first_failed())
            self._note(failure)
            raise failure
        return is_ours

    def _hear(self, host: Host) -> None:
        """A part has failed: end what the caller does, or the starting of the others."""
        self._failed.append(host)
        if self._state is State.STARTING:
            self._starting.cancel()
        elif self._state is State.RUNNING:
            self._block.cancel()

    def _first_failed(self) -> Host:
        """The one that fell before the others did, which may have needed longer to end."""
        return next((host for host in self._fallen if host in self._failed), self._failed[0])

    def _raise_the_first(self, error: BaseException) -> None:
        """Raise the failure of a part that came before `error`, which may be its consequence.

        A part that fell had been asked for nothing, so it was the first; one that failed at its
        end came after. What came after is told in notes. Cancellation stays what it is.
        """
        if self._failed and isinstance(error, Exception):
            host = self._first_failed()
            if host.fell and error.__cause__ is not host.failure:
                failure = self._failure(host)
                failure.add_note(f"after it: {describe(error)}")
                self._note(failure)
                raise failure
        self._note(error)

    def _note(self, error: BaseException) -> None:
        """Tell in its notes which parts failed besides."""
        for host in self._failed:
            if error.__cause__ is not host.failure:
                error.add_note(str(self._failure(host)))

    async def _wind_down(self, *, abrupt: bool) -> None:
        self._state = State.DRAINING
        self._intake.is_open = False
        deadline = anyio.current_time() + self.drain
        with anyio.CancelScope(shield=True):
            ending = self._ending_order()
            if not abrupt:
                with anyio.CancelScope(deadline=deadline) as self._finishing:
                    await self._finish(ending, deadline)
            # Who hangs takes nobody's time to close.
            closing = max(deadline, anyio.current_time()) + min(_CLOSING, self.drain)
            for host in ending:
                is_cut = abrupt or self._is_urgent or not self.drain
                await (host.stop() if is_cut else host.end(closing))
        self._state = State.FAILED if self._failed else State.STOPPED
        leave(self._serving)

    def _ending_order(self) -> list[Host]:
        """The last started first; what observes the others behind them all."""
        backwards = self._started[::-1]
        return sorted(backwards, key=lambda host: host.is_telemetry)

    async def _finish(self, ending: list[Host], deadline: float) -> None:
        # All of them, before anything is waited for.
        stopping = [stopped for host in ending if (stopped := host.stop_intake()) is not None]
        # A part that falls wakes those who wait for it before its task group has told its host,
        # and what it woke may have ended the block: let it come before it is asked to leave.
        async with anyio.create_task_group() as group:
            for stopped in stopping:
                group.start_soon(stopped)
            for _ in range(_TURNS):
                await anyio.lowlevel.checkpoint()
        await self._intake.until_done()
        for host in ending:
            await host.finish(deadline)

    def _failure(self, host: Host) -> PartFailed:
        assert host.failure is not None
        failure = PartFailed(
            f"part {host.name!r} of service {self.name!r} failed: {describe(host.failure)}",
            part=host.name,
        )
        failure.__cause__ = host.failure
        return failure

    # -- as a program, and below a framework --------------------------------------------------

    def run(self, backend: Literal["asyncio", "uvloop", "trio"] = "asyncio") -> None:
        """Run until SIGTERM or Ctrl-C, drain, and return. A second signal stops at once.

        Blocks; the main thread only, since signals come there. Raises `PartFailed` where a part
        did, and `SystemExit(128 + signal)` after a second signal.
        """
        if threading.current_thread() is not threading.main_thread():
            raise Misuse(
                f"service {self.name!r} can be run by the main thread only: signals come there",
                hint="elsewhere use `async with service:`",
            )
        options: dict[str, Any] = {"use_uvloop": True} if backend == "uvloop" else {}
        library = "trio" if backend == "trio" else "asyncio"
        second = anyio.run(self._serve, backend=library, backend_options=options)
        if second is not None:
            raise SystemExit(128 + second)

    async def _serve(self) -> int | None:
        failure: Exception | None = None
        signals: list[int] = []
        async with anyio.create_task_group() as group:
            await group.start(self._listen, signals)
            try:
                async with self:
                    await self.wait()
            except Exception as error:
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            # Its frames would hold it.
            try:
                raise failure
            finally:
                del failure
        return signals[1] if len(signals) > 1 else None

    async def _listen(
        self,
        received: list[int],
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for number in signals:
                received.append(number)
                if len(received) == 1:
                    self.shutdown()
                else:
                    self.stop_at_once()

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """For frameworks: `FastAPI(lifespan=service.lifespan)`, also Starlette and Litestar.

        The framework's server owns the signals there. When a part fails, `ready` turns false and
        the lifespan ends with `PartFailed`; the server goes on until it is told to stop.
        """
        async with self:
            yield
