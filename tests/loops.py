"""The event loops that tests run on, as anyio names them."""

from __future__ import annotations

import sysconfig
from importlib.util import find_spec
from typing import Any

__all__ = ("FREE_THREADED", "LOOPS", "NATIVE")

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {"asyncio": ("asyncio", {})}
# There is no wheel of uvloop for a free-threaded 3.13; everywhere else it must be there.
if not FREE_THREADED or find_spec("uvloop") is not None:
    import uvloop

    LOOPS["uvloop"] = ("asyncio", {"loop_factory": uvloop.new_event_loop})
LOOPS["trio"] = ("trio", {})

NATIVE = [name for name, (backend, _) in LOOPS.items() if backend == "asyncio"]
"""Those whose tasks have a `cancel()` of their own."""
