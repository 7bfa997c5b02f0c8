"""Makes one function of a policy's strategies, as `dataclasses` and `attrs` make an `__init__`.

Nested wrappers cost a coroutine, a frame and an unpacked signature for each strategy and call:
0.2 µs each on asyncio, and twelve frames in a traceback. Here each strategy is a few lines around
those of the strategies inside it, in one function. Text is shared: policies of the same shape
differ only in what the names stand for, and compile once. The text of a frame is known to
`linecache`, so tracebacks and debuggers show it.

A decorated function's parameters are written out where they can be (`signature`). The forms a
policy can take, all of the same lines:

    blocking   def call(...)            value = fn(...)
    asyncio    async def call(...)      value = await fn(...)     uvloop as well
    trio       the same, with cancel scopes in place of entries in `lazy`
    steps      a generator              value = yield BODY                    blocks in `with`

`block` lets `attempts()` step through the asyncio and trio forms as well: what they await at the
place of the call comes out of the coroutine as BODY, while the block runs in the same task.
`stream` keeps permits for the length of an async generator: it appends to `held` what would
otherwise be released when the function returns.
"""

from __future__ import annotations

import asyncio
import linecache
import sys
import time
import types
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import lru_cache
from types import CodeType, CoroutineType
from typing import Any, Literal, TypeAlias, cast

from penstock import _clock as clock
from penstock._native import running_loop_reader
from penstock.errors import Misuse

from . import lazy
from .form import name_of
from .signature import ANY, signature_of
from .strategy import Part
from .weave_text import indented

__all__ = ("BODY", "BREAK", "Form", "Weave", "fuse")

Form: TypeAlias = Literal["blocking", "asyncio", "trio", "steps"]

BODY = object()
"""What the form `steps` yields when the block is to run; awaited by `attempts()` likewise."""
BREAK = object()
"""What it yields between two attempts, with nothing held that belongs to an attempt."""


def _current_task() -> Callable[[Any], Any]:
    # Before 3.12 it is written in Python, and takes 120 ns to look into this dict.
    tasks: Any = asyncio.tasks
    found: Callable[[Any], Any] = (
        tasks._current_tasks.get if sys.version_info < (3, 12) else asyncio.current_task  # noqa: SLF001
    )
    return found


def _awaitable(fn: Any, value: Any) -> Any:
    if hasattr(value, "__await__"):
        return value
    raise Misuse(
        f"run: {name_of(fn)} returned {type(value).__name__}, which cannot be awaited",
        hint="run(fn) takes async functions; call(fn) takes plain ones",
    )


def _refuse_coroutine(fn: Any, value: Any) -> None:
    value.close()
    raise Misuse(
        f"call: {name_of(fn)} is an async function, which has not run yet",
        hint="await policy.run(fn, ...)",
    )


@types.coroutine
def _signal(what: object) -> Generator[object, object, object]:
    return (yield what)


_GLOBALS: dict[str, Any] = {
    "clock": clock,
    "monotonic": time.monotonic,
    "monotonic_ns": time.monotonic_ns,
    # None in place of an exception, and without a system call before Python 3.14.
    "running_loop": running_loop_reader(
        asyncio._get_running_loop,  # noqa: SLF001
        asyncio._set_running_loop,  # noqa: SLF001
    ),
    "current_task": _current_task(),
    "again": lazy.again,
    "FIRED": lazy.FIRED,
    "is_ours": lazy.is_ours,
    "let_scopes_win": lazy.let_scopes_win,
    "enter_trio": lazy.enter_trio,
    "CoroutineType": CoroutineType,
    "awaitable": _awaitable,
    "refuse_coroutine": _refuse_coroutine,
    "BODY": BODY,
    "BREAK": BREAK,
    "signal": _signal,
}


