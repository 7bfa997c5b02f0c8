"""Where the context goes by itself, and how it is carried where it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.to_thread
import pytest

from penstock import Queue, Stream
from penstock.tracing import TraceContext, Tracer, current_span, statistics


def here() -> str:
    return TraceContext.current().span_id


async def test_tasks_have_it(tracer: Tracer):
    seen = []

    async def task() -> None:
        await anyio.lowlevel.checkpoint()
        seen.append(here())
        with tracer.span("child"):
            await anyio.lowlevel.checkpoint()
        seen.append(here())

    with tracer.span("root") as root:
        async with anyio.create_task_group() as group:
            group.start_soon(task)
            group.start_soon(task)
    assert seen == [root.span_id] * 4
    children = [span for span in tracer.store.spans() if span.name == "child"]
    assert [child.parent_id for child in children] == [root.span_id] * 2


async def test_tasks_side_by_side_do_not_meet(tracer: Tracer):
    both = anyio.Event()

    async def task(name: str) -> None:
        with tracer.span(name) as span:
            if name == "second":
                both.set()
            await both.wait()
            await anyio.lowlevel.checkpoint()
            assert current_span() is span
            assert span.parent_id is None

    async with anyio.create_task_group() as group:
        group.start_soon(task, "first")
        group.start_soon(task, "second")


async def test_worker_threads_have_it(tracer: Tracer):
    with tracer.span("root") as root:
        assert await anyio.to_thread.run_sync(here) == root.span_id


def test_asyncio_to_thread_and_callbacks_have_it(tracer: Tracer):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        called = loop.create_future()
        with tracer.span("root") as root:
            assert await asyncio.to_thread(here) == root.span_id
            loop.call_soon(lambda: called.set_result(here()))
            loop.call_later(0, here)
            assert await called == root.span_id

    asyncio.run(main())


def test_bare_threads_and_executors_are_handed_it(tracer: Tracer):
    with tracer.span("root") as root, ThreadPoolExecutor(1) as executor:
        context = TraceContext.current()
        copied = contextvars.copy_context()
        assert executor.submit(here).result() == TraceContext().span_id
        assert executor.submit(copied.run, here).result() == root.span_id

    def work() -> None:
        with context.activate(), tracer.span("in a thread"):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    trace = tracer.get_trace(root.trace_id)
    assert trace is not None
    assert [span.name for _, span in trace.walk()] == ["root", "in a thread"]


async def test_a_queue_carries_what_is_put_beside_the_item(tracer: Tracer):
    queue: Queue[tuple[TraceContext, str]] = Queue()

    async def consume() -> None:
        context, item = await queue.aget()
        with tracer.span("child", parent=context):
            pass
        with tracer.span("linked", links=[context]):
            assert item == "x"

    async with anyio.create_task_group() as group:
        group.start_soon(consume)
        with tracer.span("produce", kind="producer") as produce:
            await queue.aput((produce.context, "x"))
    by_name = {span.name: span for span in tracer.store.spans()}
    assert by_name["child"].parent_id == produce.span_id
    assert by_name["linked"].parent_id is None
    assert by_name["linked"].trace_id != produce.trace_id
    assert by_name["linked"].links[0].span_id == produce.span_id


async def test_the_stages_of_a_stream_have_it(tracer: Tracer):
    async def stage(item: int) -> str:
        await anyio.lowlevel.checkpoint()
        return here()

    with tracer.span("root") as root:
        seen = await Stream.from_iterable(range(5)).map(stage, concurrency=2).collect()
    assert seen == [root.span_id] * 5


async def test_a_generator_closed_elsewhere_leaves_no_trace_of_it(tracer: Tracer):
    async def numbers():
        with tracer.span("generator"):
            yield 1
            yield 2

    generator = numbers()
    before = statistics().foreign_exits
    with tracer.span("other") as other:
        async with anyio.create_task_group() as group:

            async def begin() -> None:
                assert await anext(generator) == 1

            group.start_soon(begin)
        assert current_span() is other
        await generator.aclose()
        assert current_span() is other
    assert current_span() is None
    assert statistics().foreign_exits == before + 1
    assert {span.name for span in tracer.store.spans()} == {"generator", "other"}


def test_overlapping_blocks_are_counted_and_do_not_raise(tracer: Tracer):
    before = statistics().foreign_exits

    def overlap() -> None:
        first, second = contextlib.ExitStack(), contextlib.ExitStack()
        first.enter_context(tracer.span("first"))
        second.enter_context(tracer.span("second"))
        first.close()
        second.close()

    contextvars.copy_context().run(overlap)
    assert statistics().foreign_exits == before + 1
    assert len(tracer.store) == 2


def test_baggage_and_deadline_go_down_with_the_spans(tracer: Tracer):
    context = TraceContext().replace(baggage={"tenant": "blue"}, correlation_id="c-1")
    with context.activate(), tracer.span("a"), tracer.span("b") as inner:
        assert inner.context.baggage == {"tenant": "blue"}
        assert TraceContext.current().correlation_id == "c-1"
    assert inner.context.to_headers()["baggage"] == "tenant=blue"


def run(program: str) -> str:
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert not process.stderr
    return process.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_goes_on_by_itself():
    out = run("""
        import os
        from penstock.tracing import Tracer, current_span
        tracer = Tracer("main")
        with tracer.span("before"):
            pass
        with tracer.span("root") as root:
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                assert len(tracer.store) == 0
                assert current_span() is root
                with tracer.span("child") as child:
                    pass
                os.write(write, child.span_id.encode())
                assert [span.parent_id for span in tracer.store.spans()] == [root.span_id]
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            with tracer.span("child") as child:
                pass
            assert os.read(read, 16).decode() != child.span_id
        print(sorted(span.name for span in tracer.store.spans()))
    """)
    assert out == "['before', 'child', 'root']\n"


def test_many_threads_keep_every_span(tracer: Tracer):
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        for _ in range(500):
            with tracer.span("a"), tracer.span("b", {"k": 1}):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    traces = tracer.traces()
    assert len(traces) == 2000
    assert all([span.name for _, span in trace.walk()] == ["a", "b"] for trace in traces)


def test_tracing_loads_no_event_loop():
    run("""
        import sys
        from penstock import tracing
        with tracing.Tracer("x").span("y"):
            pass
        assert not {"asyncio", "trio", "anyio", "opentelemetry"} & sys.modules.keys()
    """)
