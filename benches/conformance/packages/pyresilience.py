from __future__ import annotations

from ..adapter import Adapter, missing


class Pyresilience(Adapter):
    distribution = module = "pyresilience"

    @property
    def refusals(self):
        from pyresilience import CircuitOpenError

        return (CircuitOpenError,)

    @property
    def timeouts(self):
        from pyresilience import ResilienceTimeoutError

        return (ResilienceTimeoutError,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        from pyresilience import CircuitBreakerConfig, resilient

        if on is not None:
            missing("no filter function")
        return resilient(
            circuit_breaker=CircuitBreakerConfig(
                failure_threshold=failures, recovery_timeout=open_for, success_threshold=1
            )
        )

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        from pyresilience import RetryConfig, TimeoutConfig, resilient

        more = {} if total is None else {"timeout": TimeoutConfig(total, per_attempt=False)}
        on = (BaseException,) if widest else (Exception,)
        return resilient(
            retry=RetryConfig(max_attempts=attempts, delay=pause, jitter=False, retry_on=on), **more
        )

    def timeout(self, seconds):
        from pyresilience import TimeoutConfig, resilient

        return resilient(timeout=TimeoutConfig(seconds))

    def cache(self):
        from pyresilience import CacheConfig, resilient

        return resilient(cache=CacheConfig(ttl=60.0))

    def bulkhead(self, limit):
        from pyresilience import BulkheadConfig, resilient

        return resilient(bulkhead=BulkheadConfig(limit, max_wait=30.0))

    def fallback(self, value, *, widest=False, blocking=False):
        from pyresilience import FallbackConfig, resilient

        on = (BaseException,) if widest else (Exception,)
        return resilient(fallback=FallbackConfig(handler=value, fallback_on=on))


ADAPTERS = [Pyresilience()]
