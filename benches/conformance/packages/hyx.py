from __future__ import annotations

from ..adapter import Adapter, missing


class Hyx(Adapter):
    distribution = module = "hyx"

    @property
    def refusals(self):
        from hyx.circuitbreaker.exceptions import BreakerFailing

        return (BreakerFailing,)

    @property
    def timeouts(self):
        from hyx.timeout.exceptions import MaxDurationExceeded

        return (MaxDurationExceeded,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        from hyx.circuitbreaker import consecutive_breaker

        if blocking or on is not None:
            missing("async only" if blocking else "no filter function")
        # It opens when the threshold is exceeded.
        return consecutive_breaker(
            failure_threshold=failures - 1, recovery_time_secs=open_for, recovery_threshold=1
        )

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        from hyx.retry import retry

        if blocking or total is not None:
            missing("async only" if blocking else "no total time")
        on = BaseException if widest else Exception
        return retry(on=on, attempts=attempts, backoff=pause)

    def timeout(self, seconds):
        from hyx.timeout import timeout

        return timeout(seconds)

    def bulkhead(self, limit):
        from hyx.bulkhead import bulkhead

        return bulkhead(max_concurrency=limit, max_capacity=64)

    def fallback(self, value, *, widest=False, blocking=False):
        from hyx.fallback import fallback

        async def answer(*_arguments, **_keywords):
            return value

        on = BaseException if widest else Exception
        return fallback(answer, on=on)


ADAPTERS = [Hyx()]
