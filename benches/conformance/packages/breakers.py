"""Those that are breakers and nothing else."""

from __future__ import annotations

from functools import partial

from ..adapter import Adapter, missing


class Circuitbreaker(Adapter):
    distribution = module = "circuitbreaker"

    @property
    def refusals(self):
        from circuitbreaker import CircuitBreakerError

        return (CircuitBreakerError,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        from circuitbreaker import CircuitBreaker

        judge = None if on is None else lambda _kind, error: on(error)
        return CircuitBreaker(failures, open_for, expected_exception=judge)


class Aiobreaker(Adapter):
    distribution = module = "aiobreaker"

    @property
    def refusals(self):
        from aiobreaker import CircuitBreakerError

        return (CircuitBreakerError,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        from datetime import timedelta

        from aiobreaker import CircuitBreaker

        exclude = None if on is None else [lambda error: not on(error)]
        # It raises its own error for the failure that opens it.
        breaker = CircuitBreaker(failures, timedelta(seconds=open_for), exclude=exclude)
        if blocking:
            return lambda fn: partial(breaker.call, fn)
        return lambda fn: partial(breaker.call_async, fn)


class Pybreaker(Adapter):
    distribution = module = "pybreaker"
    note = "its async form is Tornado's"

    @property
    def refusals(self):
        from pybreaker import CircuitBreakerError

        return (CircuitBreakerError,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        from pybreaker import CircuitBreaker

        if not blocking:
            missing("blocking only")
        exclude = None if on is None else [lambda error: not on(error)]
        breaker = CircuitBreaker(failures, open_for, exclude=exclude, throw_new_error_on_trip=False)
        return lambda fn: partial(breaker.call, fn)


class Purgatory(Adapter):
    distribution = module = "purgatory"

    @property
    def refusals(self):
        from purgatory.domain.model import OpenedState

        return (OpenedState,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        from purgatory import AsyncCircuitBreakerFactory, SyncCircuitBreakerFactory

        exclude = [] if on is None else [(Exception, lambda error: not on(error))]
        factory = SyncCircuitBreakerFactory if blocking else AsyncCircuitBreakerFactory
        made = factory(default_threshold=failures, default_ttl=open_for, exclude=exclude)
        return made("asked")


ADAPTERS = [Circuitbreaker(), Aiobreaker(), Pybreaker(), Purgatory()]
