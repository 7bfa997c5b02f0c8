"""`KeyedPolicy`: the same strategies with a state for each key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from functools import wraps
from threading import RLock
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, TypeVarTuple, cast

from penstock.errors import Misuse

from .form import form_of

if TYPE_CHECKING:
    from .policy import Policy

__all__ = ("KeyedPolicy",)

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class KeyedPolicy:
    """A policy with a state for each key; made by `Policy.keyed`."""

    def __init__(self, policy: Policy, key: Callable[..., Hashable], max_keys: int) -> None:
        if not callable(key):
            raise Misuse(f"policy {policy.name!r}: keyed({key!r}) is no function")
        if isinstance(max_keys, bool) or not isinstance(max_keys, int) or max_keys < 1:
            raise Misuse(f"policy {policy.name!r}: max_keys={max_keys!r} is out of range")
        self.policy = policy
        self.key = key
        """Gives the key of the arguments of a call."""
        self._max_keys = max_keys
        self._known: OrderedDict[str, Policy] = OrderedDict()
        self._lock = RLock()

    def for_key(self, key: Hashable, /) -> Policy:
        """The policy for one key; the same object as long as it is remembered."""
        name = key if isinstance(key, str) else str(key)
        if not name:
            raise Misuse(f"policy {self.policy.name!r}: a key is empty")
        with self._lock:
            policy = self._known.get(name)
            if policy is None:
                policy = self._known[name] = self.policy.for_key(name)
                if len(self._known) > self._max_keys:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(name)
            return policy

    def run(self, fn: Callable[[*Ts], Awaitable[T]], /, *args: *Ts) -> Coroutine[Any, Any, T]:
        """`await keyed.run(fn, *args)`: as `Policy.run`, with the key of these arguments."""
        return self.for_key(self.key(*args)).run(fn, *args)

    def call(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> T:
        """As `Policy.call`, with the key of these arguments."""
        return self.for_key(self.key(*args)).call(fn, *args)

    def __call__(self, fn: Callable[P, T]) -> Callable[P, T]:
        """Decorates as `Policy` does; each call is under the policy of its key."""
        self.policy(fn)  # refuses what cannot be decorated

        form = form_of(fn)
        if form == "async generator":

            @wraps(fn)
            def keyed_stream(*args: P.args, **kwargs: P.kwargs) -> Any:
                return self.for_key(self.key(*args, **kwargs))(fn)(*args, **kwargs)

            return keyed_stream

        if form == "async":

            @wraps(fn)
            async def keyed_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                run: Any = self.for_key(self.key(*args, **kwargs)).run
                return await run(fn, *args, **kwargs)

            return cast(Callable[P, T], keyed_async)

        @wraps(fn)
        def keyed_plain(*args: P.args, **kwargs: P.kwargs) -> T:
            call: Any = self.for_key(self.key(*args, **kwargs)).call
            return cast(T, call(fn, *args, **kwargs))

        return keyed_plain

    def __repr__(self) -> str:
        return f"<{self.policy!r} keyed, {len(self._known)} of {self._max_keys} keys>"
