"""Asks the refund desk, over HTTP: again whenever it is in doubt, under the same key."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from penstock import ServiceClient
from penstock.client import StatusError
from penstock.errors import PenstockError
from penstock.resilience import AttemptTimeout, Deadline, Policy, Retry, Timeout

__all__ = ("DeskBusy", "DeskClient", "DeskError", "DeskFailed", "RefundDeclined")

# While it is away, being started again, it is asked at least this often; seconds.
_PAUSE = 0.01
_LONGEST_PAUSE = 0.5
_CONNECTIONS = 64


class DeskError(Exception):
    """Nothing is known of the refund: ask again, with the same key."""


class DeskBusy(DeskError):
    """The desk has no time; nothing happened. Ask again, same key."""


class DeskFailed(DeskError):
    """The desk could not write it down, so it has not paid."""


class RefundDeclined(Exception):
    """The desk does not pay, however often it is asked."""


class DeskClient:
    """An async context manager; belongs to one event loop, whose tasks share it.

    `patience` is for how many seconds the desk may be away before those who wait get a DeskError.
    A call that is cancelled may have been carried out, or still be: ask again with its key.
    """

    def __init__(self, socket: Path, *, patience: float = 10.0) -> None:
        self._socket = socket
        policy = Policy(
            "refund-desk",
            Deadline(patience),
            Retry(
                attempts=1000,
                delay=_PAUSE,
                max_delay=_LONGEST_PAUSE,
                # Safe, as each request has a key: refused, cut off, or without an answer.
                on=(httpx2.TransportError, AttemptTimeout, StatusError),
            ),
            Timeout(patience / 2),
        )
        self._desk = ServiceClient(
            "http://refund-desk",
            policy=policy,
            uds=str(socket),
            max_connections=_CONNECTIONS,
            max_keepalive=_CONNECTIONS,
        )

    async def __aenter__(self) -> Self:
        await self._desk.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._desk.__aexit__(kind, error, traceback)

    async def refund(self, key: str, case: str, cents: int) -> None:
        """Have `cents` paid for `case`, once for each `key`.

        Raises RefundDeclined, DeskBusy, and DeskError.
        """
        await self._ask("/refunds", key, case, cents)

    async def reverse(self, key: str, case: str, cents: int) -> None:
        """Have a refund of `cents` taken back, once for each `key`; nothing if there was none.

        Raises DeskBusy, and DeskError.
        """
        await self._ask("/reversals", key, case, cents)

    async def _ask(self, path: str, key: str, case: str, cents: int) -> None:
        body = {"case": case, "cents": cents}
        try:
            await self._desk.post(path, json=body, idempotency_key=key)
        except StatusError as error:
            said: dict[str, Any] = error.problem or {}
            match said.get("answer"):
                case "busy":
                    raise DeskBusy("the refund desk is busy") from error
                case "declined":
                    raise RefundDeclined(f"the refund desk does not pay for {case}") from error
                case _:
                    why = said.get("why", str(error))
                    raise DeskFailed(f"the refund desk could not do it: {why}") from error
        except (httpx2.HTTPError, PenstockError) as error:
            raise DeskError(f"the refund desk at {self._socket} does not answer") from error
