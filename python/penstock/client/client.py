"""`ServiceClient`: another service over HTTP, as typed calls under a policy."""

from __future__ import annotations

import math
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast, overload

import httpx2

from penstock import tracing
from penstock._native import __version__
from penstock.errors import Closed, Misuse
from penstock.resilience import Deadline, Policy, Timeout
from penstock.resilience.cache import CachePart
from penstock.resilience.strategy import Part, check_number
from penstock.resilience.transports import (
    FAILED_STATUSES,
    IDEMPOTENT_METHODS,
    also,
    origin_of,
)
from penstock.resilience.transports.course import REFUSALS

from .address import checked_base, checked_headers, checked_path, checked_pool
from .bodies import decoded, decoder, encoded
from .call import Call
from .context import sent
from .errors import StatusError, status_error
from .options import CallOptions, SendOptions
from .sync import SyncServiceClient
from .unix import UnixTransport

__all__ = ("ServiceClient",)

T = TypeVar("T")

_UNSET: Any = object()
_tracer = tracing.Tracer("penstock.client")

NextPage = Callable[[Any, httpx2.Response], str | Mapping[str, Any] | None]
"""Of a page and its response: the address of the next one, its parameters, or None."""


class ServiceClient:
    """Calls to one service: JSON in and out, under a policy, with what a call takes along.

    An async context manager: entering opens the pool, leaving it closes all connections. Made once
    for a service, it belongs to one event loop, whose tasks share it; asyncio, uvloop and trio.
    For threads there is `.sync`. A client may be a part of a `Service`.

    Only what is safe is tried again or hedged: GET, HEAD, OPTIONS, PUT and DELETE, what has an
    `idempotency_key`, and what never reached the service (no connection, or a 429). Retry-After is
    heeded. Only GET is answered by a `Cache` of the policy; its stale answers outlive the service.
    Failures that the breaker counts are errors of the network, 408, 425, 429, 500, 502 to 504 and
    520 to 530.

    Sent along are the trace (traceparent, tracestate, baggage), the correlation id
    (X-Correlation-ID), and the milliseconds that an attempt may still take
    (X-Request-Deadline-Ms); on the other side `received(headers)` takes them over. A call made
    inside a recorded span is a span of its own.

    Args:
        base_url: "https://user-service" or with a path, which paths are appended to.
        name: in errors, spans and metrics; by default the policy's, else the host.
        policy: by default `Policy.standard`. Its states are kept by origin: clients and transports
            of one policy share them, and `client.policy` is the one for this service.
        headers: sent with every request.
        auth: as for httpx2: a pair of user and password, or an `httpx2.Auth`.
        verify: as for httpx2: an `ssl.SSLContext`, or False.
        uds: path of a unix socket to connect to in place of the host.
        max_connections: at once; further calls wait in the pool.
        max_keepalive: idle connections that are kept.
        http: an `httpx2.AsyncClient` of yours in place of all of these; it is not closed. Its own
            timeouts hold.

    Raises Misuse for what cannot work. Where the policy bounds time, httpx2's timeouts are off.

    Example:
        >>> users = ServiceClient("https://user-service", policy=Policy("users", Deadline(2.0)))
        >>> users.policy
        Policy('users', Deadline)

    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str | None = None,
        policy: Policy | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Any = None,
        verify: Any = True,
        uds: str | None = None,
        max_connections: int = 100,
        max_keepalive: int = 20,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self.base_url = checked_base(base_url)
        if policy is not None and not isinstance(policy, Policy):
            raise Misuse(
                f"ServiceClient({base_url!r}): policy={policy!r} is no Policy",
                hint="it is kept apart by origin by itself; give the Policy, not policy.keyed(...)",
            )
        if http is not None and not isinstance(http, httpx2.AsyncClient):
            raise Misuse(f"ServiceClient({base_url!r}): http={http!r} is no httpx2.AsyncClient")
        self.name: str = name or (policy.name if policy is not None else self.base_url.host)
        self.origin = origin_of(httpx2.Request("GET", self.base_url))
        whole = Policy.standard(self.name) if policy is None else policy
        self.policy: Policy = whole.by_origin.for_key(self.origin)
        """The policy for this service's origin: its circuit, its settings."""
        uncached = self.policy.changed(_no_cache)
        # By whether a call may be sent twice, and whether it may be answered from memory.
        self._runs: dict[tuple[bool, bool], Any] = {
            (True, True): self.policy.run,
            (True, False): uncached.run,
            (False, False): uncached.once.run,
        }
        self._fixed = checked_headers(self.name, headers)
        self._auth = auth
        self._verify = verify
        self._uds = uds
        self._limits = checked_pool(self.name, max_connections, max_keepalive)
        self._given = http
        bounds = [
            each.seconds for each in self.policy.strategies if isinstance(each, (Timeout, Deadline))
        ]
        self._bound = min(bounds, default=math.inf)
        self._http: httpx2.AsyncClient | None = None
        self._was_open = False
        self._attempt_bound = self._attempt

    # -- lifetime ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._http is not None:
            raise Misuse(f"{self!r} is open already", hint="one block, shared by all tasks")
        if self._given is not None:
            self._http = self._given
        else:
            transport = (
                httpx2.AsyncHTTPTransport(verify=self._verify, limits=self._limits)
                if self._uds is None
                else UnixTransport(self._uds, self._verify, self._limits)
            )
            self._http = httpx2.AsyncClient(
                transport=transport,
                auth=self._auth,
                timeout=5.0 if self._bound == math.inf else None,
                headers={
                    "User-Agent": f"penstock/{__version__}",
                    "Accept": "application/json",
                    **self._fixed,
                },
            )
        self._was_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        http, self._http = self._http, None
        if http is not None and http is not self._given:
            await http.aclose()

    @property
    def http(self) -> httpx2.AsyncClient:
        """The client below, for what this one does not do; past the policy."""
        if self._http is None:
            what = "was closed" if self._was_open else "has not been opened"
            raise Closed(f"{self!r} {what}", hint="use it inside `async with client:`")
        return self._http

    @property
    def sync(self) -> SyncServiceClient:
        """The blocking view, for threads: `with client.sync as users:`."""
        return SyncServiceClient(self)

    def __repr__(self) -> str:
        return f"<ServiceClient {self.name!r} of {str(self.base_url).rstrip('/')}>"

    # -- calls ---------------------------------------------------------------------------------

    @overload
    async def request(
        self, method: str, path: str, *, into: type[T], **options: Unpack[SendOptions]
    ) -> T: ...
    @overload
    async def request(
        self, method: str, path: str, *, into: None = None, **options: Unpack[SendOptions]
    ) -> Any: ...
    async def request(
        self, method: str, path: str, *, into: Any = None, **options: Unpack[SendOptions]
    ) -> Any:
        """The answer's body as `into`; what `get`, `post` and the others call.

        `into` is a type of msgspec, dataclasses or pydantic, bytes for the body as it is, or
        `httpx2.Response` for the response, read; without it plain JSON, None for an empty body.
        See `SendOptions` for the rest.

        Raises StatusError for a status that is no success (`NotFound`, `Unavailable` and so on),
        UnexpectedBody for a body that is not `into`, errors of httpx2 for what the network does,
        `CircuitOpen`, `DeadlineExceeded` and so on of the policy, which are errors of httpx2 as
        well, and Misuse. A cancellation ends the attempt, and leaves no connection behind.
        """
        decoder(into)  # raises before anything is sent
        call = self._call(method, path, options)
        response = await self._response(call, options)
        return decoded(self.name, response, into) if _is_answer(response) else response

    @overload
    async def get(self, path: str, *, into: type[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def get(self, path: str, *, into: None = None, **options: Unpack[CallOptions]) -> Any: ...
    async def get(self, path: str, *, into: Any = None, **options: Unpack[CallOptions]) -> Any:
        """GET: tried again, hedged and cached as the policy says. See `request`."""
        return await self.request("GET", path, into=into, **cast(SendOptions, options))

    @overload
    async def put(self, path: str, *, into: type[T], **options: Unpack[SendOptions]) -> T: ...
    @overload
    async def put(self, path: str, *, into: None = None, **options: Unpack[SendOptions]) -> Any: ...
    async def put(self, path: str, *, into: Any = None, **options: Unpack[SendOptions]) -> Any:
        """PUT: may be sent twice. See `request`."""
        return await self.request("PUT", path, into=into, **options)

    @overload
    async def post(self, path: str, *, into: type[T], **options: Unpack[SendOptions]) -> T: ...
    @overload
    async def post(
        self, path: str, *, into: None = None, **options: Unpack[SendOptions]
    ) -> Any: ...
    async def post(self, path: str, *, into: Any = None, **options: Unpack[SendOptions]) -> Any:
        """POST: sent once, but with an `idempotency_key`. See `request`."""
        return await self.request("POST", path, into=into, **options)

    @overload
    async def patch(self, path: str, *, into: type[T], **options: Unpack[SendOptions]) -> T: ...
    @overload
    async def patch(
        self, path: str, *, into: None = None, **options: Unpack[SendOptions]
    ) -> Any: ...
    async def patch(self, path: str, *, into: Any = None, **options: Unpack[SendOptions]) -> Any:
        """PATCH: sent once, but with an `idempotency_key`. See `request`."""
        return await self.request("PATCH", path, into=into, **options)

    @overload
    async def delete(self, path: str, *, into: type[T], **options: Unpack[SendOptions]) -> T: ...
    @overload
    async def delete(
        self, path: str, *, into: None = None, **options: Unpack[SendOptions]
    ) -> Any: ...
    async def delete(self, path: str, *, into: Any = None, **options: Unpack[SendOptions]) -> Any:
        """DELETE: may be sent twice. See `request`."""
        return await self.request("DELETE", path, into=into, **options)

    @overload
    def pages(
        self,
        path: str,
        *,
        into: type[T],
        next_page: NextPage | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[T]: ...
    @overload
    def pages(
        self,
        path: str,
        *,
        into: None = None,
        next_page: NextPage | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Any]: ...
    async def pages(
        self,
        path: str,
        *,
        into: Any = None,
        next_page: NextPage | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Any]:
        """Page after page: `async for page in users.pages("/users", into=list[User]):`.

        The next one is where the header Link says (`rel="next"`), or what `next_page` makes of a
        page and its response: an address, parameters in place of the former ones, or None at the
        end. Each page is a call of its own, with its own deadline. An address of another origin,
        which would be handed this one's credentials, raises Misuse, as does one that leads back.
        """
        given = cast(SendOptions, {**options})
        seen: set[Call] = set()
        while True:
            call = self._call("GET", path, given)
            if call in seen:
                raise Misuse(f"{self.name}: pages of {path} lead back to where they were")
            seen.add(call)
            response = await self.request("GET", path, into=httpx2.Response, **given)
            page = decoded(self.name, response, into)
            yield page
            if next_page is None:
                following: Any = response.links.get("next", {}).get("url")
            else:
                following = next_page(page, response)
            if not following:
                return
            if isinstance(following, str):
                path = str(response.url.join(following))
                given.pop("params", None)
            else:
                given["params"] = following

    # -- one call ------------------------------------------------------------------------------

    def _call(self, method: str, path: str, options: SendOptions) -> Call:
        url = checked_path(self.name, self.base_url, self.origin, path)
        headers = options.get("headers")
        made: dict[str, str] = {} if headers is None else checked_headers(self.name, headers)
        content = options.get("content")
        value = options.get("json", _UNSET)
        if value is not _UNSET:
            if content is not None:
                raise Misuse(f"{self.name}: json= and content= are both given", hint="one body")
            content = encoded(self.name, value)
            made.setdefault("Content-Type", "application/json")
        elif content is not None and not isinstance(content, bytes):
            raise Misuse(
                f"{self.name}: content={type(content).__name__} is not bytes",
                hint="json= for values; what comes in pieces goes through client.http",
            )
        if key := options.get("idempotency_key"):
            made["Idempotency-Key"] = uuid.uuid4().hex if key is True else key
        return Call(method, url, options.get("params"), made, content)

    async def _response(self, call: Call, options: SendOptions) -> Any:
        method = call.method
        is_repeatable = method in IDEMPOTENT_METHODS or "Idempotency-Key" in call.headers
        run = self._runs[is_repeatable, is_repeatable and method == "GET"]
        if (timeout := options.get("timeout")) is not None:
            run = partial(_within(self.name, timeout).run, run)
        span = tracing.current_span()
        try:
            if span is None or not span.is_recording:
                response = await run(self._attempt_bound, call)
            else:
                response = await self._traced(run, call)
        except REFUSALS as error:
            if not isinstance(error, StatusError):
                also(error, "httpx2", httpx2.Request(method, call.url))
            raise
        if _is_answer(response) and not response.is_success:
            raise status_error(self.name, response)
        return response

    async def _traced(self, run: Callable[..., Coroutine[Any, Any, Any]], call: Call) -> Any:
        fields = {"http.request.method": call.method, "url.full": call.url}
        with _tracer.span(f"{call.method} {self.name}", fields, kind="client") as span:
            response = await run(self._attempt_bound, call)
            if _is_answer(response):
                span.set_attribute("http.response.status_code", response.status_code)
            return response

    async def _attempt(self, call: Call) -> httpx2.Response:
        http = self.http
        headers = dict(call.headers)
        sent(headers, self._bound)
        request = http.build_request(
            call.method, call.url, params=call.params, headers=headers, content=call.content
        )
        response = await http.send(request)
        if response.status_code in FAILED_STATUSES:
            raise status_error(self.name, response)
        return response


def _is_answer(response: object) -> bool:
    # A fallback of the policy may have answered with anything.
    return isinstance(response, httpx2.Response)


def _no_cache(part: Part) -> Part | None:
    return None if isinstance(part, CachePart) else part


@lru_cache(maxsize=256)
def _within(name: str, seconds: float) -> Policy:
    check_number(name, "timeout", seconds, above=True)
    return Policy(name, Deadline(seconds))
