"""`Policy`: strategies around a call, outermost first, as one function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Sequence
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, TypeVarTuple, cast

from penstock._loops import current_hub
from penstock.errors import Misuse

from .budget import Budget
from .circuit import Circuit
from .circuit_breaker import BreakerPart, CircuitBreaker
from .deadline import Deadline
from .events import Reporter
from .form import form_of, name_of
from .keyed import KeyedPolicy
from .order import check_order
from .retry import Retry
from .strategy import Part, Place, Strategy
from .timeout import Timeout

if TYPE_CHECKING:
    from .attempts import Attempts
    from .weave import Form

__all__ = ("Policy",)

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Ts = TypeVarTuple("Ts")


class Run(Protocol):
    """The type of `policy.run`."""

    def __call__(self, fn: Callable[[*Ts], Awaitable[T]], /, *args: *Ts) -> Coroutine[Any, Any, T]:
        """Awaits `fn(*args)` under the policy."""
        ...


class Call(Protocol):
    """The type of `policy.call`."""

    def __call__(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> T:
        """Calls `fn(*args)` under the policy."""
        ...


class Policy:
    """Strategies around calls that may be slow, failing or down, outermost first.

    The order is checked here: what cannot work raises `Misuse`, what rarely does what is meant
    warns with `PolicyWarning`; `docs/resilience.md` has the table. Each policy has states of its
    own (circuit, places, answers), shared by all its calls, from any thread and event loop. With
    `scope="machine"` a state is shared by name with the other processes of this machine, and with
    the address of a Redis as scope with other machines.

    A cancellation passes through at once, and counts as nothing. After the last attempt the call's
    own exception is raised.

    Args:
        name: appears in errors, metrics and events, and names shared states.
        *strategies: outermost first, at most one of a kind (but for `RateLimit`).

    Raises Misuse for an order or for values that cannot work.

    Example:
        >>> policy = Policy("users", Deadline(10.0), Retry(attempts=3, delay=0.0), Timeout(5.0))
        >>> policy
        Policy('users', Deadline > Retry > Timeout)
        >>> @Policy("once", Retry(attempts=2, delay=0.0))
        ... def flaky(calls=[]):
        ...     calls.append(None)
        ...     if len(calls) < 2:
        ...         raise ConnectionError
        ...     return len(calls)
        >>> flaky()
        2

    """

    def __init__(self, name: str, /, *strategies: Strategy, _key: str = "") -> None:
        _check_name(name)
        _check_strategies(name, strategies)
        self.name = name
        self.strategies = strategies
        self.key = _key
        """Which of the policy's keys this is for; empty without `keyed`."""
        if not _key:
            check_order(name, strategies, stacklevel=2)
        self._parts = [
            each.part(Place(name, _key, Reporter(name, _key, type(each).__name__)))
            for each in strategies
        ]

    @classmethod
    def standard(cls, name: str, /, *, scope: str = "process") -> Policy:
        """The policy to begin with, in the canonical order; `describe()` prints every setting.

        30 s in all; 3 attempts, with retries adding a fifth to the load at most; a circuit that
        opens when half of at least 20 calls in 10 s fail; 10 s an attempt.
        """
        return cls(
            name,
            Deadline(30.0),
            Retry(attempts=3, delay=0.2, max_delay=5.0, jitter=1.0, budget=Budget(scope=scope)),
            CircuitBreaker(
                failure_threshold=None,
                failure_rate=0.5,
                window="time",
                size=10.0,
                min_calls=20,
                open_for=5.0,
                success_threshold=2,
                scope=scope,
            ),
            Timeout(10.0),
        )

    @cached_property
    def run(self) -> Run:
        """`await policy.run(fn, *args)`: awaits an async function under the policy.

        Keywords through `functools.partial`. Runs on asyncio, uvloop and trio.
        """
        return cast(Run, self._fused_async(None))

    @cached_property
    def call(self) -> Call:
        """`policy.call(fn, *args)`: calls a plain function under the policy, in this thread.

        Blocks in pauses and queues, so not on a thread that runs an event loop. An attempt under a
        `Timeout` runs in another thread, with the same context variables.
        """
        return cast(Call, self._fuse("blocking", None))

    def __call__(self, fn: Callable[P, T]) -> Callable[P, T]:
        """Decorates a function, an async function or an async generator function.

        An object is taken for what its `__call__` is. The signature stays. An async generator is
        tried again only before its first item. Raises Misuse for a generator function, and where a
        strategy cannot serve `fn`.
        """
        form = form_of(fn)
        if form == "generator":
            raise Misuse(
                f"policy {self.name!r}: {name_of(fn)} is a generator function",
                hint="calling it runs nothing yet; make it an async generator, or put the policy "
                "around what it calls",
            )
        if not callable(fn):
            raise Misuse(f"policy {self.name!r}: {fn!r} is no function")
        if form == "async generator":
            self._check_all("is_for_streams", "an async generator")
            from .streams import decorate_stream

            if any(isinstance(each, Retry) and each.on_result for each in self.strategies):
                raise Misuse(f"policy {self.name!r}: on_result means nothing for a generator")
            call = self._fused_async(None, is_stream=True)
            stream: Any = fn
            return cast(Callable[P, T], decorate_stream(stream, call, self._parts))
        fused = self._fused_async(fn) if form == "async" else self._fuse("blocking", fn)
        return cast(Callable[P, T], wraps(fn)(fused))

    def attempts(self) -> Attempts:
        """Blocks that are run again: `async for attempt in policy.attempts(): async with attempt:`.

        Also `for` with `with`, in threads. Finish the loop: leaving it by `break` between two
        attempts gives up what is held only later. Raises Misuse where a strategy needs a function:
        `Fallback`, `Cache`, `Hedge`, and `Timeout` in threads.
        """
        self._check_all("is_for_blocks", "a block")
        from .attempts import Attempts

        return Attempts(self.name, self._steps)

    def keyed(self, key: Callable[..., Hashable], /, *, max_keys: int = 1024) -> KeyedPolicy:
        """The same strategies with a state for each key, such as the host that is called.

        `key` is given the call's arguments. Beyond `max_keys` the one used longest ago forgets its
        state.
        """
        return KeyedPolicy(self, key, max_keys)

    def for_key(self, key: str, /) -> Policy:
        """The same strategies with states of their own, for one key."""
        return Policy(self.name, *self.strategies, _key=key)

    # -- below HTTP clients --------------------------------------------------------------------

    def transport(
        self,
        inner: T,
        /,
        *,
        key: Callable[[Any], Hashable] | None = None,
        statuses: Collection[int] | None = None,
        max_body: int = 1 << 20,
    ) -> T:
        """A transport of httpx2 or httpx, with the policy around each request that goes through it.

        `httpx2.AsyncClient(transport=policy.transport(httpx2.AsyncHTTPTransport()))`, and the same
        with `Client` and `HTTPTransport`. Each origin has a state of its own, which all transports
        and clients of this policy share. Only what may be sent twice is tried again or hedged:
        idempotent methods, requests with an Idempotency-Key, and what never reached the other side;
        a body that comes from an iterator goes out once.

        A status that is a failure counts as one and is tried again; after the last attempt its
        response is returned, as without a policy. Retry-After is heeded. Bodies known to be at most
        `max_body` bytes long, and those of failures, are read within the attempt; of others the
        attempt has the head, and places are held until they are closed. What the policy itself
        raises is also the client's: `CircuitOpen` a ConnectError, `BulkheadFull` and its like a
        PoolTimeout, timeouts a TimeoutException.

        Args:
            inner: what sends; it is closed with the client.
            key: of a request, what states are kept apart by; by default the origin.
            statuses: those that are failures; by default 408, 425, 429, 500, 502 to 504, and
                520 to 530.
            max_body: bytes; of a longer body of a failure the rest is not read.

        Raises Misuse for what is no transport, and for a policy with a Cache.

        """
        from .transports.clients import check_transport
        from .transports.course import Course
        from .transports.statuses import FAILED_STATUSES

        library, is_async = check_transport(self.name, inner)
        failures = FAILED_STATUSES if statuses is None else statuses
        course = Course(self, library, key, failures, max_body)
        family = course.family
        made = family.AsyncPolicyTransport if is_async else family.PolicyTransport
        return cast(T, made(inner, course))

    def aiohttp_middleware(
        self,
        *,
        key: Callable[[Any], Hashable] | None = None,
        statuses: Collection[int] | None = None,
        max_body: int = 1 << 20,
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        """As `transport`, for aiohttp: `ClientSession(middlewares=[policy.aiohttp_middleware()])`.

        aiohttp 3.12 or newer. `CircuitOpen` and its like are ClientConnectionError as well, and
        timeouts ServerTimeoutError. A place is given back when the head of a long body has come.
        """
        from .transports.aiohttp_session import aiohttp_middleware
        from .transports.statuses import FAILED_STATUSES

        failures = FAILED_STATUSES if statuses is None else statuses
        return aiohttp_middleware(self, key, failures, max_body)

    @cached_property
    def by_origin(self) -> KeyedPolicy:
        """A state for each origin, for all HTTP transports and clients of this policy."""
        from .transports.origins import origin_of

        return self.keyed(origin_of)

    @cached_property
    def once(self) -> Policy:
        """The same states for what may happen only once: no hedges, and retries of what failed
        before it was sent.
        """
        from .transports.repeats import once

        return once(self)

    def changed(self, change: Callable[[Part], Part | None]) -> Policy:
        """The same states with other settings; None leaves a strategy out. For this package."""
        made = Policy.__new__(Policy)
        made.name, made.key = self.name, self.key
        pairs = zip(self.strategies, self._parts, strict=True)
        changed = [(strategy, change(part)) for strategy, part in pairs]
        made.strategies = tuple(strategy for strategy, part in changed if part is not None)
        made._parts = [  # noqa: SLF001 - one of its own kind
            part for _, part in changed if part is not None
        ]
        return made

    @cached_property
    def run_held(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        """As `run`, with a list first, of what gives places back at the end of a response."""
        if all(each.is_for_streams for each in self.strategies):
            return self._fused_async(None, is_stream=True)
        run: Any = self.run

        async def run_held(_held: object, fn: Any, *args: Any) -> Any:
            return await run(fn, *args)

        return run_held

    @cached_property
    def call_held(self) -> Callable[..., Any]:
        """The same for threads."""
        if all(each.is_for_streams for each in self.strategies):
            return self._fuse("blocking", None, is_stream=True)
        call: Any = self.call
        return lambda _held, fn, *args: call(fn, *args)

    @property
    def circuit(self) -> Circuit:
        """The state of the `CircuitBreaker`, to look at and to force. Raises Misuse without one."""
        for part in self._parts:
            if isinstance(part, BreakerPart):
                return Circuit(part)
        raise Misuse(f"policy {self.name!r} has no CircuitBreaker")

    def describe(self) -> str:
        """Every strategy with every setting, outermost first; defaults are marked."""
        lines = [f"policy {self.name!r}" + (f" for {self.key!r}" if self.key else "")]
        lines += [f"  {each.describe()}" for each in self.strategies]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Policy({self.name!r}, {self._label()})"

    def _label(self) -> str:
        return " > ".join(type(each).__name__ for each in self.strategies) or "nothing"

    def _check_all(self, ability: str, what: str) -> None:
        for each in self.strategies:
            if not getattr(each, ability):
                raise Misuse(
                    f"policy {self.name!r}: {type(each).__name__} means nothing for {what}",
                    hint="put it around an async function instead",
                )

    def _fuse(
        self,
        form: Form,
        fn: Callable[..., Any] | None,
        *,
        is_stream: bool = False,
        is_block: bool = False,
        on_trio: Callable[..., Any] | None = None,
    ) -> Callable[..., Any]:
        from .weave import fuse

        return fuse(
            self._label(),
            self._parts,
            form,
            fn,
            is_stream=is_stream,
            is_block=is_block,
            on_trio=on_trio,
        )

    def _fused_async(
        self,
        fn: Callable[..., Any] | None,
        *,
        is_stream: bool = False,
        is_block: bool = False,
    ) -> Callable[..., Any]:
        made: list[Callable[..., Any]] = []

        def on_trio(*args: Any, **kwargs: Any) -> Any:
            current_hub()  # raises outside of any loop
            if not made:
                made.append(self._fuse("trio", fn, is_stream=is_stream, is_block=is_block))
            return made[0](*args, **kwargs)

        return self._fuse("asyncio", fn, is_stream=is_stream, is_block=is_block, on_trio=on_trio)

    @cached_property
    def _async_steps(self) -> Callable[[], Any]:
        return self._fused_async(None, is_block=True)

    @cached_property
    def _blocking_steps(self) -> Callable[[], Any]:
        if any(isinstance(each, Timeout) for each in self.strategies):
            raise Misuse(
                f"policy {self.name!r}: Timeout cannot end a block of a thread",
                hint="`async for` with `async with`, or policy.call with a function",
            )
        return self._fuse("steps", None)

    def _steps(self, awaited: bool) -> Callable[[], Any]:
        return self._async_steps if awaited else self._blocking_steps


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise Misuse(
            f"Policy: {name!r} is no name", hint='the first argument: Policy("users", Retry())'
        )


def _check_strategies(name: str, strategies: Sequence[object]) -> None:
    for each in strategies:
        if not isinstance(each, Strategy):
            raise Misuse(
                f"policy {name!r}: {each!r} is no strategy",
                hint="an instance, outermost first: Policy(name, Retry(), Timeout(1.0))",
            )
