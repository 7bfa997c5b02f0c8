"""The middleware for a `ClientSession` of aiohttp."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any

import aiohttp

from penstock.errors import Misuse
from penstock.resilience.strategy import check_count

from .aiohttp_family import FailedStatus
from .clients import also
from .course import REFUSALS, Opened, check_policy
from .repeats import IDEMPOTENT_METHODS
from .statuses import check_statuses

if TYPE_CHECKING:
    from penstock.resilience.policy import Policy

__all__ = ("aiohttp_middleware",)

_Handler = Callable[[Any], Awaitable[Any]]


def aiohttp_middleware(
    policy: Policy, key: Callable[[Any], Hashable] | None, statuses: object, max_body: int
) -> Callable[[Any, _Handler], Awaitable[Any]]:
    """See `Policy.aiohttp_middleware`."""
    check_policy(policy)
    check_count("aiohttp_middleware", "max_body", max_body, 0)
    failures = check_statuses(policy.name, statuses)
    keyed = policy.by_origin if key is None else policy.keyed(key)
    fixed = (aiohttp.BytesPayload, aiohttp.StringPayload, aiohttp.JsonPayload)

    def is_repeatable(request: Any) -> bool:
        if request.method not in IDEMPOTENT_METHODS and "Idempotency-Key" not in request.headers:
            return False
        return not request.body or isinstance(request.body, (bytes, *fixed))

    async def attempt(request: Any, handler: _Handler, opened: Opened) -> Any:
        response = await handler(request)
        length = response.content_length
        if length is not None and length <= max_body:
            await response.read()
        elif response.status in failures:
            response.close()  # nobody knows how long it is
        elif not opened.add(response):
            response.close()
        if response.status in failures:
            raise FailedStatus(response)
        return response

    async def middleware(request: Any, handler: _Handler) -> Any:
        chosen = keyed.for_key(keyed.key(request))
        if not is_repeatable(request):
            chosen = chosen.once
        opened = Opened()
        response: Any = None
        try:
            response = await chosen.run(attempt, request, handler, opened)
        except FailedStatus as failed:
            response = failed.answer
        except REFUSALS as error:
            also(error, "aiohttp")
            raise
        finally:
            for each in opened.end(response):
                each.close()
        if not isinstance(response, aiohttp.ClientResponse):
            raise Misuse(
                f"policy {policy.name!r}: the fallback answered with {type(response).__name__}",
                hint="below a session it has to be an aiohttp.ClientResponse",
            )
        return response

    return middleware
