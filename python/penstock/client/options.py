"""What each call may be given, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

__all__ = ("CallOptions", "SendOptions")


class CallOptions(TypedDict, total=False):
    """For every method.

    `params` go into the query; `headers` are added to the client's; `timeout` bounds this call, in
    seconds, with all its attempts, within what the policy allows.
    """

    params: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    timeout: float | None


class SendOptions(CallOptions, total=False):
    """For methods with a body.

    `json` is written as JSON, `content` sent as it is. `idempotency_key` is sent in the header
    Idempotency-Key, and makes a POST or PATCH safe to send twice, if the service knows it; True
    makes one up, the same for all attempts of this call.
    """

    json: Any
    content: bytes | None
    idempotency_key: str | bool | None
