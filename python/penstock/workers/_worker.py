"""The worker process: takes tasks from its port until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from typing import Any

from penstock._native import Arena, Port, die_with
from penstock.errors import Lost, Misuse
from penstock.shared import Payload, dump, load

from . import _main_module
from ._main_module import Main
from ._outcome import describe
from ._task import describe as name_of
from ._traced import call_inside, finished_spans


def main(fds: list[int], participant: int, main_module: Main) -> None:
    """Run the worker in a freshly forked process, a group leader of its own."""
    # The pool ends its workers; a Ctrl-C is the pool's affair.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    *link, pool_pidfd = fds
    die_with(pool_pidfd)
    port, arena = Port.attach(link, participant)
    with contextlib.suppress(EOFError):  # the pool is gone, or has let go of this worker
        _serve(port, arena, _Loader(main_module))
    sys.stdout.flush()
    sys.stderr.flush()


class _Loader:
    """Unpickles calls; loads the pool's `__main__` when a call first needs it."""

    def __init__(self, main_module: Main) -> None:
        self._main_module = main_module

    def load(self, stream: Any, buffers: list[Any]) -> Any:
        try:
            return load(stream, buffers)
        except (AttributeError, ImportError):
            if not self._main_module:
                raise
            main_module, self._main_module = self._main_module, {}
            _main_module.load(main_module)
            return load(stream, buffers)


def _serve(port: Port, arena: Arena, loader: _Loader) -> None:
    process = os.getpid()
    while True:
        messages = port.receive(Port.SLOTS)
        if not messages:
            port.settle()
            port.wait()
            continue
        messages.reverse()
        while messages:
            kind, slot, number, _, _, stream, buffers = messages.pop()
            if kind == Port.STOP:
                return
            if not port.start(slot, number):
                continue  # recalled
            started = time.monotonic_ns()
            kind, payload = _run(loader, stream, buffers)
            elapsed = time.monotonic_ns() - started
            del stream, buffers
            if os.getpid() != process:
                return  # a child that the task forked, and that came back from it
            _answer(port, arena, kind, slot, number, payload, (started, elapsed))
            del payload


def _run(loader: _Loader, stream: Any, buffers: list[Any]) -> tuple[int, Payload]:
    context: list[bytes] = []
    try:
        function, arguments, keywords, *context = loader.load(stream, buffers)
        del stream, buffers
        if context:
            value = call_inside(context[0], function, arguments, keywords)
        else:
            value = function(*arguments, **keywords)
    except BaseException as error:
        # The frames of this function and of those it calls through say nothing to the user.
        for _ in range(2 if context else 1):
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        payload = describe(error, *(finished_spans() for _ in context))
        # An exception and its frames often refer to each other: until the collector came by,
        # they would hold the task's arguments, and those the pool's arena.
        _clear(error)
        return Port.RAISED, payload
    del arguments, keywords
    spans = finished_spans() if context else None
    try:
        return Port.VALUE, dump(value if spans is None else (value, spans))
    except Exception as error:
        refusal = Misuse(
            f"the result of {name_of(function)} does not pickle: {error}",
            hint="return plain data, arrays, or instances of classes of a module",
        )
        refusal.__cause__ = error
        return Port.RAISED, describe(refusal, *(() if spans is None else (spans,)))


def _clear(error: BaseException | None) -> None:
    """Let go of what the frames of an exception and of its causes refer to."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _answer(
    port: Port,
    arena: Arena,
    kind: int,
    slot: int,
    number: int,
    payload: Payload,
    times: tuple[int, int],
) -> None:
    try:
        parcel = arena.pack(*payload)
    except Exception as error:  # no room for the result
        kind, parcel = Port.RAISED, arena.pack(describe(error).stream, [])
    if not port.finish(slot, number):
        if port.state(slot, number) != "killed":
            raise Lost("the task has written over the memory that this worker shares with its pool")
        # The pool has decided that the task ends; what follows is the end of this process.
        while True:
            signal.pause()
    while not port.send(kind, slot, number, parcel, times):
        port.wait_for_room()
