from __future__ import annotations

from penstock import (
    Bulkhead,
    Cache,
    CircuitBreaker,
    Deadline,
    Fallback,
    Hedge,
    Policy,
    Retry,
    Timeout,
)
from penstock.resilience import AttemptTimeout, CircuitOpen

from ..adapter import Adapter, anything


class Penstock(Adapter):
    distribution = module = "penstock"
    refusals = (CircuitOpen,)
    timeouts = (AttemptTimeout,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        return Policy("asked", CircuitBreaker(failures, open_for=open_for, on=on or Exception))

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        retry = Retry(attempts=attempts, delay=pause, on=anything if widest else Exception)
        return Policy("asked", retry) if total is None else Policy("asked", Deadline(total), retry)

    def timeout(self, seconds):
        return Policy("asked", Timeout(seconds))

    def hedge(self, after):
        return Policy("asked", Hedge(after))

    def cache(self):
        return Policy("asked", Cache(60.0))

    def bulkhead(self, limit):
        return Policy("asked", Bulkhead(limit, max_waiting=64))

    def fallback(self, value, *, widest=False, blocking=False):
        return Policy("asked", Fallback(value=value, on=anything if widest else Exception))


ADAPTERS = [Penstock()]
