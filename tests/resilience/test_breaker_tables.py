"""The breakers of resilience4j and Polly, table by table, against ours under the same settings.

The tables are in our words, after resilience4j's guide (resilience4j.readme.io, CircuitBreaker) and
its CircuitBreakerStateMachineTest, and after Polly's page (docs/strategies/circuit-breaker.md) and
its CircuitStateController. `DIFFERENT` has what ours does otherwise, as docs/resilience.md says.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .breaker_table import Table

R4J, POLLY = "resilience4j", "Polly"
PAGE = (Path(__file__).parents[2] / "docs" / "resilience.md").read_text(encoding="utf-8")


def window(kind: str, size: float, rate: float | None, least: int, **more: object):
    return {
        "failure_threshold": None,
        "window": kind,
        "size": size,
        "failure_rate": rate,
        "min_calls": least,
        "open_for": 5.0,
        **more,
    }


# permittedNumberOfCallsInHalfOpenState=4 at a rate of one half: the second failure decides.
FOUR_PROBES = {"probes": 4, "success_threshold": 3, "probe_failures": 1}

SAME = [
    Table(
        "the rate is looked at when enough calls are in, also after a success",
        R4J,
        "COUNT_BASED, slidingWindowSize=5, minimumNumberOfCalls=5, failureRateThreshold=50",
        window("count", 5, 0.5, 5),
        """
        fail     closed
        fail     closed
        fail     closed
        ok       closed
        ok       open
        refused  open
        """,
    ),
    Table(
        "the oldest call of a full window makes room",
        R4J,
        "COUNT_BASED, slidingWindowSize=4, minimumNumberOfCalls=4, failureRateThreshold=75",
        window("count", 4, 0.75, 4),
        """
        ok       closed
        fail     closed
        ok       closed
        fail     closed
        fail     open
        """,
    ),
    Table(
        "fewer calls than the minimum open nothing",
        R4J,
        "COUNT_BASED, slidingWindowSize=10, minimumNumberOfCalls=5, failureRateThreshold=50",
        window("count", 10, 0.5, 5),
        """
        fail     closed
        fail     closed
        fail     closed
        fail     closed
        fail     open
        """,
    ),
    Table(
        "a rate just below the threshold keeps it closed, one equal to it does not",
        R4J,
        "COUNT_BASED, slidingWindowSize=10, minimumNumberOfCalls=4, failureRateThreshold=50",
        window("count", 10, 0.5, 4),
        """
        ok       closed
        ok       closed
        ok       closed
        fail     closed
        fail     closed
        fail     open
        """,
    ),
    Table(
        "calls of the last seconds, spread over them",
        R4J,
        "TIME_BASED, slidingWindowSize=20, minimumNumberOfCalls=5, failureRateThreshold=50",
        window("time", 20.0, 0.5, 5),
        """
        ok       closed
        +1       closed
        ok       closed
        +1       closed
        ok       closed
        +1       closed
        fail     closed
        +1       closed
        fail     closed
        +1       closed
        fail     open
        """,
    ),
    Table(
        "what is older than the window counts no more",
        R4J,
        "TIME_BASED, slidingWindowSize=10, minimumNumberOfCalls=3, failureRateThreshold=50",
        window("time", 10.0, 0.5, 3),
        """
        fail     closed
        fail     closed
        +10      closed
        fail     closed
        fail     closed
        fail     open
        """,
    ),
    Table(
        "slow calls open it, whether they failed or not",
        R4J,
        "TIME_BASED, 20 s, minimumNumberOfCalls=5, slowCallRateThreshold=50, 4 s",
        window("time", 20.0, 0.9, 5, slow_rate=0.5, slow_after=4.0),
        """
        slow-fail  closed
        slow       closed
        fail       closed
        ok         closed
        slow       open
        """,
    ),
    Table(
        "exceptions that are not recorded as failures count as successes",
        R4J,
        "COUNT_BASED, slidingWindowSize=4, minimumNumberOfCalls=4, recordExceptions",
        window("count", 4, 0.75, 4),
        """
        fail     closed
        fail     closed
        fail     closed
        ignored  open
        +5       open
        ignored  closed
        """,
    ),
    Table(
        "open for the whole wait; the first to ask after it is let through",
        R4J,
        "waitDurationInOpenState=5 s",
        window("count", 1, 0.5, 1, **FOUR_PROBES),
        """
        fail     open
        +4.999   open
        refused  open
        +0.001   open
        go a     half_open
        """,
    ),
    Table(
        "so many probes and no more, until one is given back",
        R4J,
        "permittedNumberOfCallsInHalfOpenState=4",
        window("count", 1, 0.5, 1, **FOUR_PROBES),
        """
        fail     open
        +5       open
        go a     half_open
        go b     half_open
        go c     half_open
        go d     half_open
        refused  half_open
        refused  half_open
        a cancel  half_open
        go e     half_open
        refused  half_open
        """,
    ),
    Table(
        "probes below the rate close it, with an empty window",
        R4J,
        "permittedNumberOfCallsInHalfOpenState=4, failureRateThreshold=50",
        window("count", 4, 0.5, 2, **FOUR_PROBES),
        """
        fail     closed
        fail     open
        +5       open
        fail     half_open
        ok       half_open
        ok       half_open
        ok       closed
        fail     closed
        ok       open
        """,
    ),
    Table(
        "probes at the rate open it for another whole wait",
        R4J,
        "permittedNumberOfCallsInHalfOpenState=4, failureRateThreshold=50",
        window("count", 1, 0.5, 1, **FOUR_PROBES),
        """
        fail     open
        +5       open
        ok       half_open
        fail     half_open
        ok       half_open
        fail     open
        +4.999   open
        refused  open
        +0.001   open
        ok       half_open
        """,
    ),
    Table(
        "slow probes at the rate open it",
        R4J,
        "permittedNumberOfCallsInHalfOpenState=4, slowCallRateThreshold=50, 4 s",
        window("count", 1, 0.5, 1, slow_rate=0.5, slow_after=4.0, **FOUR_PROBES),
        """
        fail     open
        +5       open
        slow     half_open
        ok       half_open
        ok       half_open
        slow     open
        """,
    ),
    Table(
        "forced open: nothing passes however long; normal again by hand",
        R4J,
        "transitionToForcedOpenState, transitionToClosedState",
        window("count", 2, 0.5, 2),
        """
        forced_open  closed
        refused  closed
        +100     closed
        refused  closed
        normal   closed
        ok       closed
        """,
    ),
    Table(
        "disabled: everything passes and nothing is counted",
        R4J,
        "transitionToDisabledState",
        window("count", 2, 0.5, 2),
        """
        disabled  closed
        fail     closed
        fail     closed
        fail     closed
        normal   closed
        ok       closed
        ok       closed
        fail     open
        """,
    ),
    Table(
        "reset: closed, and what was counted is forgotten",
        R4J,
        "reset",
        window("count", 2, 0.5, 2),
        """
        fail     closed
        fail     open
        reset    closed
        fail     closed
        ok       open
        """,
    ),
    Table(
        "below the ratio it stays closed (page, simple happy path)",
        POLLY,
        "FailureRatio=0.5, MinimumThroughput=2, SamplingDuration=2 s",
        window("time", 2.0, 0.5, 2),
        """
        ok       closed
        ok       closed
        fail     closed
        """,
    ),
    Table(
        "at the ratio it opens (page, simple unhappy path)",
        POLLY,
        "FailureRatio=0.5, MinimumThroughput=2, SamplingDuration=2 s",
        window("time", 2.0, 0.5, 2),
        """
        ok       closed
        fail     open
        refused  open
        """,
    ),
    Table(
        "a probe that succeeds closes it (page, complex happy path)",
        POLLY,
        "the same, BreakDuration=1 s",
        window("time", 2.0, 0.5, 2, open_for=1.0),
        """
        fail     closed
        fail     open
        refused  open
        +1       open
        ok       closed
        fail     closed
        """,
    ),
    Table(
        "a probe that fails opens it for another break (page, complex unhappy path)",
        POLLY,
        "the same, BreakDuration=1 s",
        window("time", 2.0, 0.5, 2, open_for=1.0),
        """
        fail     closed
        fail     open
        +1       open
        fail     open
        +0.999   open
        refused  open
        +0.001   open
        ok       closed
        """,
    ),
    Table(
        "failures further apart than the sampling duration do not add up",
        POLLY,
        "FailureRatio=0.5, MinimumThroughput=2, SamplingDuration=2 s",
        window("time", 2.0, 0.5, 2),
        """
        fail     closed
        +2       closed
        fail     closed
        +2       closed
        fail     closed
        fail     open
        """,
    ),
    Table(
        "one probe at a time",
        POLLY,
        "BreakDuration=1 s",
        window("time", 2.0, 0.5, 2, open_for=1.0),
        """
        fail     closed
        fail     open
        +1       open
        go a     half_open
        refused  half_open
        a ok     closed
        """,
    ),
    Table(
        "a failure that arrives while it is open opens nothing anew",
        POLLY,
        "BreakDuration=1 s",
        window("time", 2.0, 0.5, 2, open_for=1.0),
        """
        go a     closed
        go b     closed
        fail     closed
        fail     open
        +0.5     open
        a fail   open
        b ok     open
        +0.5     open
        ok       closed
        """,
    ),
    Table(
        "a cancellation is neither failure nor success",
        POLLY,
        "FailureRatio=0.5, MinimumThroughput=2; OperationCanceledException is not handled",
        window("time", 2.0, 0.5, 2),
        """
        go a     closed
        a cancel  closed
        fail     closed
        go b     closed
        b cancel  closed
        fail     open
        """,
    ),
    Table(
        "isolated, it refuses until it is closed by hand",
        POLLY,
        "IsolateAsync, CloseAsync",
        window("time", 2.0, 0.5, 2),
        """
        forced_open  closed
        refused  closed
        +3600    closed
        refused  closed
        reset    closed
        normal   closed
        ok       closed
        """,
    ),
]

DIFFERENT = [
    Table(
        "an error that `on` does not name is an answer, and counts as a success",
        "resilience4j and Polly",
        "ignoreExceptions, and what ShouldHandle does not take, count as nothing",
        window("count", 2, 0.5, 2),
        """
        ignored  closed
        fail     open
        +5       open
        ignored  closed
        """,
    ),
    Table(
        "what is decided is done: three of four probes have succeeded",
        R4J,
        "decides only when all permitted calls have ended",
        window("count", 1, 0.5, 1, **FOUR_PROBES),
        """
        fail     open
        +5       open
        go a     half_open
        ok       half_open
        ok       half_open
        ok       closed
        a fail   closed
        """,
    ),
    Table(
        "a slow probe is a failed one",
        R4J,
        "failed and slow probes have a rate each: one of each in four closes it",
        window("count", 1, 0.5, 1, slow_rate=0.5, slow_after=4.0, **FOUR_PROBES),
        """
        fail     open
        +5       open
        slow     half_open
        fail     open
        """,
    ),
    Table(
        "a probe that never ends loses its place, and the next is asked",
        R4J,
        "maxWaitDurationInHalfOpenState=1 s opens it again; 0 waits for ever",
        window("count", 1, 0.5, 1, probe_expires=1.0),
        """
        fail     open
        +5       open
        go a     half_open
        refused  half_open
        +1.1     half_open
        go b     half_open
        a ok     half_open
        b ok     closed
        """,
    ),
    Table(
        "half-open begins with the first caller",
        R4J,
        "automaticTransitionFromOpenToHalfOpenEnabled has a thread do it",
        window("count", 1, 0.5, 1),
        """
        fail     open
        +3600    open
        go a     half_open
        """,
    ),
    Table(
        "an answer from before the circuit opened says nothing of it now",
        "resilience4j and Polly",
        "it counts in whatever state it meets: a success closes a half-open circuit",
        window("count", 2, 0.5, 2),
        """
        go a     closed
        go b     closed
        fail     closed
        fail     open
        +5       open
        go c     half_open
        a ok     half_open
        b fail   half_open
        refused  half_open
        c ok     closed
        """,
    ),
    Table(
        "the rate is looked at after every call",
        POLLY,
        "only after a failure",
        window("time", 2.0, 0.5, 2),
        """
        fail     closed
        ok       open
        """,
    ),
    Table(
        "shadow goes through the states, and refuses nothing",
        R4J,
        "METRICS_ONLY stays in its own state, with events for rates exceeded",
        window("count", 2, 0.5, 2, mode="shadow"),
        """
        fail     closed
        fail     open
        fail     open
        +5       open
        ok       closed
        """,
    ),
    Table(
        "a call that takes just as long as slow_after is slow",
        R4J,
        "slower than slowCallDurationThreshold",
        window("count", 2, None, 2, slow_rate=1.0, slow_after=5.0),
        """
        slow     closed
        slow     open
        """,
    ),
]


@pytest.mark.parametrize("scope", ["process", "machine"])
@pytest.mark.parametrize("table", [*SAME, *DIFFERENT], ids=lambda table: table.name)
def test_table(table, scope, table_name):
    table.run(scope, table_name)


def test_the_page_says_where_ours_differs():
    (printed,) = re.findall(
        r"<!-- breakers: begin -->\n(.*?)\n?<!-- breakers: end -->", PAGE, re.DOTALL
    )
    rows = [f"| {each.name} | {each.source}: {each.theirs} |" for each in DIFFERENT]
    expected = "\n".join(["| ours | theirs |", "|---|---|", *rows])
    assert printed == expected, f"put this between the two marks:\n{expected}"
