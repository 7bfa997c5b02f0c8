"""`CommandBus`: what changes something, each kind by exactly one handler."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar, overload

from .bus import Bus
from .message import Command, Kind
from .resolver import Scope
from .sync import SyncBus
from .within import Within

__all__ = ("CommandBus",)

R = TypeVar("R")
H = TypeVar("H", bound=Callable[..., Any])


class CommandBus(Bus):
    """Hands each command to the one handler that is registered for it, through behaviours.

    Use it where who asks for a change should not know who makes it, or where all changes pass
    through the same steps: validation, a transaction, idempotency, traces. Where one function calls
    another and nothing is to be in between, call it.

    Args:
        name: of the bus; appears in errors and graphs.
        resolver: where the handlers' dependencies come from: `Factories`, `DishkaResolver`, or
            anything with `scope` and `lacks`. Without it handlers have none.
        packages: where its commands are defined: `validate()` wants all of those to be handled. All
            of the process by default; a process with several buses names those of each.

    Any thread and event loop (asyncio, uvloop, trio) may call; registering may go on meanwhile.
    Handlers run in the task that calls, so a cancellation reaches them, and passes through every
    behaviour. Cost: a third of a microsecond without behaviours. As a part of a Service (`async
    with bus:`) it validates when it starts.

    Example:
        >>> import asyncio
        >>> from dataclasses import dataclass
        >>> commands = CommandBus("users")
        >>> @dataclass(frozen=True)
        ... class CreateUser(Command[int]):
        ...     name: str
        >>> @commands.handler(CreateUser)
        ... async def create_user(command: CreateUser) -> int:
        ...     return len(command.name)
        >>> asyncio.run(commands.execute(CreateUser("Ada")))
        3

    """

    _sent = (Command,)
    _verb = "execute"
    _elsewhere = "queries go to a QueryBus: queries.execute(…), queries.stream(…)"

    def register(
        self,
        kind: type[Command[Any]] | str,
        handler: Callable[..., Any],
        *,
        inline: bool = False,
        reentrant: bool = False,
        events: Iterable[Kind] = (),
    ) -> None:
        """Have `handler` called for every command of `kind`, and of no class below it.

        Args:
            kind: the class, or a name for what is executed as `execute(name, data)`.
            handler: `async def handler(command, ...)`; a plain function, which runs in a thread; or
                a class with `handle`, made for each command. What it has beyond the command are
                dependencies, given by their annotations; `UnitOfWork` is the one that is open.
            inline: call a plain function on the loop's thread, as it does not wait for anything.
            reentrant: let it be sent from within its own handler, directly or over others.
            events: what it tells of, for `graph()`.

        Raises Misuse for a second handler, for one that does not take the command or is annotated
        for another, and for what no handler is; nothing has changed then.

        """
        self._register(
            kind,
            handler,
            inline=inline,
            reentrant=reentrant,
            events=events,
            names=sys._getframe(1).f_locals,  # noqa: SLF001
        )

    def handler(
        self,
        kind: type[Command[Any]] | str,
        *,
        inline: bool = False,
        reentrant: bool = False,
        events: Iterable[Kind] = (),
    ) -> Callable[[H], H]:
        """Decorates a handler; as `register`."""
        return self._decorate(kind, inline=inline, reentrant=reentrant, events=events)

    @overload
    def execute(self, command: Command[R], /) -> Coroutine[Any, Any, R]: ...
    @overload
    def execute(self, command: str, data: Any, /) -> Coroutine[Any, Any, Any]: ...
    def execute(self, command: Any, /, *data: Any) -> Coroutine[Any, Any, Any]:
        """Await the command's handler, and return what it returned.

        Raises what the handler or a behaviour raises; NoHandler if nobody handles the command (with
        the nearest that somebody does), and Misuse for what is no command, both already when it is
        called; Misuse for a command that is sent from within its own handler.
        """
        if data:
            return self._by_name(command, data)  # type: ignore[no-any-return]
        return self._calls[type(command)](command)

    def within(self, scope: Scope, /) -> WithinCommands:
        """The same bus with dependencies from a scope that is open already, such as a request's.

        No scope is opened for calls through it, nor for what their handlers send. `scope` has an
        async `get(type)`; a request container of dishka is one. Whoever opened it closes it.
        """
        return WithinCommands(self, scope)

    @property
    def sync(self) -> SyncCommands:
        """A blocking view for threads: `with commands.sync as blocking: blocking.execute(...)`."""
        return SyncCommands(self)


class WithinCommands(Within):
    """What `commands.within(scope)` returns."""

    _bus: CommandBus

    @overload
    def execute(self, command: Command[R], /) -> Coroutine[Any, Any, R]: ...
    @overload
    def execute(self, command: str, data: Any, /) -> Coroutine[Any, Any, Any]: ...
    def execute(self, command: Any, /, *data: Any) -> Coroutine[Any, Any, Any]:
        """As `CommandBus.execute`."""
        return self._execute(command, data)


class SyncCommands(SyncBus):
    """What `commands.sync` is."""

    _bus: CommandBus

    @overload
    def execute(self, command: Command[R], /) -> R: ...
    @overload
    def execute(self, command: str, data: Any, /) -> Any: ...
    def execute(self, command: Any, /, *data: Any) -> Any:
        """As `CommandBus.execute`, blocking."""
        return self._wait(lambda: self._bus.execute(command, *data))
