from __future__ import annotations

from ..adapter import Adapter, anything


class Nopanic(Adapter):
    distribution = module = "nopanic"

    @property
    def refusals(self):
        from nopanic import CircuitOpen

        return (CircuitOpen,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        from nopanic import circuit_breaker

        return circuit_breaker(
            failure_threshold=1.0,
            min_calls=failures,
            window=60.0,
            reset_timeout=open_for,
            on=on or Exception,
        )

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        from nopanic import backoff, retry

        return retry(
            attempts=attempts,
            backoff=backoff.fixed(pause),
            on=anything if widest else Exception,
            max_time=total,
        )

    def timeout(self, seconds):
        from nopanic import timeout

        return timeout(seconds)

    def hedge(self, after):
        from nopanic import hedge

        return hedge(delay=after)

    def cache(self):
        from nopanic import cache

        return cache(60.0)

    def bulkhead(self, limit):
        from nopanic import bulkhead

        return bulkhead(limit)

    def fallback(self, value, *, widest=False, blocking=False):
        from nopanic import fallback

        return fallback(lambda _error: value, on=anything if widest else Exception)


ADAPTERS = [Nopanic()]
