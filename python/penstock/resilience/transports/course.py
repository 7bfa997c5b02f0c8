"""What transports of all kinds have in common: which policy, which answers are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from penstock.errors import Expired, Misuse, PenstockError, Rejected
from penstock.resilience.cache import Cache
from penstock.resilience.strategy import check_count

from .clients import also, family
from .repeats import is_repeatable
from .statuses import check_statuses

if TYPE_CHECKING:
    from penstock.resilience.keyed import KeyedPolicy
    from penstock.resilience.policy import Policy

__all__ = ("REFUSALS", "Course", "Opened", "check_policy")

REFUSALS = (Rejected, Expired)


class Opened:
    """The answers of one call whose bodies are still to come: all but one are closed at its end.

    An attempt that was left behind (a blocking one, or the loser of a hedge) may come with another
    one later.
    """

    def __init__(self) -> None:
        self._responses: list[Any] = []
        self._is_over = False
        self._lock = threading.Lock()

    def add(self, response: Any) -> bool:
        """False if the call is over: then nobody wants it any more."""
        with self._lock:
            if not self._is_over:
                self._responses.append(response)
            return not self._is_over

    def end(self, kept: Any) -> list[Any]:
        """Those that are to be closed."""
        with self._lock:
            self._is_over = True
            return [each for each in self._responses if each is not kept]

    def has(self, response: Any) -> bool:
        """Whether its body is still to come."""
        return any(each is response for each in self._responses)


def check_policy(policy: Policy) -> None:
    """Raises Misuse where a policy cannot be below a client."""
    if any(isinstance(each, Cache) for each in policy.strategies):
        raise Misuse(
            f"policy {policy.name!r}: Cache cannot remember a response, which is read once",
            hint="put it around the function that asks, or use ServiceClient, which reads first",
        )


class Course:
    """The way of a request through the policy of its origin, and what comes of it."""

    def __init__(
        self,
        policy: Policy,
        library: ModuleType,
        key: Callable[[Any], Hashable] | None,
        statuses: object,
        max_body: int,
    ) -> None:
        check_policy(policy)
        check_count("transport", "max_body", max_body, 0)
        if key is not None and not callable(key):
            raise Misuse(f"policy {policy.name!r}: key={key!r} is no function")
        self.name = policy.name
        self.library = library
        self.statuses = check_statuses(policy.name, statuses)
        self.max_body = max_body
        self.keyed: KeyedPolicy = policy.by_origin if key is None else policy.keyed(key)
        self.family = family(library.__name__)
        self.failed_status: type[Any] = self.family.FailedStatus

    def policy(self, request: Any) -> Policy:
        """The one for where the request goes, or that one's for what may not be sent twice."""
        keyed = self.keyed
        policy = keyed.for_key(keyed.key(request))
        return policy if is_repeatable(request) else policy.once

    def is_whole(self, response: Any, request: Any) -> bool:
        """Whether the body is part of the attempt: what is known to be short, and failures."""
        if response.status_code in self.statuses or request.method == "HEAD":
            return True
        length = response.headers.get("content-length", "")
        is_number = length.isascii() and length.isdigit() and len(length) < 20
        return is_number and int(length) <= self.max_body

    def check_status(self, response: Any, request: Any) -> None:
        """Raises the answer as an error if it is a failure."""
        if response.status_code in self.statuses:
            response.request = request
            raise self.failed_status(
                f"{response.status_code} for {request.method} {request.url}",
                request=request,
                response=response,
            )

    def check_answer(self, response: Any) -> Any:
        """What a fallback has answered with has to be a response. Raises Misuse."""
        if not isinstance(response, self.library.Response):
            raise Misuse(
                f"policy {self.name!r}: the fallback answered with {type(response).__name__}",
                hint=f"below a client it has to be a {self.library.__name__}.Response",
            )
        return response

    def also(self, error: PenstockError, request: Any) -> None:
        """Makes a refusal an error of the client, too."""
        also(error, self.library.__name__, request)

    def too_long(self, response: Any, size: int) -> Exception:
        """What reading the rest of a failure's body raises."""
        error: Exception = self.library.ReadError(
            f"the body of a {response.status_code} was left unread after {size} bytes, "
            f"more than max_body={self.max_body}"
        )
        return error
