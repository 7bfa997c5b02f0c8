"""Finds the engine of a URL, by its scheme. Engines are imported here, by name, on first use."""

from __future__ import annotations

import importlib
from typing import Any
from urllib.parse import unquote, urlsplit

from penstock.errors import Misuse

_ENGINES = {"memory": "penstock.engines.sqlite", "sqlite": "penstock.engines.sqlite"}


class Address:
    """A store's URL, checked: `memory://[NAME]`, `sqlite:///relative.db`, `sqlite:////absolute.db`."""

    def __init__(self, url: str) -> None:
        if not isinstance(url, str):
            raise Misuse(f"url={url!r} is not a string", hint=_HINT)
        parts = urlsplit(url)
        if parts.scheme not in _ENGINES:
            known = ", ".join(f"{scheme}://" for scheme in sorted(_ENGINES))
            raise Misuse(f"no engine for {url!r}", hint=f"there are {known}")
        if parts.query or parts.fragment:
            raise Misuse(
                f"{url!r}: a store's URL has no options behind its path",
                hint="in a file's name, write ? as %3F, # as %23 and % as %25",
            )
        self.url = url
        self.scheme = parts.scheme
        self.path: str | None = None
        """The file; None for memory."""
        self.name = parts.netloc
        """Of a memory store that several objects of the process share; empty: of one alone."""
        if self.scheme == "memory":
            if parts.path not in {"", "/"}:
                raise Misuse(f"{url!r}: memory has a name, not a path", hint="memory://NAME")
            return
        if parts.netloc or not parts.path.removeprefix("/"):
            raise Misuse(f"{url!r} names no file", hint=_HINT)
        # As in SQLAlchemy: three slashes and a relative path, four for one from the root.
        # Escapes may stand for bytes that are no text, as a file's name may have them.
        self.path = unquote(parts.path.removeprefix("/"), errors="surrogateescape")

    def open(self, room: str, **options: Any) -> Any:
        """The engine's store for `room`, opened. Blocks; raises EngineError."""
        engine = importlib.import_module(_ENGINES[self.scheme])
        return engine.open_store(self, room, **options)

    def __repr__(self) -> str:
        return f"<Address {self.url}>"


_HINT = "sqlite:///jobs.db, sqlite:////var/lib/app/jobs.db, or memory://"
