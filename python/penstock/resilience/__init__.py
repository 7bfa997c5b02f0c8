"""How to call what may be slow, failing or down: strategies, composed into one policy."""

from __future__ import annotations

from .adaptive_limit import AdaptiveLimit
from .budget import Budget
from .bulkhead import Bulkhead
from .cache import Cache
from .chaos import Chaos
from .circuit import Circuit
from .circuit_breaker import CircuitBreaker
from .deadline import Deadline
from .errors import (
    AttemptTimeout,
    BulkheadFull,
    CircuitOpen,
    DeadlineExceeded,
    LimitExceeded,
    PolicyWarning,
    RateLimited,
    TooManyAbandoned,
)
from .events import Event, subscribe
from .fallback import Fallback
from .hedge import Hedge
from .keyed import KeyedPolicy
from .limit import remaining
from .order import RULES, Rule, verdict
from .policy import Policy
from .rate_limit import RateLimit
from .retry import Retry
from .strategy import Strategy
from .timeout import Timeout

__all__ = (
    "RULES",
    "AdaptiveLimit",
    "AttemptTimeout",
    "Budget",
    "Bulkhead",
    "BulkheadFull",
    "Cache",
    "Chaos",
    "Circuit",
    "CircuitBreaker",
    "CircuitOpen",
    "Deadline",
    "DeadlineExceeded",
    "Event",
    "Fallback",
    "Hedge",
    "KeyedPolicy",
    "LimitExceeded",
    "Policy",
    "PolicyWarning",
    "RateLimit",
    "RateLimited",
    "Retry",
    "Rule",
    "Strategy",
    "Timeout",
    "TooManyAbandoned",
    "remaining",
    "subscribe",
    "verdict",
)
