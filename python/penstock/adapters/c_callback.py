"""`from_c_callback`: a C library that calls back from its own threads, as a source to iterate."""

from __future__ import annotations

import atexit
import inspect
import warnings
import weakref
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from penstock._native import CallbackBacklog
from penstock.errors import Misuse
from penstock.streams import Stream

from .c_copies import Copies, answer, described
from .c_pointers import cast, read_type
from .c_signature import Signature, signature_of
from .c_statistics import CCallbackStatistics

__all__ = ("CCallback", "from_c_callback")

T = TypeVar("T")

_Overflow = Literal["block", "drop_newest", "drop_oldest", "refuse"]

_open: weakref.WeakSet[CCallback[Any]] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Threads of a library that wait for room go on, and none comes to wait any more."""
    for callback in list(_open):
        callback._close()  # noqa: SLF001


class CCallback(CallbackBacklog[T]):
    """The calls of one C callback, to be taken by tasks and threads; made by `from_c_callback`.

    `with` and `async with` open it, and close it at the end. Inside, hand `pointer` or `cdata()`
    to the library, and take what comes: `async for call in callback`, `for call in callback` in a
    thread, or batches. Any number of takers, on any loops and threads, share the calls out.

    Every method may be called from any thread of the process that made it, and raises Misuse in
    a forked child. A taken call is taken by exactly one taker, whoever else is cancelled.
    """

    signature: Signature
    _address: int | None
    _ended: bool
    _unregister: Callable[[], object] | None
    _name: str

    def __enter__(self) -> Self:
        self._address = self._open()
        _open.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        awaited = self._leave()
        if inspect.iscoroutine(awaited):
            awaited.close()
            raise Misuse(
                f"{self._name}: unregister= is an async function, and this is a plain `with`",
                hint="open it with `async with`",
            )

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        awaited = self._leave()
        if isinstance(awaited, Awaitable):
            await awaited

    def _leave(self) -> object:
        unregister, self._unregister = self._unregister, None
        # First those who wait for room are let go: the library may wait for them.
        self._stop()
        try:
            return None if unregister is None else unregister()
        finally:
            self.close()

    def close(self) -> None:
        """Accept no further calls; what came before can still be taken, and then iteration ends.

        Calls that wait for room return at once and are not taken in; a library that goes on
        calling is answered and counted as `late`, for as long as the process lives. Any thread;
        again does nothing. Leaving the block does it after `unregister` was called.
        """
        self._ended = True
        self._close()
        _open.discard(self)

    @property
    def pointer(self) -> int:
        """The address of the C function to hand to the library; Misuse before it is opened."""
        if self._address is None:
            raise Misuse(
                f"{self._name} is not open, so there is nothing to hand to the library yet",
                hint="open it first: `with callback:` or `async with callback:`",
            )
        return self._address

    def cdata(self, ffi: Any = None) -> Any:
        """`pointer` as cffi wants it: a pointer to a function of the declared type.

        `ffi` is the library's own `FFI` object, and is only needed where the declaration is text
        with names that are known to that one alone. Misuse before it is opened, and where cffi is
        not installed. It need not be kept alive.
        """
        pointer = self.pointer
        ctype = self.signature.ctype
        if ctype is None:
            ctype = read_type(ffi, self.signature.text, self._name)
        return cast(ctype, pointer)

    def stream(self) -> Stream[T]:
        """The calls as the beginning of a `Stream`, with its stages, sinks and backpressure.

        Calls are taken in batches, as many as the stages want. The stream ends when this is
        closed and drained; ending a run early leaves what was not taken here.
        """
        return Stream.from_iterable(self)

    def statistics(self) -> CCallbackStatistics:
        """The figures so far; costs a microsecond and stops nobody."""
        return CCallbackStatistics(*self._figures())

    def __repr__(self) -> str:
        if self._address is None:
            return f"<{self._name}, not open>"
        return f"<{self._name}, {'closed' if self._ended else 'open'}>"

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if getattr(self, "_address", None) is None or self._ended:
            return
        message = f"unclosed {self!r}: the library is answered, but nobody takes its calls"
        warn(message, ResourceWarning, source=self, stacklevel=1)


@overload
def from_c_callback(
    declaration: object,
    *,
    decode: Callable[..., T],
    copy: Copies | None = None,
    returns: float | None = None,
    max_items: int = 4096,
    max_bytes: int = 8 << 20,
    overflow: _Overflow = "block",
    refuses: float | None = None,
    unregister: Callable[[], object] | None = None,
    name: str | None = None,
) -> CCallback[T]: ...
@overload
def from_c_callback(
    declaration: object,
    *,
    decode: None = None,
    copy: Copies | None = None,
    returns: float | None = None,
    max_items: int = 4096,
    max_bytes: int = 8 << 20,
    overflow: _Overflow = "block",
    refuses: float | None = None,
    unregister: Callable[[], object] | None = None,
    name: str | None = None,
) -> CCallback[tuple[Any, ...]]: ...
def from_c_callback(
    declaration: object,
    *,
    decode: Callable[..., Any] | None = None,
    copy: Copies | None = None,
    returns: float | None = None,
    max_items: int = 4096,
    max_bytes: int = 8 << 20,
    overflow: _Overflow = "block",
    refuses: float | None = None,
    unregister: Callable[[], object] | None = None,
    name: str | None = None,
) -> CCallback[Any]:
    r"""Take in the calls that a C library makes from threads of its own, losing none.

    Use it for a library that calls back many times: a device, a feed, a subscription. For one
    call that answers one request use `c_call`; for Python code that calls back, `from_callback`.

    What is handed to the library is a function that is part of penstock and never goes away. It
    copies its arguments and returns; it does not touch the interpreter, so the library may call
    while another thread runs Python, during interpreter exit, and after everything was closed.
    A sleeping taker is woken once for a burst, and an awake one not at all.

    When `max_items` calls wait to be taken, or `max_bytes` of copied content, the library's thread
    waits in the call until half of it was taken (`overflow="block"`): nothing is lost and memory
    stays bounded. If it holds the interpreter's lock it lets go of it meanwhile. A call that
    arrives on a thread which itself takes (the library calls back from within a call that the
    loop made) cannot wait; it is kept, up to as much again, and beyond that it is answered with
    `refuses`, and the taker gets a `Full` that says how many are missing, in their place.

    Args:
        declaration: the callback as C declares it, or its cffi type, `ffi.typeof("callback_t")`.
            Scalars and pointers; parameters may be named. Structs by value are refused.
        decode: called with the arguments of each call where it is taken, and makes the item; a
            tuple of them without it. What it raises goes to the taker, with a note that names the
            call, which then counts as taken.
        copy: what is good during the call only: pointer → how much of it, by their names or
            numbers. The parameter that counts what the pointer leads to, in units of its type:
            it arrives as bytes. `"\0"`: text up to a zero byte, which arrives as bytes, too. None:
            not copied. A `const char *` in text is `"\0"` unless said otherwise; any other pointer
            arrives as a number. A null pointer that was to be copied arrives as None.
        returns: what the library is answered; 0 by default.
        max_items: how many calls may be inside.
        max_bytes: how much copied content may be. A single larger one comes in when it is alone.
        overflow: what happens beyond that: "block"; "drop_newest" or "drop_oldest", counted in the
            statistics; "refuse", which drops it and answers the library with `refuses`.
        refuses: what the library is answered for a call that was refused.
        unregister: called when the block is left, after calls that wait for room were let go, and
            before the function is given up; it may be async in `async with`.
        name: stands in errors and in the repr.

    Raises Misuse for a declaration, a bound or an answer that cannot be. Opening raises Full if
    4096 are open already. Costs 25 ns per call on the library's side (one number, AMD EPYC);
    on x86-64 and AArch64. It may not be called from a signal handler.

    Example:
        >>> import ctypes
        >>> with from_c_callback("int(int code, const char *text)", returns=7) as callback:
        ...     call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p)
        ...     answer = call(callback.pointer)(42, b"ready")
        ...     answer, callback.get()
        (7, (42, b'ready'))

    """
    signature = signature_of(declaration)
    for what, value in (("max_items", max_items), ("max_bytes", max_bytes)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise Misuse(f"from_c_callback: {what}={value!r}", hint="give a whole number above 0")
    for what, function in (("decode", decode), ("unregister", unregister)):
        if function is not None and not callable(function):
            raise Misuse(f"from_c_callback: {what}={function!r} is not callable")
    if overflow not in {"block", "drop_newest", "drop_oldest", "refuse"}:
        raise Misuse(
            f"from_c_callback: overflow={overflow!r}",
            hint='one of "block", "drop_newest", "drop_oldest", "refuse"',
        )
    if overflow == "refuse" and refuses is None:
        raise Misuse(
            'from_c_callback: overflow="refuse" needs to know how to refuse',
            hint="give refuses=, the answer that the library takes for a failure",
        )
    returned = answer(signature, returns, "returns")
    label = f"C callback {signature.text if name is None else name}"
    callback: CCallback[Any] = CCallback(
        described(signature, copy),
        label=label,
        returns=returned,
        refuses=returned if refuses is None else answer(signature, refuses, "refuses"),
        max_items=max_items,
        max_bytes=max_bytes,
        overflow_policy=overflow,
        decode=decode,
    )
    callback.signature = signature
    callback._address = None  # noqa: SLF001
    callback._ended = False  # noqa: SLF001
    callback._unregister = unregister  # noqa: SLF001
    callback._name = label  # noqa: SLF001
    return callback
