"""`LegacyAdapter`: an old call behind the types and errors of the new world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from penstock.errors import Misuse, PenstockError
from penstock.resilience import Policy
from penstock.resilience.form import form_of, name_of

from .errors import Untranslated
from .in_threads import to_async
from .shown import bounded

__all__ = ("LegacyAdapter",)

Req = TypeVar("Req")
Resp = TypeVar("Resp")
OldReq = TypeVar("OldReq")
OldResp = TypeVar("OldResp")

Errors: TypeAlias = Mapping[type[Exception], Callable[[Any], Exception]]
"""What each class of the old system's errors becomes: a class, or a function of the error."""

Where: TypeAlias = Literal["thread", "loop"]


class LegacyAdapter(Generic[Req, Resp, OldReq, OldResp]):
    """An old system's call in the new one's terms: `await adapter(request)` gives a response.

    The layer that keeps an old model from leaking: requests, responses and errors are translated
    here, once, and a policy is around it all. Give it the translations, or write a subclass with
    the methods `request`, `response` and `error`. For a single call whose types are right already
    take a `Policy`; to move calls from an old implementation to a new one, a `Strangler`.

    An exception of the old call is translated by the nearest of its classes in `errors`; what is in
    none of them, and a response that cannot be translated, is raised as `Untranslated`, with the
    original as its cause. penstock's own errors pass as they are, and so does what `requests`
    raises: that is the caller's, and nothing has been called yet. The policy is around the call and
    the translation of what came back, so retries, breakers and fallbacks know the new terms only.

    Args:
        call: the old function, of one argument: plain, async, or made so by `promisify`.
        name: for messages; by default the function's.
        requests: makes the old request of a new one.
        responses: makes the new response of an old one.
        errors: what each class of old errors becomes: a class, which is given the old message, or
            a function, which is given the old error.
        policy: around each call.
        where: where a plain function runs: in a "thread" (the default), or on the "loop", for one
            that never blocks.

    Raises Misuse for what cannot work, when it is made. Any loop and thread may call. Cancellation
    is as `to_async` has it: a thread that runs is waited for. Source: the anti-corruption layer of
    Evans, Domain-Driven Design.

    Example:
        >>> import asyncio
        >>> def old_price(article):
        ...     return {"A1": "12,50"}[article]
        >>> prices = LegacyAdapter(
        ...     old_price,
        ...     requests=str.upper,
        ...     responses=lambda text: float(text.replace(",", ".")),
        ...     errors={KeyError: lambda error: LookupError(f"no article {error}")},
        ... )
        >>> asyncio.run(prices("a1"))
        12.5

    """

    def __init__(
        self,
        call: Callable[[OldReq], OldResp] | Callable[[OldReq], Awaitable[OldResp]],
        /,
        *,
        name: str | None = None,
        requests: Callable[[Req], OldReq] | None = None,
        responses: Callable[[OldResp], Resp] | None = None,
        errors: Errors | None = None,
        policy: Policy | None = None,
        where: Where | None = None,
    ) -> None:
        if not callable(call):
            raise Misuse(f"LegacyAdapter: {call!r} is no function")
        self.name = name or name_of(call)
        form = form_of(call)
        if "generator" in form:
            raise Misuse(f"{self.name}: a generator function has no one response")
        if where is not None and (form == "async" or where not in {"thread", "loop"}):
            hint = "an async function runs on the loop" if form == "async" else "thread, or loop"
            raise Misuse(f"{self.name}: where={where!r}", hint=hint)
        for what, given in (("request", requests), ("response", responses)):
            if given is not None and (not callable(given) or form_of(given) != "plain"):
                raise Misuse(f"{self.name}: {what}s={given!r} is no plain function")
            if given is None and getattr(type(self), what) is getattr(LegacyAdapter, what):
                raise Misuse(
                    f"{self.name}: nothing translates a {what}",
                    hint=f"{what}s=…, or a subclass with a method {what}(); as it is: lambda x: x",
                )
        if policy is not None and not isinstance(policy, Policy):
            raise Misuse(f"{self.name}: policy={policy!r} is no Policy")
        self._requests = requests
        self._responses = responses
        self._errors = _checked_errors(self.name, errors)
        self._policy = policy
        self._old: Callable[[OldReq], Any] = call
        self._is_async = form == "async"
        if self._is_async:
            self._start: Callable[[OldReq], Awaitable[Any]] = cast(Any, call)
        elif where == "loop":
            self._start = self._on_loop
        else:
            self._start = to_async(call)

    # -- what a subclass may say ----------------------------------------------------------------

    def request(self, request: Req, /) -> OldReq:
        """The old request for a new one; what it raises goes to the caller as it is."""
        assert self._requests is not None
        return self._requests(request)

    def response(self, response: OldResp, /) -> Resp:
        """The new response for an old one."""
        assert self._responses is not None
        return self._responses(response)

    def error(self, error: Exception, /) -> Exception | None:
        """The new error for an old one; None if there is no translation."""
        for kind in type(error).__mro__:
            make = self._errors.get(kind)
            if make is not None:
                return make(str(error)) if isinstance(make, type) else make(error)
        return None

    # -- calling --------------------------------------------------------------------------------

    async def __call__(self, request: Req, /) -> Resp:
        """Awaits the response. Raises what the errors are translated to, or Untranslated."""
        old = self.request(request)
        if self._policy is None:
            return await self._attempt(old)
        return await self._policy.run(self._attempt, old)

    def call(self, request: Req, /) -> Resp:
        """The same for threads, where `call` is a plain function: it runs right here."""
        if self._is_async:
            raise Misuse(
                f"{self.name} is async: a thread cannot call it",
                hint="to_sync(adapter) waits for it on the loop that owns it",
            )
        old = self.request(request)
        if self._policy is None:
            return self._attempt_blocking(old)
        return self._policy.call(self._attempt_blocking, old)

    async def _attempt(self, request: OldReq) -> Resp:
        try:
            answer: OldResp = await self._start(request)
        except PenstockError:
            raise
        except Exception as error:
            raise self._translated(error) from error
        return self._answered(answer)

    def _attempt_blocking(self, request: OldReq) -> Resp:
        try:
            answer: OldResp = self._old(request)
        except PenstockError:
            raise
        except Exception as error:
            raise self._translated(error) from error
        return self._answered(answer)

    async def _on_loop(self, request: OldReq) -> Any:
        return self._old(request)

    def _answered(self, answer: OldResp) -> Resp:
        try:
            return self.response(answer)
        except Exception as error:
            raise Untranslated(
                f"{self.name}: the old system answered {bounded(answer)}, which has no "
                f"translation: {bounded(error)}",
                hint="see the cause; mend responses=, or what the old system sends",
            ) from error

    def _translated(self, error: Exception) -> Exception:
        made: object = None
        try:
            made = self.error(error)
        except Exception as fault:
            error.add_note(f"{self.name}: its translation failed: {bounded(fault)}")
        if isinstance(made, Exception):
            return made
        said = "" if made is None else f"; its translation gave {bounded(made)}"
        return Untranslated(
            f"{self.name}: the old system raised {bounded(error)}, which has no translation{said}",
            hint=f"add {type(error).__name__} to errors=; the original is the cause",
        )

    def __repr__(self) -> str:
        policy = "" if self._policy is None else f", {self._policy!r}"
        return f"<{type(self).__name__} of {self.name}{policy}>"


def _checked_errors(name: str, errors: Errors | None) -> dict[type, Callable[[Any], Exception]]:
    if errors is not None and not isinstance(errors, Mapping):
        raise Misuse(f"{name}: errors={errors!r} is no mapping", hint="{OldError: NewError}")
    for kind, make in (errors or {}).items():
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise Misuse(
                f"{name}: errors has {kind!r}, which is no class of exceptions",
                hint="cancellations and exits are no errors, and pass through",
            )
        if not callable(make) or (isinstance(make, type) and not issubclass(make, Exception)):
            raise Misuse(
                f"{name}: errors has {make!r} for {kind.__name__}",
                hint="a class of exceptions, or a function that returns one",
            )
    return dict(errors or {})
