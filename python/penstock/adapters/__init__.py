"""Code that calls back, blocks or is on its way out, brought along step by step."""

from __future__ import annotations

from .c_call import CALLBACK, c_call
from .c_callback import CCallback, from_c_callback
from .c_statistics import CCallbackStatistics
from .callback_source import CallbackSource, CallbackSourceStatistics, from_callback
from .errors import CallbackError, CallbackLost, CallbackWarning, Untranslated

__all__ = (
    "CALLBACK",
    "CCallback",
    "CCallbackStatistics",
    "CallbackError",
    "CallbackLost",
    "CallbackSource",
    "CallbackSourceStatistics",
    "CallbackWarning",
    "Untranslated",
    "c_call",
    "from_c_callback",
    "from_callback",
)
