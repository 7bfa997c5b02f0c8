"""One saga on its way: what runs next, what is written down, when it turns back.

    do 0 → do 1 → … → completed
             ↓ fails for good, before the pivot
          undo 1 (if it may have happened) → undo 0 → compensated
             ↓ a compensation fails for good, or a step behind the pivot
          parked

Every arrow is one write, under the saga's fence: the end of one attempt and what comes next. So a
process that takes over finds either. It runs again what was under way, which may have happened.
"""

from __future__ import annotations

import inspect
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import lru_cache, partial
from typing import Any, Protocol

import anyio
import anyio.to_thread

from penstock import metrics
from penstock._durable.cancellation import is_cancelled_from_outside
from penstock._durable.codec import Codec
from penstock.errors import Misuse
from penstock.tracing import TraceContext, Tracer

from .current import CurrentStep, running
from .definition import PLAIN, Saga, Step
from .errors import Abort, StepTimeout
from .outcome import Outcome, SagaState
from .store import Change, Claimed, Encode, Entry, Failure, Position

__all__ = (
    "Execution",
    "Fenced",
    "Journal",
    "Released",
    "refuse_what_awaits",
    "settled_outcome",
)

_log = logging.getLogger("penstock.saga")
_tracer = Tracer("penstock.saga")
_seconds = metrics.histogram(
    "penstock_saga_step_seconds", "one attempt of a step", ("saga", "step")
)
_ended = metrics.counter("penstock_sagas_ended", "sagas, by how they ended", ("saga", "state"))

_LONGEST_TRACEBACK = 20_000


class Fenced(Exception):
    """Somebody else runs this saga now."""


class Released(Exception):
    """It stops here for now, and is gone on with by whoever claims it."""


class Journal(Protocol):
    """Where the moves of one saga are written."""

    owner: str

    @property
    def is_fenced(self) -> bool: ...

    async def write(self, change: Change) -> None:
        """Returns when it is committed. Raises Fenced if the fence has moved on."""

    async def transact(
        self,
        change: Change,
        fn: Callable[..., Any],
        args: Sequence[Any],
        encode: Encode,
        began: float,
    ) -> tuple[bytes, BaseException | None]:
        """The same, with `fn` in the transaction; returns its result, encoded.

        Beside it, what interrupted the waiting and is to be raised when all is noted.
        """

    async def pause(self, seconds: float) -> None:
        """Wait before the next attempt. Raises Released if there is no time for that."""


class _Failed(Exception):
    """An attempt failed; `error` is what came out of it."""

    def __init__(self, error: BaseException, *, is_unsure: bool) -> None:
        super().__init__()
        self.error = error
        self.is_unsure = is_unsure


