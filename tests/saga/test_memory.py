"""A saga in memory: order, retries, timeouts, turning back. The same execution runs in a store."""

from __future__ import annotations

import dataclasses
import threading

import anyio
import pytest

from penstock import Retry, Saga, saga
from penstock.errors import Misuse
from penstock.saga import Abort, SagaParked, SagaState, StepTimeout
from tests.conftest import BACKENDS

AT_ONCE = Retry(attempts=3, delay=0.0)


class Trace:
    """Steps that note what they do, and fail as they are told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, name, *errors, result=None):
        left = list(errors)

        async def do(context):
            self.lines.append(name)
            if left and (error := left.pop(0)) is not None:
                raise error
            return result

        return do

    def undo(self, name, *errors):
        return self.step(f"undo {name}", *errors)

    def saga(self, *steps):
        made = Saga("book")
        for name, errors, more in steps:
            options = {"compensate": self.undo(name), **more}
            made.add_step(name, self.step(name, *errors, result=name.upper()), **options)
        return made


@pytest.fixture
def trace() -> Trace:
    return Trace()


async def test_steps_run_in_order(trace):
    booking = trace.saga(("a", (), {}), ("b", (), {}), ("c", (), {}))
    outcome = await booking.run({"to": "Lisbon"}, key="k")
    assert trace.lines == ["a", "b", "c"]
    assert (outcome.saga, outcome.key) == ("book", "k")
    assert outcome.state is SagaState.COMPLETED
    assert outcome.state == "completed"
    assert outcome.results == {"a": "A", "b": "B", "c": "C"}
    assert (outcome.step, outcome.error) == (None, None)


async def test_a_failure_compensates_in_reverse_and_comes_out(trace):
    error = ValueError("no room")
    booking = trace.saga(
        ("a", (), {}), ("b", (), {"compensate": None}), ("c", (), {}), ("d", [error], {})
    )
    with pytest.raises(ValueError, match="no room") as caught:
        await booking.run({}, key="k")
    assert caught.value is error
    assert caught.value.__notes__ == ["saga 'book', key 'k': what had been done is compensated"]
    assert trace.lines == ["a", "b", "c", "d", "undo c", "undo a"], "d failed, and did nothing"


async def test_the_first_step_fails(trace):
    booking = trace.saga(("a", [KeyError("x")], {}), ("b", (), {}))
    with pytest.raises(KeyError):
        await booking.run({})
    assert trace.lines == ["a"]


async def test_retries(trace):
    booking = trace.saga(
        ("a", [OSError("1"), OSError("2")], {"retry": AT_ONCE}),
        ("b", [OSError("1"), OSError("2"), OSError("3")], {"retry": AT_ONCE}),
    )
    with pytest.raises(OSError, match="3"):
        await booking.run({})
    assert trace.lines == ["a", "a", "a", "b", "b", "b", "undo a"]


async def test_abort_is_not_retried_and_needs_no_undoing(trace):
    booking = trace.saga(("a", (), {}), ("b", [Abort("no seat")], {"retry": AT_ONCE}))
    with pytest.raises(Abort, match="no seat") as caught:
        await booking.run({})
    assert caught.value.reason == "no seat"
    assert trace.lines == ["a", "b", "undo a"]


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("?"),
        ConnectionResetError("?"),
        BrokenPipeError("?"),
        ExceptionGroup("of one", [TimeoutError("?")]),
        ExceptionGroup("of two", [ValueError("!"), TimeoutError("?")]),
    ],
)
async def test_what_may_have_happened_is_compensated(trace, error):
    booking = trace.saga(("a", (), {}), ("b", [error], {}))
    with pytest.raises(Exception, match=r"\?|of two"):
        await booking.run({})
    assert trace.lines == ["a", "b", "undo b", "undo a"]


async def test_a_refused_connection_has_had_no_effect(trace):
    booking = trace.saga(("a", (), {}), ("b", [ConnectionRefusedError("?")], {}))
    with pytest.raises(ConnectionRefusedError):
        await booking.run({})
    assert trace.lines == ["a", "b", "undo a"]


async def test_one_unsure_attempt_makes_the_step_unsure(trace):
    """The first attempt may have had its effect, whatever the second one says."""
    booking = trace.saga(("a", [TimeoutError("?"), Abort("no")], {"retry": AT_ONCE}))
    with pytest.raises(Abort):
        await booking.run({})
    assert trace.lines == ["a", "a", "undo a"]


async def test_a_step_that_was_done_in_the_end_is_undone_once(trace):
    booking = trace.saga(
        ("a", [TimeoutError("?")], {"retry": AT_ONCE}), ("b", [ValueError("no")], {})
    )
    with pytest.raises(ValueError, match="no"):
        await booking.run({})
    assert trace.lines == ["a", "a", "b", "undo a"]


async def test_a_step_that_takes_too_long(trace):
    booking = Saga("book")
    ended = []

    async def slow(context):
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(saga.current().attempt)

    booking.add_step("a", slow, compensate=trace.undo("a"), timeout=0.01)
    with pytest.raises(StepTimeout, match=r"step 'a' took longer than its timeout of 0\.01 s"):
        await booking.run({})
    assert ended == [1]
    assert trace.lines == ["undo a"]


async def test_a_timeout_is_of_each_attempt():
    booking = Saga("book")

    async def slow(context):
        if saga.current().attempt < 3:
            await anyio.sleep_forever()
        return saga.current().attempt

    booking.add_step("a", slow, timeout=0.01, retry=AT_ONCE)
    assert (await booking.run({})).results == {"a": 3}


async def test_behind_the_pivot_it_only_goes_forward(trace):
    booking = trace.saga(
        ("a", (), {}), ("b", (), {"pivot": True}), ("c", [ValueError("stuck")], {})
    )
    with pytest.raises(SagaParked, match="failed behind the pivot: ValueError: stuck") as caught:
        await booking.run({})
    assert isinstance(caught.value.__cause__, ValueError)
    assert trace.lines == ["a", "b", "c"]


async def test_the_pivot_itself_may_fail(trace):
    booking = trace.saga(("a", (), {}), ("b", [ValueError("no")], {"pivot": True}))
    with pytest.raises(ValueError, match="no"):
        await booking.run({})
    assert trace.lines == ["a", "b", "undo a"]


async def test_a_compensation_is_tried_again_and_then_parks(trace):
    booking = trace.saga(
        ("a", (), {}),
        ("b", (), {"compensate": trace.undo("b", OSError("1"), OSError("2"), OSError("3")),
                   "compensate_retry": AT_ONCE}),
        ("c", [ValueError("no")], {}),
    )  # fmt: skip
    with pytest.raises(SagaParked, match=r"compensating 'b' failed: OSError: 3 \(after 'c': Val"):
        await booking.run({})
    assert trace.lines == ["a", "b", "c", "undo b", "undo b", "undo b"], "a waits for b"


async def test_abort_in_a_compensation_parks_at_once(trace):
    booking = trace.saga(
        ("a", (), {"compensate": trace.undo("a", Abort("cannot be undone"))}),
        ("b", [ValueError("no")], {}),
    )
    with pytest.raises(SagaParked, match="cannot be undone"):
        await booking.run({})
    assert trace.lines == ["a", "b", "undo a"]


@dataclasses.dataclass
class Seat:
    row: int
    letter: str


@dataclasses.dataclass
class Trip:
    to: str
    people: int = 1


async def test_contexts_and_results_are_what_they_are_annotated_to_be():
    booking = Saga("book", context=Trip)
    seen = []

    @booking.step()
    async def reserve(trip: Trip) -> Seat:
        seen.append(trip)
        return Seat(12, "A")

    @booking.step()
    async def count(trip: Trip) -> tuple[int, ...]:
        seen.append(saga.current().result("reserve"))
        return (1, 2)

    @booking.step()
    async def plain(trip: Trip):
        seen.append(saga.current().result("count"))
        return Seat(1, "B")

    outcome = await booking.run(Trip("Lisbon"))
    assert seen == [Trip("Lisbon"), Seat(12, "A"), (1, 2)]
    assert outcome.results["reserve"] == Seat(12, "A")
    assert outcome.results["plain"] == {"row": 1, "letter": "B"}, "without an annotation: data"


async def test_a_result_that_breaks_its_annotation_is_plain_data():
    booking = Saga("book")

    @booking.step()
    async def count(context) -> int:
        return "seven"

    assert (await booking.run({})).results == {"count": "seven"}


async def test_an_annotation_that_cannot_be_stored_is_passed_over():
    booking = Saga("book")

    @booking.step()
    async def reserve(context) -> threading.Thread:
        return "A12"

    assert (await booking.run({})).results == {"reserve": "A12"}


async def test_a_result_that_cannot_be_stored_fails_the_step_which_is_undone(trace):
    booking = Saga("book")

    async def reserve(context):
        return threading.Lock()

    booking.add_step("reserve", reserve, compensate=trace.undo("reserve"))
    with pytest.raises(Misuse, match=r"step 'reserve' returned a .*lock that cannot be stored"):
        await booking.run({})
    assert trace.lines == ["undo reserve"]


async def test_plain_functions_run_in_threads_and_know_their_step():
    booking = Saga("book")
    threads = []

    @booking.step(retry=AT_ONCE)
    def reserve(context):
        threads.append(threading.current_thread())
        if saga.current().attempt < 2:
            raise OSError("again")
        return saga.current().idempotency_key

    outcome = await booking.run({}, key="k")
    assert outcome.results == {"reserve": "book/k/reserve"}
    assert threading.current_thread() not in threads


async def test_the_current_step():
    booking = Saga("book")
    seen = []

    def note(context):
        step = saga.current()
        seen.append((step.saga, step.key, step.name, step.attempt, step.fence, step.is_fenced,
                     step.is_compensation, step.idempotency_key, step.failure))  # fmt: skip

    async def reserve(context):
        note(context)
        assert saga.current().result("reserve", "none") == "none"
        if saga.current().attempt == 1:
            raise OSError("again")
        return 7

    async def undo(context):
        note(context)
        assert saga.current().result("reserve") == 7
        assert "CurrentStep book/k/reserve/undo attempt 1" in repr(saga.current())

    async def pay(context):
        with pytest.raises(KeyError):
            saga.current().result("pay")
        with pytest.raises(KeyError):
            saga.current().result("nothing of that name")
        raise Abort("declined")

    booking.add_step("reserve", reserve, compensate=undo, retry=AT_ONCE)
    booking.add_step("pay", pay)
    with pytest.raises(Abort):
        await booking.run({}, key="k")
    assert seen == [
        ("book", "k", "reserve", 1, 1, False, False, "book/k/reserve", None),
        ("book", "k", "reserve", 2, 1, False, False, "book/k/reserve", None),
        ("book", "k", "reserve", 1, 1, False, True, "book/k/reserve/undo", "declined"),
    ]
    with pytest.raises(Misuse, match="no step of a saga runs here"):
        saga.current()


async def test_runs_do_not_see_each_other():
    booking = Saga("book")
    barrier = [anyio.Event(), anyio.Event()]

    @booking.step()
    async def a(number):
        barrier[number].set()
        await barrier[1 - number].wait()
        return saga.current().key

    async def run(number):
        outcome = await booking.run(number, key=str(number))
        assert outcome.results == {"a": str(number)}

    async with anyio.create_task_group() as group:
        group.start_soon(run, 0)
        group.start_soon(run, 1)


async def test_cancellation_stops_it_where_it_stands(trace):
    booking = Saga("book")
    booking.add_step("a", trace.step("a"), compensate=trace.undo("a"))

    async def forever(context):
        trace.lines.append("b")
        scope.cancel()
        await anyio.sleep_forever()

    booking.add_step("b", forever, compensate=trace.undo("b"))
    with anyio.CancelScope() as scope:
        await booking.run({})
    assert scope.cancelled_caught
    assert trace.lines == ["a", "b"]


@pytest.mark.parametrize("anyio_backend", BACKENDS[:2])  # trio lets nobody raise Cancelled
async def test_a_cancellation_that_a_step_brought_upon_itself(trace):
    """It awaits something that others had cancelled: the attempt ended, nobody knows how."""
    booking = Saga("book")

    async def awaits(context):
        raise anyio.get_cancelled_exc_class()

    booking.add_step("a", awaits, compensate=trace.undo("a"))
    with pytest.raises(Exception, match="cancelled elsewhere"):
        await booking.run({})
    assert trace.lines == ["undo a"]


async def test_nothing_to_transact_with():
    booking = Saga("book")

    @booking.step()
    async def a(context):
        return await saga.current().transact(lambda transaction: 1)

    with pytest.raises(Misuse, match="a saga in memory has no store"):
        await booking.run({})


async def test_a_key_of_its_own():
    booking = Saga("book")
    booking.add_step("a", Trace().step("a"))
    first, second = await booking.run({}), await booking.run({})
    assert first.key != second.key
