"""Context variables across threads: what is set over there is set here afterwards."""

from __future__ import annotations

import contextvars
import sys
from typing import Any, Final

__all__ = ("Carried",)

_ABSENT: Final = object()


class Carried:
    """A copy of the caller's context for work elsewhere; `bring_back` applies what it changed."""

    __slots__ = ("_before", "context")

    def __init__(self) -> None:
        self.context = contextvars.copy_context()
        sniffio: Any = sys.modules.get("sniffio")
        if sniffio is not None and sniffio.current_async_library_cvar in self.context:
            # Over there no loop runs, or another one.
            self.context.run(sniffio.current_async_library_cvar.set, None)
        self._before = dict(self.context)

    def bring_back(self) -> None:
        """Sets in the caller's context what was set in the copy; the copy is at rest by now."""
        before = self._before
        for variable, value in self.context.items():
            if before.get(variable, _ABSENT) is not value:
                variable.set(value)
