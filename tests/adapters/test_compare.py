"""Both run, the old one answers: what is found, and that the caller never notices."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from functools import partial

import anyio
import pytest

from penstock import Policy, Service, Strangler
from penstock._deadline import deadline_variable
from penstock.adapters import Compare, comparing
from penstock.resilience import AttemptTimeout, Timeout, remaining
from penstock.tracing import TraceContext
from tests.resilience.calls import Call, Work, everywhere, turn_until


def old(n):
    if n < 0:
        raise ValueError(n)
    return n


def new(n):
    if n == 13:
        return 31
    if n == 14:
        raise LookupError(n)
    if n < -1:
        raise TypeError(n)
    return old(n)


async def aold(n):
    await anyio.lowlevel.checkpoint()
    return old(n)


async def anew(n):
    await anyio.lowlevel.checkpoint()
    return new(n)


def check(report):
    assert report.compared == {"same": 11, "different": 2, "failed": 1}
    assert report.match_rate == 11 / 14
    found = {(each.verdict, each.call, each.old, each.new) for each in report.differences}
    assert found == {
        ("different", "(13)", "13", "31"),
        ("failed", "(14)", "14", "raised LookupError(14)"),
        ("different", "(-2)", "raised ValueError(-2)", "raised TypeError(-2)"),
    }
    assert (report.pending, report.dropped, report.skipped) == (0, 0, 0)
    assert report.old.answered == report.old.seconds.count == report.new.seconds.count == 14
    assert (report.new.answered, report.old.errors) == (0, 2)


NUMBERS = [*range(10), 13, 14, -1, -2]


def test_threads_compare_plain_functions():
    strangler = Strangler("numbers", old, new, compare=Compare())
    for n in NUMBERS:
        if n < 0:
            with pytest.raises(ValueError):
                strangler(n)
        else:
            assert strangler(n) == n
    assert strangler.wait_settled(30)
    check(strangler.report())


async def test_tasks_compare_async_functions():
    strangler = Strangler("numbers", aold, anew, compare=Compare())
    for n in NUMBERS:
        if n < 0:
            with pytest.raises(ValueError):
                await strangler(n)
        else:
            assert await strangler(n) == n
    assert await strangler.settled(30)
    check(strangler.report())


async def test_the_candidate_begins_after_the_answer():
    order = []

    async def first():
        order.append("old")
        return 1

    async def second():
        order.append("new")
        return 1

    strangler = Strangler("s", first, second, compare=Compare())
    await strangler()
    order.append("answered")
    await strangler.settled()
    assert order == ["old", "answered", "new"]


async def test_a_candidate_that_hangs_delays_nobody_and_times_out():
    work = None

    async def hangs(_n):
        await work()

    work = Work()
    strangler = Strangler("s", aold, hangs, compare=Compare(timeout=0.01))
    for n in range(3):
        assert await strangler(n) == n
    assert await strangler.settled()
    report = strangler.report()
    assert report.compared == {"timed out": 3}
    assert work.cancelled == 3


def test_a_thread_that_hangs_delays_nobody_and_times_out():
    gate = threading.Event()
    strangler = Strangler("s", old, lambda n: gate.wait(30), compare=Compare(timeout=0.01))
    assert [strangler(n) for n in range(3)] == [0, 1, 2]
    assert strangler.wait_settled(30)
    gate.set()
    assert strangler.report().compared == {"timed out": 3}


def test_threads_left_behind_are_bounded_and_their_answers_unheard():
    gate, entered = threading.Event(), threading.Semaphore(0)
    ended = threading.Semaphore(0)

    def hangs(_n):
        entered.release()
        gate.wait(30)
        ended.release()
        return "too late"

    strangler = Strangler("s", old, hangs, compare=Compare(timeout=0.01, max_pending=2))
    for n in range(2):
        strangler(n)
        assert entered.acquire(timeout=30)
    assert strangler.wait_settled(30)
    for n in range(3):
        assert strangler(n) == n
    report = strangler.report()
    assert (report.compared, report.dropped, report.pending) == ({"timed out": 2}, 3, 0)
    gate.set()
    for _ in range(2):
        assert ended.acquire(timeout=30)
    while "different" not in strangler.report().compared:  # there is room again
        strangler(0)
        assert strangler.wait_settled(30)
    assert strangler.report().compared["timed out"] == 2


def test_in_threads_too_the_breaker_spares_a_candidate_that_is_always_late():
    calls = []

    def late(_n):
        calls.append(None)
        time.sleep(0.002)  # what is late has to take its time

    strangler = Strangler("s", old, late, compare=Compare(timeout=0.001))
    for n in range(200):
        strangler(n)
        assert strangler.wait_settled(30)
    report = strangler.report()
    # One that was left behind is counted by the breaker when it returns, the next may have begun.
    assert 20 <= report.compared["timed out"] < 40
    assert report.skipped == 200 - report.compared["timed out"]
    assert len(calls) <= report.compared["timed out"]


async def test_the_candidates_own_breaker_spares_it():
    async def never(_n):
        await anyio.sleep_forever()

    strangler = Strangler("s", aold, never, compare=Compare(timeout=0.001))
    for n in range(25):
        await strangler(n)
        await strangler.settled()
    report = strangler.report()
    assert report.compared == {"timed out": 20}
    assert report.skipped == 5


async def test_beyond_the_bound_comparisons_are_dropped_and_counted():
    work = Work()

    async def candidate(_n):
        await work()
        return 0

    strangler = Strangler("s", aold, candidate, compare=Compare(max_pending=2))
    for _ in range(5):
        await strangler(0)
    assert (strangler.report().pending, strangler.report().dropped) == (2, 3)
    assert not await strangler.settled(0.0)
    work.gate.set()
    assert await strangler.settled()
    assert strangler.report().compared == {"same": 2}


@everywhere
async def test_cancelling_the_caller_leaves_the_comparison(how):
    work = Work()

    async def candidate(_n):
        await work()
        return 1

    strangler = Strangler("s", aold, candidate, compare=Compare())

    async def call_and_stay():
        await strangler(1)
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        call = Call(how, call_and_stay).start(group)
        await turn_until(lambda: work.running)
        call.cancel()
        assert await call.ended() == "cancelled"
        assert work.running == 1
        work.gate.set()
        assert await strangler.settled()
    assert strangler.report().compared == {"same": 1}


@everywhere
async def test_a_cancelled_call_of_the_old_one_is_not_compared(how):
    work = Work()
    strangler = Strangler("s", work, aold, compare=Compare())
    async with anyio.create_task_group() as group:
        call = Call(how, partial(strangler, 1)).start(group)
        await turn_until(lambda: work.running)
        call.cancel()
        assert await call.ended() == "cancelled"
    report = strangler.report()
    assert (report.old.answered, report.pending, report.compared) == (0, 0, {})


async def test_leaving_its_block_ends_what_is_under_way():
    work = Work()

    async def candidate(_n):
        await work()

    async with Strangler("s", aold, candidate, compare=Compare(timeout=1e9)) as strangler:
        await strangler(1)
        await turn_until(lambda: work.running)
        with anyio.move_on_after(0):
            await strangler.__aexit__(None, None, None)
        assert work.cancelled == 1
    assert strangler.report().pending == 0


async def test_as_a_part_of_a_service_it_drains():
    gate = anyio.Event()
    compared = []

    async def candidate(n):
        await gate.wait()
        return n

    strangler = Strangler("s", aold, candidate, compare=Compare(publish=compared.append))
    service = Service("shop")
    service.add(strangler)
    async with service:
        await strangler(1)
        assert strangler.report().pending == 1
        gate.set()
    assert [each.verdict for each in compared] == ["same"]
    assert strangler.report().pending == 0


async def test_draining_ends_at_the_candidates_timeout_and_stays_open():
    async def never(_n):
        await anyio.sleep_forever()

    policy = Policy("mine", Timeout(1000.0))
    compare = Compare(policy=policy, timeout=0.01)
    async with Strangler("s", aold, never, compare=compare) as strangler:
        await strangler(1)
        await strangler.drain()
        assert strangler.report().pending == 1
        assert await strangler(2) == 2
    assert strangler.report().pending == 0


def test_a_loop_that_ends_takes_comparisons_along(anyio_backend):
    name, options = anyio_backend
    strangler = None

    async def main():
        nonlocal strangler
        work = Work()

        async def candidate(_n):
            await work()

        strangler = Strangler("s", aold, candidate, compare=Compare())
        await strangler(1)
        await turn_until(lambda: work.running)
        await strangler(1)

    anyio.run(main, backend=name, backend_options=options)
    assert strangler.report().pending == 0


@pytest.mark.parametrize("kind", [SystemExit, asyncio.CancelledError, GeneratorExit])
async def test_exits_of_the_candidate_are_findings(kind):
    async def candidate(_n):
        raise kind

    def plain(_n):
        raise kind

    strangler = Strangler("s", aold, candidate, compare=Compare())
    assert await strangler(1) == 1
    assert await strangler.settled()
    assert strangler.report().compared == {"failed": 1}
    in_thread = Strangler("s", old, plain, compare=Compare())
    assert in_thread(1) == 1
    assert in_thread.wait_settled(30)
    assert kind.__name__ in in_thread.report().differences[0].new


def test_sample_equal_ignore_clean_label_copy_and_publish():
    published = []

    def shouting(word):
        word.append("!")
        return "".join(word).upper()

    def plain(word):
        word.append("!")
        return "".join(word)

    strangler = Strangler(
        "words",
        plain,
        shouting,
        compare=Compare(
            equal=lambda a, b: a.lower() == b.lower() and a != "bad!",
            ignore=lambda a, b: a == "skip!",
            clean=lambda value: f"<{len(value)}>",
            label=lambda word: f"word of {len(word)}",
            copy=list,
            publish=published.append,
        ),
    )
    for word in ("good", "bad", "bad"):
        strangler(list(word))
    assert strangler.wait_settled(30)
    report = strangler.report()
    assert report.compared == {"same": 1, "different": 2}
    assert report.differences[0].call == "word of 4"
    assert report.differences[0].old == "'<4>'"
    assert {each.new.value for each in published} == {"<4>", "<5>"}
    assert {each.verdict for each in published} == {"same", "different"}

    ignoring = Strangler("s", old, lambda n: n + 1, compare=Compare(ignore=lambda a, b: b == a + 1))
    ignoring(1)
    assert ignoring.wait_settled(30)
    assert ignoring.report().compared == {"ignored": 1}
    never = Strangler("s", old, failing_candidate, compare=Compare(sample=0.0))
    never(1)
    assert never.report().compared == {}


def failing_candidate(n):
    raise AssertionError(n)


def test_outcomes_that_cannot_be_compared_are_told(caplog):
    class Odd:
        __hash__ = None

        def __eq__(self, other):
            raise ValueError("ambiguous")

    strangler = Strangler("s", Odd, Odd, compare=Compare())
    strangler()
    assert strangler.wait_settled(30)
    assert strangler.report().compared == {"incomparable": 1}
    assert "cannot be compared" in caplog.text


def test_what_is_given_may_fail_and_the_caller_does_not_notice(caplog):
    def broken(*_args):
        raise RuntimeError("mine")

    compare = Compare(clean=broken, label=broken, publish=broken)
    strangler = Strangler("s", old, lambda n: -n, compare=compare)
    assert strangler(1) == 1
    assert strangler.wait_settled(30)
    (found,) = strangler.report().differences
    assert found.call == "label failed: RuntimeError('mine')"
    assert found.old == "'clean= failed'"
    copying = Strangler("s", old, new, compare=Compare(copy=broken))
    assert copying(1) == 1
    assert copying.report().compared == {}


def test_findings_are_bounded():
    strangler = Strangler(
        "s",
        lambda n: "x" * n,
        lambda n: "y" * n,
        compare=Compare(max_differences=3, max_shown=50),
    )
    for _ in range(5):
        strangler(10_000)
        assert strangler.wait_settled(30)
    report = strangler.report()
    assert len(report.differences) == 3
    assert all(len(each.old) == len(each.new) == 50 for each in report.differences)
    assert report.compared == {"different": 5}


async def test_the_candidate_knows_what_it_is_and_no_deadline_of_the_caller():
    seen = []

    async def candidate(n):
        seen.append((comparing(), remaining(), TraceContext.current().correlation_id))
        return n

    strangler = Strangler("s", aold, candidate, compare=Compare())
    token = deadline_variable.set(1.0)
    await strangler(1)
    deadline_variable.reset(token)
    await strangler.settled()
    came = TraceContext().replace(deadline=time.monotonic(), correlation_id="c")
    with came.activate():
        await strangler(1)
        assert remaining() <= 0
    await strangler.settled()
    assert seen == [(True, None, None), (True, None, "c")]
    assert not comparing()


async def test_a_policy_of_ones_own():
    policy = Policy("mine", Timeout(0.001))

    async def slow(_n):
        await anyio.sleep_forever()

    strangler = Strangler("s", aold, slow, compare=Compare(policy=policy))
    await strangler(1)
    await strangler.settled()
    assert AttemptTimeout.__name__ in strangler.report().differences[0].new


def test_the_report_prints_and_is_data_and_html():
    strangler = Strangler("<numbers>", old, new, compare=Compare())
    for n in (1, 13):
        strangler(n)
    assert strangler.wait_settled(30)
    report = strangler.report()
    text = str(report)
    assert "<numbers>: 0 of the calls go to the new one" in text
    assert "compared: 1 same, 1 different; 50.00% match" in text
    assert "different: (13): old 13, new 31" in text
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["compared"] == {"same": 1, "different": 1}
    assert plain["match_rate"] == 0.5
    assert plain["differences"][0]["new"] == "31"
    markup = report.to_html()
    assert "<td>(13)</td><td>13</td><td>31</td>" in markup
    assert json.loads(json.dumps(Strangler("s", old, new).report().to_dict()))
