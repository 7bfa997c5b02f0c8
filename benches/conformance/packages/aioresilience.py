from __future__ import annotations

from ..adapter import Adapter, missing


class Aioresilience(Adapter):
    distribution = module = "aioresilience"

    @property
    def refusals(self):
        from aioresilience import CircuitBreakerOpenError

        return (CircuitBreakerOpenError,)

    @property
    def timeouts(self):
        from aioresilience import OperationTimeoutError

        return (OperationTimeoutError,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        from aioresilience import CircuitBreaker, CircuitConfig, with_circuit_breaker

        if blocking:
            missing("async only")
        config = CircuitConfig(
            failure_threshold=failures,
            recovery_timeout=open_for,
            success_threshold=1,
            half_open_max_calls=1,
            failure_predicate=on,
        )
        return with_circuit_breaker(CircuitBreaker("asked", config))

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        from aioresilience import RetryConfig, RetryPolicy, with_retry

        if blocking or total is not None:
            missing("async only" if blocking else "no total time")
        on = (BaseException,) if widest else (Exception,)
        config = RetryConfig(
            max_attempts=attempts,
            initial_delay=pause or 0.001,
            max_delay=60.0,
            backoff_multiplier=1.0,
            jitter=0.0,
            retry_on_exceptions=on,
        )
        return with_retry(RetryPolicy(config))

    def timeout(self, seconds):
        from aioresilience import timeout

        return timeout(seconds)

    def bulkhead(self, limit):
        from aioresilience import Bulkhead, BulkheadConfig, with_bulkhead

        return with_bulkhead(Bulkhead("asked", BulkheadConfig(limit, max_waiting=64)))

    def fallback(self, value, *, widest=False, blocking=False):
        from aioresilience import FallbackConfig, FallbackHandler, with_fallback_handler

        on = (BaseException,) if widest else (Exception,)
        config = FallbackConfig(fallback=value, fallback_on_exceptions=on)
        return with_fallback_handler(FallbackHandler(config))


ADAPTERS = [Aioresilience()]
