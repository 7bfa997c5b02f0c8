from __future__ import annotations

from ..adapter import Adapter, missing


class Interlock(Adapter):
    distribution, module = "interlock-cb", "interlock"
    note = "retry through its tenacity extra"

    @property
    def refusals(self):
        from interlock import CircuitOpenError

        return (CircuitOpenError,)

    @property
    def timeouts(self):
        from interlock import CallTimeoutError

        return (CallTimeoutError,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        from interlock import CircuitBreaker, Config

        class Judge:
            def is_failure(self, *, result, exception):
                return exception is not None and on(exception)

        config = Config(
            failure_rate_threshold=1.0,
            minimum_number_of_calls=failures,
            permitted_calls_in_half_open=1,
            wait_duration_in_open=open_for,
        )
        return CircuitBreaker(
            name="asked", config=config, **({} if on is None else {"classifier": Judge()})
        )

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        import tenacity
        from interlock import Pipeline

        if total is not None:
            missing("no total time")
        chosen = {"retry": tenacity.retry_if_exception(lambda _error: True)} if widest else {}
        return (
            Pipeline.builder()
            .retry(attempts=attempts, wait=tenacity.wait_fixed(pause), **chosen)
            .build()
        )

    def timeout(self, seconds):
        from interlock import Pipeline

        return Pipeline.builder().timeout(seconds).build()

    def bulkhead(self, limit):
        from interlock import Pipeline

        return Pipeline.builder().bulkhead(limit, max_wait=30.0).build()

    def fallback(self, value, *, widest=False, blocking=False):
        from interlock import Pipeline

        on = (BaseException,) if widest else (Exception,)
        return Pipeline.builder().fallback(lambda _error: value, on=on).build()


ADAPTERS = [Interlock()]
