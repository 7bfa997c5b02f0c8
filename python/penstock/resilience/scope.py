"""How far a state reaches: this process, all processes of this machine, or several machines."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from penstock.errors import Full, Misuse

if TYPE_CHECKING:
    from .strategy import Place

__all__ = ("check_scope", "exchange_label", "exchange_module", "shared_state", "shown_scope")

T = TypeVar("T")

_SHARED_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SCHEMES = {"redis", "rediss", "unix"}


def check_scope(strategy: str, scope: object, *, alone: str | None = None) -> None:
    """Raises Misuse for a scope there is not; `alone` says why a strategy has none over Redis."""
    if isinstance(scope, str) and scope in {"process", "machine"}:
        return
    if not isinstance(scope, str) or urlsplit(scope).scheme not in _SCHEMES:
        raise Misuse(
            f"{strategy}: scope={shown_scope(scope)!r} is unknown",
            hint='"process", "machine", or the address of a Redis: "redis://host:6379/0"',
        )
    if alone is not None:
        raise Misuse(f"no redis scope for {strategy}", hint=alone)
    if exchange_label(scope) is None:
        raise Misuse(
            f"{strategy}: scope={shown_scope(scope)!r} is no address of a Redis",
            hint="redis://[user:password@]host[:port][/database], rediss:// for TLS, unix:///path",
        )
    if importlib.util.find_spec("redis") is None:
        raise Misuse(
            f"{strategy}: scope={shown_scope(scope)!r} needs the redis client",
            hint="pip install 'penstock[redis]'",
        )


def exchange_label(scope: str) -> str | None:
    """Which Redis a scope names, without credentials; None for one that names none."""
    parts = urlsplit(scope)
    if parts.scheme not in _SCHEMES:
        return None
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    path = parts.path.strip("/")
    if parts.scheme == "unix":
        return f"unix:/{path}" if path and not parts.fragment else None
    if not host or parts.fragment or not (path.isdecimal() or not path):
        return None
    return f"{host}:{port or 6379}/{path or 0}"


def shown_scope(scope: object) -> object:
    """A scope as it may be shown: without a password."""
    if not isinstance(scope, str) or "@" not in scope:
        return scope
    return re.sub(r"//[^/]*@", "//***@", scope)


def exchange_module() -> Any:
    """What talks to Redis, loaded on first use."""
    return importlib.import_module("penstock.engines.redis")


def shared_state(scope: str, place: Place, make: Callable[..., T]) -> T:
    """A native state of one key, which `make` makes of `name=` and `key=`.

    Where the machine's table has no room for one more key, its state is this process's own, and
    that is an event: a call is not refused for want of a place to count it in.
    """
    name = _state_name(scope, place)
    try:
        return make(name=name, key=place.key)
    except Full as full:
        if scope != "machine" or not place.key:
            raise
        place.report("not_shared", error=full)
        return make(name=None, key=place.key)


def _state_name(scope: str, place: Place) -> str | None:
    """The name of a state in the machine's table; None for one of this process."""
    if scope == "process":
        return None
    if not _SHARED_NAME.fullmatch(place.policy):
        raise Misuse(
            f"policy {place.policy!r}: {place.report.strategy} with "
            f'scope="{shown_scope(scope)}" needs a name that other processes can ask for',
            hint="1 to 64 letters, digits, dots, dashes and underscores",
        )
    return place.policy
