"""The context goes along into a pool's workers, and the spans that end there come back."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest

from penstock import WorkerPool
from penstock.errors import Misuse
from penstock.shared import dump
from penstock.tracing import Sampler, SpanStore, TraceContext, Tracer, default_store

tracer = Tracer("pool tests")


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(workers=2) as pool:
        yield pool


@pytest.fixture(autouse=True)
def empty_store() -> None:
    default_store().take()


def where() -> tuple[str, str, dict[str, str]]:
    context = TraceContext.current()
    return context.trace_id, context.span_id, context.baggage


def work(n: int) -> int:
    with tracer.span("work", {"n": n}), tracer.span("inner"):
        return n * n


def fail() -> None:
    with tracer.span("failing"):
        raise LookupError("gone")


def unpicklable() -> object:
    with tracer.span("unpicklable"):
        return lambda: None


def twice() -> tuple[bool, bool]:
    return TraceContext.current().is_valid, len(default_store()) > 0


async def test_spans_of_a_worker_are_part_of_the_trace(pool: WorkerPool):
    with tracer.span("root") as root:
        assert await pool.run(work, 3) == 9
    trace = tracer.get_trace(root.trace_id)
    assert trace is not None
    assert [(depth, span.name) for depth, span in trace.walk()] == [
        (0, "root"),
        (1, "work"),
        (2, "inner"),
    ]
    assert trace.spans[1].attributes == {"n": 3}
    begun, ended = trace.root.start_ns, trace.root.end_ns
    # Clocks are the same; the anchors to the wall are taken by each process for itself.
    assert all(begun - 10**7 < span.start_ns < ended + 10**7 for span in trace)


def test_submit_and_map_carry_it_too(pool: WorkerPool):
    with tracer.span("root") as root:
        assert pool.submit(work, n=2).result() == 4
        assert list(pool.map(work, range(3))) == [0, 1, 4]
    trace = tracer.get_trace(root.trace_id)
    assert trace is not None
    assert sum(span.name == "work" for span in trace) == 4


async def test_imap_carries_it_too(pool: WorkerPool):
    with tracer.span("root") as root:
        results = [value async for value in pool.imap(work, range(8), ordered=False)]
    assert sorted(results) == [n * n for n in range(8)]
    trace = tracer.get_trace(root.trace_id)
    assert trace is not None
    assert sum(span.name == "work" for span in trace) == 8


async def test_calls_side_by_side_keep_their_own(pool: WorkerPool):
    roots = {}

    async def one(n: int) -> None:
        with tracer.span("root") as root:
            roots[n] = root.trace_id
            await pool.run(work, n)

    async with anyio.create_task_group() as group:
        for n in range(8):
            group.start_soon(one, n)
    for n, trace_id in roots.items():
        trace = tracer.get_trace(trace_id)
        assert trace is not None
        assert [span.attributes.get("n") for span in trace if span.name == "work"] == [n]


async def test_an_exception_passes_with_its_spans(pool: WorkerPool):
    with tracer.span("root") as root, pytest.raises(LookupError, match="gone") as caught:
        await pool.run(fail)
    # The worker's traceback begins with the user's function, as without a trace.
    told = str(caught.value.__cause__)
    assert "in fail" in told
    assert "call_inside" not in told
    assert "_worker.py" not in told
    trace = tracer.get_trace(root.trace_id)
    assert trace is not None
    assert [span.description for span in trace if span.name == "failing"] == ["LookupError: gone"]


async def test_a_result_that_does_not_pickle_is_named_and_its_spans_come(pool: WorkerPool):
    with tracer.span("root") as root, pytest.raises(Misuse, match=r"unpicklable does not pickle"):
        await pool.run(unpicklable)
    trace = tracer.get_trace(root.trace_id)
    assert trace is not None
    assert "unpicklable" in {span.name for span in trace}


async def test_everything_a_context_carries_goes_along(pool: WorkerPool):
    context = TraceContext().child().replace(baggage={"tenant": "blue"})
    with context.activate():
        assert await pool.run(where) == (context.trace_id, context.span_id, {"tenant": "blue"})
    baggage_only = TraceContext().replace(baggage={"a": "1"})
    with baggage_only.activate():
        assert await pool.run(where) == ("0" * 32, "0" * 16, {"a": "1"})


async def test_what_is_not_sampled_is_not_recorded_there(pool: WorkerPool):
    off = Tracer("off", sampler=Sampler.never(), store=SpanStore())
    with off.span("root"):
        assert await pool.run(work, 2) == 4
    assert len(default_store()) == 0


async def test_without_a_context_nothing_is_carried(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
):
    import penstock.workers._pool as module

    sent = []
    monkeypatch.setattr(module, "dump", lambda call: sent.append(call) or dump(call))
    assert await pool.run(twice) == (False, False)
    with tracer.span("root"):
        assert await pool.run(twice) == (True, False)
    assert [len(call) for call in sent] == [3, 4]


async def test_nothing_of_a_call_is_left_in_its_worker(pool: WorkerPool):
    with tracer.span("root"):
        await pool.run(work, 1)
        await pool.run(fail_quietly)
    for _ in range(4):
        assert await pool.run(twice) == (False, False)


def fail_quietly() -> None:
    with tracer.span("quiet"):
        pass
