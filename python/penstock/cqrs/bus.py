"""What command and query buses have in common: who handles what, and what runs around it."""

from __future__ import annotations

import difflib
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, NoReturn, Self, TypeVar

from penstock.errors import Misuse

from .behaviour import Behaviour, behaviour_of
from .chain import Call, compiled, compiled_stream
from .checks import findings_of
from .entry import Entry, Use
from .errors import Misfits, NoHandler
from .graph import Graph
from .handler import examine, first_kind
from .message import Command, Kind, Query, StreamQuery, named, result_of
from .resolver import NOTHING, Resolver
from .stream_behaviour import StreamBehaviour
from .terminal import stream_terminal_of, terminal_of

__all__ = ("Bus",)

H = TypeVar("H", bound=Callable[..., Any])


class _Calls(dict[Any, Call]):
    """The functions by the class of a message; whoever is not there is told about."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus

    def __missing__(self, kind: type) -> NoReturn:
        self._bus.refuse(kind)


class Bus:
    """The base of `CommandBus` and `QueryBus`."""

    _sent: ClassVar[tuple[type, ...]]
    _verb: ClassVar[str]
    _elsewhere: ClassVar[str]

    def __init__(
        self,
        name: str,
        *,
        resolver: Resolver | None = None,
        packages: str | Iterable[str] = (),
    ) -> None:
        if not isinstance(name, str) or not name:
            raise Misuse(f"a bus's name is {name!r}", hint=f'{type(self).__name__}("orders")')
        if resolver is not None and not isinstance(resolver, Resolver):
            raise Misuse(
                f"{type(self).__name__} {name!r}: resolver={resolver!r} is none",
                hint="Factories(), DishkaResolver(container), or anything with scope() and lacks()",
            )
        self.name = name
        self.packages = _packages(packages, self)
        """Where the messages are defined that all have to be handled here."""
        self.resolver: Resolver = NOTHING if resolver is None else resolver
        self._entries: dict[Kind, Entry] = {}
        self._uses: list[Use] = []
        self._calls = _Calls(self)
        self._named: dict[str, Call] = {}
        self._streams: dict[Any, Any] = {}
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    # -- definition --------------------------------------------------------------------------

    def _register(
        self,
        kind: Kind,
        handler: Any,
        *,
        inline: bool,
        reentrant: bool,
        events: Iterable[Kind],
        names: Mapping[str, Any],
    ) -> None:
        self._check_kind(kind)
        is_stream = _is_stream(kind)
        examined = examine(kind, handler, inline=inline, is_stream=is_stream, names=names)
        told = tuple(events)
        for each in told:
            if not isinstance(each, (str, type)):
                raise Misuse(f"{self!r}: the event {each!r} is neither a class nor a topic")
        entry = Entry(examined, reentrant, told)
        with self._lock:
            known = self._entries.get(kind)
            if known is not None:
                raise Misuse(
                    f"{self!r}: {named(kind)} has a handler already, {known.handler.label}, and "
                    f"was given {examined.label} as well",
                    hint="one handler for each; what several should hear of is an event",
                )
            call = self._compile(entry, self._uses)
            self._entries[kind] = entry
            self._adopt(entry, call)

    def _decorate(
        self, kind: Kind, *, inline: bool, reentrant: bool, events: Iterable[Kind]
    ) -> Callable[[H], H]:
        self._check_kind(kind)
        told = tuple(events)

        def register(handler: H) -> H:
            self._register(
                kind,
                handler,
                inline=inline,
                reentrant=reentrant,
                events=told,
                names=sys._getframe(1).f_locals,  # noqa: SLF001
            )
            return handler

        return register

    def handles(self, handler: H, /) -> H:
        """Decorates a handler for the message that its first parameter is annotated as."""
        # Where it is defined, and where its message may be defined, too.
        names = sys._getframe(1).f_locals  # noqa: SLF001
        kind = first_kind(handler, names)
        self._register(kind, handler, inline=False, reentrant=False, events=(), names=names)
        return handler

    def use(self, *behaviours: Any, only: Kind | Iterable[Kind] = ()) -> Self:
        """Run behaviours around handlers, the first one outermost; returns the bus.

        Args:
            *behaviours: `async def behaviour(message, next)`; a `Policy` or one of its strategies;
                an object with `wrap`, such as those of this room. Those of later calls run inside
                of those of earlier ones.
            only: the messages, or bases of messages, that they are for; all of them by default.

        Messages that are registered already and those to come get them alike. Raises Misuse for
        what is no behaviour or cannot work for a registered message; then nothing has changed.

        """
        chosen: tuple[Kind, ...] = (only,) if isinstance(only, (str, type)) else tuple(only)
        for kind in chosen:
            if not isinstance(kind, (str, type)):
                raise Misuse(f"{self!r}: only={kind!r} is no message", hint="a class or a name")
        new = [Use(behaviour_of(each, self.name), chosen) for each in behaviours]
        with self._lock:
            uses = [*self._uses, *new]
            made = [(entry, self._compile(entry, uses)) for entry in self._entries.values()]
            self._uses = uses
            for entry, call in made:
                self._adopt(entry, call)
        return self

    def _compile(self, entry: Entry, uses: Sequence[Use]) -> tuple[list[Any], Any]:
        handler = entry.handler
        is_stream = _is_stream(handler.kind)
        form = StreamBehaviour if is_stream else Behaviour
        chosen = [each for each in uses if each.is_for(handler.kind)]
        for each in chosen:
            if handler.kind in each.only and not isinstance(each.behaviour, form):
                raise Misuse(
                    f"{self!r}: {each.behaviour!r} means nothing for {named(handler.kind)}",
                    hint="a StreamQuery needs an async generator function of query and next"
                    if is_stream
                    else "an async generator function is for a StreamQuery",
                )
        behaviours: list[Any] = [e.behaviour for e in chosen if isinstance(e.behaviour, form)]
        if is_stream:
            items = stream_terminal_of(handler, self.resolver)
            return behaviours, compiled_stream(handler, behaviours, items)
        terminal = terminal_of(handler, self.resolver)
        call = compiled(handler, behaviours, terminal, is_reentrant=entry.is_reentrant)
        return behaviours, call

    def _adopt(self, entry: Entry, made: tuple[list[Any], Any]) -> None:
        kind = entry.handler.kind
        entry.behaviours, call = made
        if _is_stream(kind):
            self._streams[kind] = call
        elif isinstance(kind, str):
            self._named[kind] = call
        else:
            self._calls[kind] = call

    def _check_kind(self, kind: object) -> None:
        if isinstance(kind, str):
            if not kind:
                raise Misuse(f"{self!r}: a message's name is empty", hint='"create-user"')
            return
        if not isinstance(kind, type):
            what = type(kind).__name__
            raise Misuse(
                f"{self!r}: {kind!r} is neither a class nor a name",
                hint=f"register({what}, …), the class itself"
                if isinstance(kind, (Command, Query, StreamQuery))
                else "register(CreateUser, handler) or register('create-user', handler)",
            )
        base = next((each for each in self._sent if issubclass(kind, each)), None)
        if base is None:
            mine = " or ".join(each.__name__ for each in self._sent)
            other = issubclass(kind, (Command, Query, StreamQuery))
            raise Misuse(
                f"{self!r}: {named(kind)} is no {mine}",
                hint=self._elsewhere
                if other
                else f"class {kind.__name__}({self._sent[0].__name__}[int])",
            )
        if kind is base:
            raise Misuse(f"{self!r}: {kind.__name__} is the base of messages", hint="one of yours")
        if isinstance(result_of(kind, base), TypeVar):
            raise Misuse(
                f"{self!r}: {named(kind)} leaves open what it is answered with",
                hint=f"register a class below it: class Mine({kind.__name__}[int])",
            )

    # -- calling -----------------------------------------------------------------------------

    def found(self, message: Any, data: tuple[Any, ...]) -> tuple[Call, Any]:
        """What `execute` calls for a message, and with what. Raises as it does."""
        if data:
            return self._call_named(message, data), data[0]
        return self._calls[type(message)], message

    def _by_name(self, name: object, data: tuple[Any, ...]) -> Any:
        return self._call_named(name, data)(data[0])

    def _call_named(self, name: object, data: tuple[Any, ...]) -> Call:
        if not isinstance(name, str):
            raise Misuse(
                f"{self!r}: {name!r} was given data beside it",
                hint=f"{self._verb}(message), or {self._verb}('name', data)",
            )
        if len(data) != 1:
            raise Misuse(
                f"{self!r}: {name!r} was given {len(data)} values", hint="one: put them into a dict"
            )
        call = self._named.get(name)
        if call is None:
            self.refuse(name)
        return call

    def refuse(self, kind: Kind) -> NoReturn:
        """Raise what there is to say of a message that nobody handles."""
        if kind is str:
            raise Misuse(
                f"{self!r}: a name without data", hint=f"{self._verb}('create-user', data)"
            )
        if isinstance(kind, type) and issubclass(kind, type):
            raise Misuse(
                f"{self!r}: {self._verb} was given a class", hint="make a message: CreateUser(…)"
            )
        sent = isinstance(kind, str) or issubclass(kind, self._sent)
        if not sent:
            mine = " or ".join(each.__name__ for each in self._sent)
            other = isinstance(kind, type) and issubclass(kind, (Command, Query, StreamQuery))
            hint = self._elsewhere if other else f"give an instance of a class below {mine}"
            raise Misuse(f"{self!r}: a {named(kind)} is no {mine}", hint=hint)
        raise NoHandler(
            f"{self!r}: nobody handles {named(kind)}{self._nearest(kind)}",
            hint=f"register({named(kind)}, handler)"
            + ("; its module may not be imported yet" if isinstance(kind, type) else ""),
        )

    def _nearest(self, kind: Kind) -> str:
        known = {named(each).strip("'"): each for each in self._entries}
        above = [
            name
            for name, each in known.items()
            if isinstance(each, type) and isinstance(kind, type) and issubclass(kind, each)
        ]
        if above:
            return (
                f"; {above[0]}, which it is a subclass of, has a handler: each class needs its own"
            )
        near = difflib.get_close_matches(named(kind).strip("'"), known, n=3, cutoff=0.5)
        if near:
            return f"; the nearest it has: {', '.join(near)}"
        return f"; it has {', '.join(sorted(known)[:5])}" if known else "; it has no handlers yet"

    # -- looking -----------------------------------------------------------------------------

    def validate(self, *, packages: str | Iterable[str] | None = None) -> None:
        """Look at everything that can be known before the first call; raises Misfits with all.

        Messages of this process that nobody handles, handlers whose annotations do not fit their
        message, dependencies that the resolver lacks, behaviours that cannot work.

        Args:
            packages: names of packages or modules; only messages defined there have to be
                handled here. Those of the bus by default, and if it has none, all of the process.

        """
        chosen = self.packages if packages is None else _packages(packages, self)
        found = findings_of(self, chosen)
        if found:
            raise Misfits.of(repr(self), found)

    def graph(self) -> Graph:
        """Who handles what, with which behaviours and dependencies: `str(graph)`, `.mermaid()`."""
        with self._lock:
            return Graph.of(self.name, list(self._entries.values()))

    @property
    def entries(self) -> dict[Kind, Entry]:
        """What is registered, by kind; a copy."""
        with self._lock:
            return dict(self._entries)

    @property
    def uses(self) -> list[Use]:
        """The behaviours, in order; a copy."""
        with self._lock:
            return list(self._uses)

    @property
    def kinds(self) -> tuple[type, ...]:
        """The bases of what may be sent here."""
        return self._sent

    async def __aenter__(self) -> Self:
        """As a part of a Service: starting it validates."""
        self.validate()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


def _packages(given: Any, bus: Bus) -> tuple[str, ...]:
    found = (given,) if isinstance(given, str) else tuple(given)
    for each in found:
        if not isinstance(each, str) or not each:
            raise Misuse(f"{bus!r}: packages={given!r}", hint='names: packages="shop.orders"')
    return found


def _is_stream(kind: Kind) -> bool:
    return isinstance(kind, type) and issubclass(kind, StreamQuery)
