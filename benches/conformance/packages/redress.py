from __future__ import annotations

from functools import partial

from ..adapter import Adapter


class Redress(Adapter):
    distribution = module = "redress"

    @property
    def refusals(self):
        from redress.errors import CircuitOpenError

        return (CircuitOpenError,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        from redress import AsyncPolicy, AsyncRetry, CircuitBreaker, ErrorClass, Policy, Retry

        def classify(error):
            is_failure = isinstance(error, Exception) if on is None else on(error)
            return ErrorClass.TRANSIENT if is_failure else ErrorClass.PERMANENT

        breaker = CircuitBreaker(
            failure_threshold=failures,
            window_s=60.0,
            recovery_timeout_s=open_for,
            trip_on={ErrorClass.TRANSIENT},
        )
        once = {"classifier": classify, "strategy": lambda _context: 0.0, "max_attempts": 1}
        if blocking:
            policy = Policy(retry=Retry(**once), circuit_breaker=breaker)
        else:
            policy = AsyncPolicy(retry=AsyncRetry(**once), circuit_breaker=breaker)
        return lambda fn: partial(policy.call, fn)

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        from redress import AsyncPolicy, AsyncRetry, ErrorClass, Policy, Retry

        settings = {
            "classifier": lambda _error: ErrorClass.TRANSIENT,
            "strategy": lambda _context: pause,
            "max_attempts": attempts,
            "deadline_s": 3600.0 if total is None else total,
        }
        policy = (
            Policy(retry=Retry(**settings))
            if blocking
            else AsyncPolicy(retry=AsyncRetry(**settings))
        )
        return lambda fn: partial(policy.call, fn)


ADAPTERS = [Redress()]