class Weave:
    """The text of one call in the making."""

    def __init__(self, form: Form, *, is_stream: bool = False, is_block: bool = False) -> None:
        self.form = form
        self.is_block = is_block or form == "steps"
        self.is_async = form in {"asyncio", "trio"}
        self.is_stream = is_stream
        self.wait = "await " if self.is_async else ""
        """Stands before a call that pauses."""
        self.number = 0
        """Of the strategy that is being woven; names carry it."""
        self.needs_task = False
        """Whether what has been woven uses `loop` and `task`."""
        self.bound: dict[str, Any] = {}
        self.functions: list[str] = []

    def bind(self, name: str, value: Any) -> str:
        """A name of this strategy for an object that is made with the policy."""
        name = self.local(name)
        self.bound[name] = value
        return name

    def cut(self, body: list[str]) -> str:
        """Makes `body` a function `(fn, args, kwargs)`; gives its name.

        For a strategy that calls what is inside it from elsewhere, or not at all.
        """
        name = self.local("inner")
        head = f"{'async ' if self.is_async else ''}def {name}(fn, args, kwargs):"
        prologue = _prologue() if self.needs_task and self.form == "asyncio" else []
        self.functions += [head, *indented([*prologue, *body, "return value"])]
        self.needs_task = False
        return name

    def local(self, name: str) -> str:
        """A name of this strategy for something of one call."""
        return f"{name}_{self.number}"


def fuse(
    label: str,
    parts: Sequence[Part],
    form: Form,
    fn: Callable[..., Any] | None = None,
    *,
    is_stream: bool = False,
    is_block: bool = False,
    on_trio: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """The function that is all of `parts` around `fn`, or around its own first argument.

    With `is_stream` its first argument is the list `held`. `on_trio` is what the asyncio form
    calls when it finds itself in trio.
    """
    code = Weave(form, is_stream=is_stream, is_block=is_block)
    body = _innermost(code, is_bound=fn is not None)
    for number in range(len(parts) - 1, -1, -1):
        code.number = number
        body = parts[number].weave(code, body)
        code.needs_task = code.needs_task or parts[number].needs_task
    parameters = arguments = "" if code.is_block else ANY
    if fn is not None:
        code.bound["fn"] = fn
    elif not code.is_block:
        parameters, arguments = f"fn, /, {ANY}", f"fn, {ANY}"
    if is_stream:
        parameters, arguments = f"held, {parameters}", f"held, {arguments}"
    prologue = _prologue() if code.needs_task and form == "asyncio" else []
    signature = None if fn is None else signature_of(fn)
    if signature is not None and signature.fits([*code.functions, *prologue, *body, "on_trio"]):
        parameters, arguments = signature.parameters, signature.arguments
        body = [line.replace(ANY, arguments) for line in body]
    else:
        signature = None
    if prologue:
        prologue += ["if task is None:", f"    return await on_trio({arguments})"]
        code.bound["on_trio"] = on_trio
    head = f"{'async ' if code.is_async else ''}def call({parameters}):"
    lines = [
        f"def make({', '.join(sorted(code.bound))}):",
        *indented([*code.functions, head, *indented([*prologue, *body, "return value"])]),
        "    return call",
    ]
    names: dict[str, Any] = {}
    exec(_compiled(label, "\n".join(lines) + "\n"), _GLOBALS, names)  # noqa: S102 - our own text
    made: Any = names["make"](**code.bound)
    if signature is not None:
        plain: Any = fn
        made.__defaults__ = plain.__defaults__
        made.__kwdefaults__ = plain.__kwdefaults__ and dict(plain.__kwdefaults__)
    return cast(Callable[..., Any], made)


def _prologue() -> list[str]:
    # Without an asyncio task this is trio, perhaps in guest mode on an asyncio loop.
    return ["loop = running_loop()", "task = None if loop is None else current_task(loop)"]


def _innermost(code: Weave, *, is_bound: bool) -> list[str]:
    if code.is_block:
        return ["value = await signal(BODY)" if code.is_async else "value = yield BODY"]
    if code.form == "blocking":
        if is_bound:
            return ["value = fn(*args, **kwargs)"]
        return [
            "value = fn(*args, **kwargs)",
            "if type(value) is CoroutineType:",
            "    refuse_coroutine(fn, value)",
        ]
    if is_bound:
        return ["value = await fn(*args, **kwargs)"]
    return [
        "value = fn(*args, **kwargs)",
        "if type(value) is not CoroutineType:",
        "    value = awaitable(fn, value)",
        "value = await value",
    ]


@lru_cache(maxsize=256)
def _compiled(label: str, text: str) -> CodeType:
    filename = f"<penstock policy: {label}>"
    number = 1
    while filename in linecache.cache:  # the same strategies in another form
        number += 1
        filename = f"<penstock policy: {label}, {number}>"
    with suppress(Exception):
        # A length and no time: never looked up on disk, never thrown out.
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    return compile(text, filename, "exec")
