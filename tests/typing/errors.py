"""Read by type checkers, never run: what the public names are inferred to be.

mypy reads it against the installed wheel, so it also shows that the wheel carries its types.
"""

from __future__ import annotations

import queue
from typing import assert_type

import penstock
from penstock import PenstockError
from penstock.errors import Empty, Expired, Full, Misuse

assert_type(penstock.__version__, str)


def errors() -> None:
    error = Misuse("maxsize is -1", hint="0 or more")
    assert_type(error.hint, str | None)
    assert_type(error.code, str)
    as_readers_catch_it: tuple[ValueError, queue.Full, queue.Empty, TimeoutError] = (
        error,
        Full(),
        Empty(),
        Expired(),
    )
    root: PenstockError = error
    del as_readers_catch_it, root
    Misuse(hint=3)  # type: ignore[arg-type]
