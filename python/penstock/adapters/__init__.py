"""Code that calls back, blocks or is on its way out, brought along step by step."""

from __future__ import annotations

from .c_answer import CALLBACK, c_call
from .c_callback import CCallback, from_c_callback
from .c_statistics import CCallbackStatistics
from .callback_source import CallbackSource, CallbackSourceStatistics, from_callback
from .callbacks import callbackify
from .candidate import comparing
from .compare import Compare, Comparison, Observation
from .deprecation import deprecated, deprecated_arguments, deprecated_callback
from .errors import CallbackError, CallbackLost, CallbackWarning, Untranslated
from .in_threads import to_async
from .legacy import LegacyAdapter
from .on_loops import to_sync
from .promises import from_callbacks, promisify
from .report import Difference, Report, SideFigures
from .rollout import Rollout, RolloutState
from .routing import forced
from .strangler import Strangler

__all__ = (
    "CALLBACK",
    "CCallback",
    "CCallbackStatistics",
    "CallbackError",
    "CallbackLost",
    "CallbackSource",
    "CallbackSourceStatistics",
    "CallbackWarning",
    "Compare",
    "Comparison",
    "Difference",
    "LegacyAdapter",
    "Observation",
    "Report",
    "Rollout",
    "RolloutState",
    "SideFigures",
    "Strangler",
    "Untranslated",
    "c_call",
    "callbackify",
    "comparing",
    "deprecated",
    "deprecated_arguments",
    "deprecated_callback",
    "forced",
    "from_c_callback",
    "from_callback",
    "from_callbacks",
    "promisify",
    "to_async",
    "to_sync",
)
