"""The slowest trace is kept, and whole, however late its last span comes."""

import time
from types import SimpleNamespace

import pytest

from penstock.demo.rebooking.observer import Observer
from penstock.demo.rebooking.plan import tracer
from penstock.tracing import Tracer

MESSAGES = Tracer("penstock.messages")


class Empty:
    """A relay, or a queue."""

    async def statistics(self):
        return SimpleNamespace(backlog=0, ready=0, delayed=0, behind=0, in_flight=0, dead=0)


class Slow:
    """Cases that took ever longer, as they are noted for the observer."""

    def __init__(self):
        self.confirmed = self.refused = self.parked = 0
        self.slow = []
        self.longest = 0.0

    def end(self, *, ago=0.0):
        """End one that takes longer than those before it; the context that its notice has."""
        before = time.perf_counter()
        with tracer.span("rebook") as span:
            begun = time.perf_counter()
            while time.perf_counter() - begun <= self.longest:
                time.sleep(0.001)
        self.longest = time.perf_counter() - before
        self.slow.append((time.perf_counter() - ago, 0.0, span.trace_id))
        return span.context


def give_notice(context):
    with MESSAGES.span("messages notices", parent=context):
        pass


@pytest.fixture
def cases():
    return Slow()


@pytest.fixture
def observer(cases):
    return Observer(1, (0, 0), cases, Empty(), Empty(), lambda _: None, None)


async def test_a_late_notice_is_waited_for(observer, cases):
    context = cases.end(ago=5.0)
    cases.end()
    await observer.look()
    assert len(cases.slow) == 2
    give_notice(context)
    await observer.look()
    assert observer.slowest.trace_id == context.trace_id
    assert [span.name for span in observer.slowest] == ["rebook", "messages notices"]


async def test_a_whole_trace_is_preferred_to_a_longer_one(observer, cases):
    whole = cases.end()
    give_notice(whole)
    cases.end()
    await observer.look()
    assert observer.slowest.trace_id == whole.trace_id


async def test_old_cases_are_let_go_but_for_the_measure(observer, cases):
    give_notice(cases.end(ago=1.0))
    cases.end(ago=60.0)
    waiting = cases.end(ago=1.0)
    last = cases.end(ago=60.0)
    await observer.look()
    assert [trace_id for *_, trace_id in cases.slow] == [waiting.trace_id, last.trace_id]
