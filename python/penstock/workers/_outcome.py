"""How the end of a task crosses from the worker to the pool."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Sequence
from typing import Any

from penstock._native import FinishedSpan
from penstock.shared import Payload, dump, load

from ._traced import keep_spans
from .errors import RemoteError, RemoteTraceback


def describe(error: BaseException, *spans: Sequence[FinishedSpan]) -> Payload:
    """What is sent for a task that raised `error`; with the spans that ended in it, if traced."""
    text = "".join(traceback.format_exception(error))
    try:
        carried = pickle.dumps(error, protocol=5)
    except Exception:  # whatever the user's class does
        carried = None
    kind = type(error)
    summary = f"{kind.__module__}.{kind.__qualname__}: {_text(error)}"
    return dump((carried, summary, text, *spans))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its text cannot be shown)"


def restore(stream: Any, buffers: Sequence[Any]) -> BaseException:
    """The exception that a task raised, its worker's traceback as the cause."""
    carried, summary, text, *spans = load(stream, buffers)
    for ended in spans:
        keep_spans(ended)
    error: BaseException | None = None
    if carried is not None:
        try:
            error = pickle.loads(carried)  # noqa: S301 (from our own worker)
        except Exception:  # a class whose arguments do not survive pickling
            error = None
    if not isinstance(error, BaseException):
        hint = "give the exception class a __reduce__, or raise one that pickles"
        error = RemoteError(f"a task raised {summary}", hint=hint)
    error.__cause__ = RemoteTraceback(text)
    return error