class Execution:
    """Runs one saga from where it stands to its end, or until it loses it."""

    def __init__(self, saga: Saga[Any], found: Claimed, journal: Journal) -> None:
        self.saga = saga
        self.key = found.key
        self.fence = found.fence
        self._found = found
        self._journal = journal
        self._steps = saga.steps
        self._results = {name: result for phase, name, result in found.done if phase == "do"}
        self._entries = found.entries
        self._state = found.state
        self._phase, self._number, self._attempt = found.phase, found.step, found.attempt
        self._is_unsure = found.is_unsure
        self._failure = None if found.error is None else Failure(found.failed_step, found.error)
        self._exception: BaseException | None = None
        self._began = 0.0
        self._is_done = False
        """Whether the step that runs has ended by its own transaction."""
        self._running: CurrentStep | None = None

    @property
    def is_fenced(self) -> bool:
        return self._journal.is_fenced

    @property
    def failure(self) -> str | None:
        return None if self._failure is None else self._failure.error

    def result(self, step: str) -> Any:
        payload = self._results[step]
        if payload is None:
            return None
        return self._codec(step).decode(payload)

    def _codec(self, step: str) -> Codec:
        return next((each.codec for each in self._steps if each.name == step), PLAIN)

    # -- the whole way -------------------------------------------------------------------------

    async def run(self, max_crashes: int) -> Outcome:
        """Raises Fenced, Released, and cancellation; whatever steps raise is in the outcome."""
        found = self._found
        parent = None
        if found.traceparent is not None:
            parent = TraceContext.from_headers({"traceparent": found.traceparent})
        attributes = {"saga.key": self.key, "saga.fence": self.fence}
        with _tracer.span(f"saga {self.saga.name}", attributes, parent=parent) as span:
            outcome = await self._run(max_crashes)
            span.set_attribute("saga.state", outcome.state.value)
            if outcome.error is not None:
                span.set_status("error", outcome.error)
        _ended.bind(saga=self.saga.name, state=outcome.state.value).inc()
        return outcome

    async def _run(self, max_crashes: int) -> Outcome:
        misfit = self._misfit()
        if misfit is not None:
            return await self._park(misfit)
        if self._found.crashes >= max_crashes:
            name = self._steps[self._number].name
            return await self._park(
                f"step {name!r} lost its process {self._found.crashes} times in a row"
            )
        try:
            context = self.saga.codec.decode(self._found.input)
        except Exception as error:  # noqa: BLE001 (a codec raises what it likes)
            return await self._park(f"its context cannot be decoded: {error}")
        if self._found.pause:
            await self._journal.pause(self._found.pause)
        while self._state == SagaState.RUNNING:
            await self._forward(context)
        while self._state == SagaState.COMPENSATING:
            await self._backward(context)
        return self._outcome()

    def _outcome(self) -> Outcome:
        step, error = self._failure or (None, None)
        codecs = {each.name: each.codec for each in self._steps}
        results = {
            name: _as_told(codecs.get(name, PLAIN), payload)
            for name, payload in self._results.items()
        }
        state = SagaState(self._state)
        if state is SagaState.COMPLETED:
            return Outcome(self.saga.name, self.key, state, results)
        return Outcome(self.saga.name, self.key, state, results, step, error, self._exception)

    def _misfit(self) -> str | None:
        """Why this saga cannot go on under the definition there is."""
        found = self._found
        if found.version == self.saga.version:
            return None
        if found.version is not None:
            return "its definition was changed since it was started"
        names = [each.name for each in self._steps]
        done = list(self._results)
        if names[: len(done)] != done:
            return f"its definition has other steps than were done: {', '.join(done)}"
        if self._number >= len(names):
            return "its definition has fewer steps than it had"
        return None

    # -- forward -------------------------------------------------------------------------------

    async def _forward(self, context: Any) -> None:
        step = self._steps[self._number]
        try:
            payload = await self._run_attempt(step, step.do, context)
        except _Failed as failed:
            await self._fail(step, failed)
            return
        if self._is_done:
            return
        entry = self._entry(step.name, "done", result=payload)
        await self._write([entry], self._after(self._number))
        self._results[step.name] = payload

    def _after(self, number: int) -> Position:
        """Where the saga stands once step `number` is done."""
        if number + 1 == len(self._steps):
            return Position(SagaState.COMPLETED, "do", number, 1, is_unsure=False)
        return Position(SagaState.RUNNING, "do", number + 1, 1, is_unsure=False)

    async def _fail(self, step: Step, failed: _Failed) -> None:
        error = failed.error
        is_unsure = self._is_unsure or failed.is_unsure
        entry = self._entry(step.name, "failed", error=error)
        if not isinstance(error, Abort) and self._attempt < step.retry.attempts:
            pause = step.retry.pause(self._attempt)
            position = Position(
                SagaState.RUNNING, "do", self._number, self._attempt + 1, is_unsure, pause
            )
            await self._write([entry], position)
            if pause:
                await self._journal.pause(pause)
            return
        self._exception = error
        failure = Failure(step.name, _text(error))
        if any(each.pivot for each in self._steps[: self._number]):
            position = Position(SagaState.PARKED, "do", self._number, self._attempt, is_unsure)
            reason = f"step {step.name!r} failed behind the pivot: {failure.error}"
            await self._write([entry], position, failure._replace(error=reason))
            return
        first = self._number if is_unsure else self._number - 1
        await self._write([entry], self._undo_from(first), failure)

    # -- backward ------------------------------------------------------------------------------

    def _undo_from(self, number: int) -> Position:
        """Where the saga stands with everything above `number` undone."""
        while number >= 0 and self._steps[number].compensate is None:
            number -= 1
        if number < 0:
            return Position(SagaState.COMPENSATED, "undo", 0, 1, is_unsure=False)
        return Position(SagaState.COMPENSATING, "undo", number, 1, is_unsure=False)

    async def _backward(self, context: Any) -> None:
        step = self._steps[self._number]
        if step.compensate is None:  # It had one in the definition before.
            await self._write([], self._undo_from(self._number))
            return
        try:
            payload = await self._run_attempt(step, step.compensate, context)
        except _Failed as failed:
            entry = self._entry(step.name, "failed", error=failed.error)
            if self._attempt < step.compensate_retry.attempts and not isinstance(
                failed.error, Abort
            ):
                pause = step.compensate_retry.pause(self._attempt)
                position = Position(
                    SagaState.COMPENSATING, "undo", self._number, self._attempt + 1, False, pause
                )
                await self._write([entry], position)
                if pause:
                    await self._journal.pause(pause)
                return
            self._exception = failed.error
            position = Position(SagaState.PARKED, "undo", self._number, self._attempt, False)
            why = f"compensating {step.name!r} failed: {_text(failed.error)}"
            if self._failure is not None:
                why = f"{why} (after {self._failure.step!r}: {self._failure.error})"
            await self._write([entry], position, Failure(step.name, why))
            return
        if self._is_done:
            return
        entry = self._entry(step.name, "done", result=payload)
        await self._write([entry], self._undo_from(self._number - 1))

    async def _park(self, reason: str) -> Outcome:
        self._began = time.perf_counter()
        entry = Entry(self._entries, "", "note", 0, "parked", 0.0, error=reason)
        position = Position(
            SagaState.PARKED, self._phase, self._number, self._attempt, self._is_unsure
        )
        await self._write([entry], position, Failure(None, reason))
        return self._outcome()

    # -- one attempt -----------------------------------------------------------------------------

    async def _run_attempt(
        self, step: Step, fn: Callable[[Any], Any], context: Any
    ) -> bytes | None:
        """Call it; what it returned, encoded. Raises _Failed, Fenced, and cancellation."""
        is_undo = self._phase == "undo"
        label = f"undo {step.name}" if is_undo else step.name
        self._is_done = False
        self._began = time.perf_counter()
        self._running = attempt = CurrentStep(self, step.name, self._attempt, undo=is_undo)
        token = running.set(attempt)
        aborted = None
        try:
            with _tracer.span(label, {"attempt": self._attempt}) as span:
                try:
                    result = await self._call(step, fn, context)
                except Abort as abort:
                    # Decided, and no fault: a stack would say nothing, and cost half a millisecond.
                    span.set_status("error", abort.reason)
                    aborted = abort
            if aborted is not None:
                raise aborted
        except (Fenced, Released):
            raise
        except Exception as raised:  # noqa: BLE001 (whatever a step raises is its failure)
            error = _innermost(raised)
            if not self._is_done:
                raise _Failed(error, is_unsure=_is_unsure(error)) from None
            # As if the process had died just then: the transaction has ended the step.
            _log.warning(
                "saga %r, key %r: step %r raised after its transaction, which stands: %s",
                self.saga.name,
                self.key,
                step.name,
                _text(error),
            )
            return None
        finally:
            del aborted  # its frames would hold it
            self._running = None
            running.reset(token)
            _meter(self.saga.name, label).record(time.perf_counter() - self._began)
        if self._is_done or result is None:
            return None
        codec = step.codec if not is_undo else PLAIN
        try:
            return codec.encode(result)
        except (TypeError, ValueError) as error:
            misuse = Misuse(
                f"saga {self.saga.name!r}: step {step.name!r} returned a "
                f"{type(result).__qualname__} that cannot be stored: {error}",
                hint="return plain data or a dataclass of it",
            )
            # It did what it does, so it is undone with the others.
            raise _Failed(misuse, is_unsure=True) from None

    async def _call(self, step: Step, fn: Callable[[Any], Any], context: Any) -> Any:
        is_async = step.compensation_is_async if self._phase == "undo" else step.is_async
        try:
            if step.timeout is None:
                return await _called(fn, context, is_async)
            with anyio.move_on_after(step.timeout) as scope:
                return await _called(fn, context, is_async)
        except anyio.get_cancelled_exc_class():
            if is_cancelled_from_outside():
                raise
            raise _Abandoned("it awaited something that was cancelled elsewhere") from None
        assert scope.cancelled_caught
        if self._is_done:
            return None  # Its transaction was faster.
        raise StepTimeout(
            f"saga {self.saga.name!r}, key {self.key!r}: step {step.name!r} took longer than "
            f"its timeout of {step.timeout:g} s",
            hint="what it did is unknown; a later attempt has the same idempotency key",
        )

    async def transact(self, step: CurrentStep, fn: Callable[..., Any], args: Sequence[Any]) -> Any:
        if self._running is not step:
            # Of a task that has outlived its step: this would end another one.
            raise Misuse(f"step {step.name!r} is over", hint="await transact() inside of the step")
        if self._is_done:
            raise Misuse(
                f"step {step.name!r} has ended with its first transaction",
                hint="put all that belongs together into one function",
            )
        refuse_what_awaits(fn)
        number = self._number
        codec: Codec = PLAIN if step.is_compensation else self._steps[number].codec
        position = self._undo_from(number - 1) if step.is_compensation else self._after(number)
        entry = self._entry(step.name, "done")
        change = self._change([entry], position)
        run = partial(copy_context().run, fn)
        payload, interruption = await self._journal.transact(
            change, run, args, codec.encode, self._began
        )
        self._is_done = True
        if not step.is_compensation:
            self._results[step.name] = payload
        self._moved(change)
        if interruption is not None:
            raise interruption
        return codec.decode(payload)

    # -- writing down ----------------------------------------------------------------------------

    def _entry(
        self,
        name: str,
        state: str,
        *,
        result: bytes | None = None,
        error: BaseException | None = None,
    ) -> Entry:
        text = trace = None
        if error is not None:
            text = _text(error)
        if error is not None and not isinstance(error, Abort):
            trace = "".join(traceback.format_exception(error))[-_LONGEST_TRACEBACK:]
        seconds = time.perf_counter() - self._began
        phase = self._phase
        return Entry(self._entries, name, phase, self._attempt, state, seconds, result, text, trace)

    def _change(
        self, entries: Sequence[Entry], position: Position, failure: Failure | None = None
    ) -> Change:
        found = self._found
        return Change(
            found.seq,
            self._journal.owner,
            self.fence,
            entries,
            self._entries + len(entries),
            position,
            failure,
            self.saga.version if found.version is None else None,
        )

    async def _write(
        self, entries: Sequence[Entry], position: Position, failure: Failure | None = None
    ) -> None:
        change = self._change(entries, position, failure)
        await self._journal.write(change)
        self._moved(change)

    def _moved(self, change: Change) -> None:
        self._entries = change.total
        state, self._phase, self._number, self._attempt, self._is_unsure, _ = change.position
        self._state = state
        if change.failure is not None:
            self._failure = change.failure


