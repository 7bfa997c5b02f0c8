"""The blocking view of a client, for threads: Django, Flask, scripts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio.from_thread
from anyio.from_thread import BlockingPortal

from penstock._loops import current_hub
from penstock.errors import Closed, Misuse

if TYPE_CHECKING:
    import httpx2

    from .client import ServiceClient

__all__ = ("SyncServiceClient",)

T = TypeVar("T")


class SyncServiceClient:
    """What `client.sync` is: `with client.sync as users:`, with blocking methods of the same names.

    Calls run on an event loop of their own, on a thread that lives as long as the block. Any
    thread may call; refused with Misuse on an event loop's thread. Ctrl-C ends a call as
    cancellation does.
    """

    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self._portal: BlockingPortal | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        _refuse_on_a_loop()
        with ExitStack() as stack:
            portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self._client))
            self._stack = stack.pop_all()
        self._portal = portal
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal = None
        self._stack.__exit__(kind, error, trace)

    def request(self, method: str, path: str, *, into: Any = None, **more: Any) -> Any:
        """As `ServiceClient.request`."""
        return self._wait(partial(self._client.request, method, path, into=into, **more))

    def get(self, path: str, *, into: Any = None, **more: Any) -> Any:
        """As `ServiceClient.get`."""
        return self.request("GET", path, into=into, **more)

    def put(self, path: str, *, into: Any = None, **more: Any) -> Any:
        """As `ServiceClient.put`."""
        return self.request("PUT", path, into=into, **more)

    def post(self, path: str, *, into: Any = None, **more: Any) -> Any:
        """As `ServiceClient.post`."""
        return self.request("POST", path, into=into, **more)

    def patch(self, path: str, *, into: Any = None, **more: Any) -> Any:
        """As `ServiceClient.patch`."""
        return self.request("PATCH", path, into=into, **more)

    def delete(self, path: str, *, into: Any = None, **more: Any) -> Any:
        """As `ServiceClient.delete`."""
        return self.request("DELETE", path, into=into, **more)

    def pages(
        self,
        path: str,
        *,
        into: Any = None,
        params: Mapping[str, Any] | None = None,
        next_page: Callable[[Any, httpx2.Response], str | Mapping[str, Any] | None] | None = None,
        **more: Any,
    ) -> Iterator[Any]:
        """As `ServiceClient.pages`."""
        pages = self._client.pages(path, into=into, params=params, next_page=next_page, **more)
        try:
            while True:
                page = self._wait(partial(anext, pages, self))
                if page is self:
                    return
                yield page
        finally:
            self._wait(pages.aclose)

    def _wait(self, fn: Callable[[], Coroutine[Any, Any, T]]) -> T:
        _refuse_on_a_loop()
        if self._portal is None:
            raise Closed(f"{self._client!r} is not open", hint="use it inside `with client.sync:`")

        async def run() -> T:
            return await fn()

        future = self._portal.start_task_soon(run)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


def _refuse_on_a_loop() -> None:
    try:
        current_hub()
    except Misuse:
        return
    raise Misuse(
        "a blocking call on an event loop's thread would stop the loop",
        hint="use the ServiceClient itself there; `.sync` is for threads",
    )
