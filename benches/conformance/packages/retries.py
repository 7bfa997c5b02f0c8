"""Those that are retries and nothing else."""

from __future__ import annotations

from ..adapter import Adapter, missing


class Tenacity(Adapter):
    distribution = module = "tenacity"
    note = "total time by stop_before_delay; the widest filter is retry_if_exception of all"

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        import tenacity

        stop = tenacity.stop_after_attempt(attempts)
        if total is not None:
            stop |= tenacity.stop_before_delay(total)
        chosen = {"retry": tenacity.retry_if_exception(lambda _error: True)} if widest else {}
        return tenacity.retry(stop=stop, wait=tenacity.wait_fixed(pause), reraise=True, **chosen)


class TenacityNot(Tenacity):
    """The form that its documentation gives for all errors but some."""

    name = "tenacity, retry_if_not_exception_type"
    note = ""

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        import tenacity

        if widest or total is not None:
            missing("as above")
        return tenacity.retry(
            stop=tenacity.stop_after_attempt(attempts),
            wait=tenacity.wait_fixed(pause),
            retry=tenacity.retry_if_not_exception_type(KeyError),
            reraise=True,
        )


class Stamina(Adapter):
    distribution = module = "stamina"

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        import stamina

        return stamina.retry(
            on=(lambda _error: True) if widest else Exception,
            attempts=attempts,
            timeout=total,
            wait_initial=pause,
            wait_max=max(pause, 1.0),
            wait_jitter=0.0,
            wait_exp_base=1,
        )


class Backoff(Adapter):
    distribution = module = "backoff"

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        import backoff

        return backoff.on_exception(
            backoff.constant,
            BaseException if widest else Exception,
            interval=pause,
            max_tries=attempts,
            max_time=total,
            jitter=None,
        )


ADAPTERS = [Tenacity(), TenacityNot(), Stamina(), Backoff()]
