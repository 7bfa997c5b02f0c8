"""The blocking view of a client, for threads: Django, Flask, scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock._blocking import BlockingView

if TYPE_CHECKING:
    import httpx2

    from .client import ServiceClient

__all__ = ("SyncServiceClient",)


class SyncServiceClient(BlockingView):
    """What `client.sync` is: `with client.sync as users:`, with blocking methods of the same names.

    Calls run on an event loop of their own, on a thread that lives as long as the block. Any
    thread may call; refused with Misuse on an event loop's thread. Ctrl-C ends a call as
    cancellation does.
    """

    def __init__(self, client: ServiceClient) -> None:
        super().__init__(client)
        self._client = client

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
