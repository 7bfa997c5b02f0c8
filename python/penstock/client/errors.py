"""What an answer becomes that is none: errors that keep request and response.

All of them are `httpx2.HTTPStatusError` as well (`UnexpectedBody` a `DecodingError`), so code that
caught those goes on working. They pickle.
"""

from __future__ import annotations

from typing import Any

import httpx2

from penstock.errors import Conflict, PenstockError

__all__ = (
    "CallerError",
    "Forbidden",
    "NotFound",
    "ServerError",
    "StateConflict",
    "StatusError",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnexpectedBody",
    "status_error",
)

_LONGEST = 200


class StatusError(PenstockError, httpx2.HTTPStatusError):
    """The service answered with a status that is no success: 3xx, 4xx or 5xx."""

    code = "status"

    def __init__(self, message: str, *, request: httpx2.Request, response: httpx2.Response) -> None:
        httpx2.HTTPStatusError.__init__(self, message, request=request, response=response)
        self.hint = None

    @property
    def status(self) -> int:
        """The status code."""
        return self.response.status_code

    @property
    def problem(self) -> dict[str, Any] | None:
        """The body if it is a JSON object, such as the problem details of RFC 9457; else None."""
        try:
            body = self.response.json()
        except ValueError:
            return None
        return body if isinstance(body, dict) else None


class CallerError(StatusError):
    """4xx: the request cannot be served; it would be the same again."""

    code = "status-caller"


class Unauthorized(CallerError):
    """401: who asks is not known."""

    code = "status-unauthorized"


class Forbidden(CallerError):
    """403: who asks may not."""

    code = "status-forbidden"


class NotFound(CallerError):
    """404 or 410: there is none."""

    code = "status-not-found"


class StateConflict(CallerError, Conflict):
    """409 or 412: the state is another one than was assumed; also a `Conflict`."""

    code = "status-conflict"


class TooManyRequests(CallerError):
    """429, after the last attempt, or asked to wait longer than the policy does."""

    code = "status-too-many-requests"


class ServerError(StatusError):
    """5xx, after the last attempt."""

    code = "status-server"


class Unavailable(ServerError):
    """503, after the last attempt."""

    code = "status-unavailable"


class UnexpectedBody(PenstockError, httpx2.DecodingError):
    """A success, whose body is not what `into` says."""

    code = "unexpected-body"

    def __init__(self, message: str, *, request: httpx2.Request, response: httpx2.Response) -> None:
        httpx2.DecodingError.__init__(self, message, request=request)
        self.hint = None
        self.response = response


_BY_STATUS: dict[int, type[StatusError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: StateConflict,
    410: NotFound,
    412: StateConflict,
    429: TooManyRequests,
    503: Unavailable,
}
_BY_HUNDRED: dict[int, type[StatusError]] = {4: CallerError, 5: ServerError}


def status_error(name: str, response: httpx2.Response) -> StatusError:
    """The error for a response that is no success."""
    status = response.status_code
    kind = _BY_STATUS.get(status) or _BY_HUNDRED.get(status // 100, StatusError)
    request = response.request
    error = kind(
        f"{name}: {request.method} {request.url} answered {status} {response.reason_phrase}",
        request=request,
        response=response,
    )
    if said := _said(error):
        error.add_note(f"{name}: {said}")
    return error


def _said(error: StatusError) -> str:
    problem = error.problem
    if problem is not None:
        words = [problem.get(key) for key in ("title", "detail", "error", "message")]
        text = ": ".join(word for word in words if isinstance(word, str))
    else:
        text = error.response.text if error.response.content[:1] not in {b"<", b""} else ""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