def refuse_what_awaits(fn: Callable[..., Any]) -> None:
    """What `transact` runs on the writer's thread is no coroutine."""
    if not callable(fn) or inspect.iscoroutinefunction(fn):
        raise Misuse(
            f"transact({fn!r}): not a plain function",
            hint="give a function of the transaction that runs its SQL and returns",
        )


def settled_outcome(saga: Saga[Any] | None, found: Claimed) -> Outcome:
    """The outcome of a saga that has ended, as it was read from the store."""
    codecs = {} if saga is None else {each.name: each.codec for each in saga.steps}
    results = {
        name: _as_told(codecs.get(name, PLAIN), result)
        for phase, name, result in found.done
        if phase == "do"
    }
    state = SagaState(found.state)
    step = error = None
    if state is not SagaState.COMPLETED:
        step, error = found.failed_step, found.error
    return Outcome(found.name, found.key, state, results, step, error)


def _as_told(codec: Codec, payload: bytes | None) -> Any:
    """A result as its step is annotated to return it; as plain data where it did not keep to it."""
    if payload is None:
        return None
    try:
        return codec.decode(payload)
    except Exception:  # noqa: BLE001 (a codec raises what it likes)
        return PLAIN.decode(payload)


class _Abandoned(Exception):
    pass


def _is_unsure(error: Exception) -> bool:
    """Whether the attempt may have had its effect: nobody heard its end."""
    if isinstance(error, ExceptionGroup):
        return any(map(_is_unsure, error.exceptions))
    if isinstance(error, ConnectionRefusedError):
        return False
    return isinstance(error, (TimeoutError, ConnectionError, _Abandoned))


@lru_cache(maxsize=1024)
def _meter(saga: str, step: str) -> metrics.Histogram:
    return _seconds.bind(saga=saga, step=step)


async def _called(fn: Callable[[Any], Any], context: Any, is_async: bool) -> Any:
    if is_async:
        return await fn(context)
    # A plain function may make something to await: a callable object, a lambda. Boxed, since trio
    # refuses to hand that over from a thread.
    (result,) = await anyio.to_thread.run_sync(lambda: (fn(context),))
    return await result if inspect.isawaitable(result) else result


def _innermost(error: Exception) -> Exception:
    """What a task group inside the step has wrapped, if it was one exception alone."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _text(error: BaseException) -> str:
    if isinstance(error, Abort):
        return error.reason
    return f"{type(error).__qualname__}: {error}"
