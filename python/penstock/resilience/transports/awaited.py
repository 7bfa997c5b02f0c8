"""The transport for `AsyncClient` of httpx2 and httpx."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from .course import REFUSALS, Course, Opened

__all__ = ("AwaitedTransport", "CutBody", "HeldBody")


class AwaitedTransport:
    """Each request under the policy of its origin. Closing it closes the one inside."""

    def __init__(self, inner: Any, course: Course) -> None:
        self._inner = inner
        self._course = course

    async def handle_async_request(self, request: Any) -> Any:
        """Raises what the inner transport raises, and what the policy does."""
        course = self._course
        opened = Opened()
        held: list[Callable[..., object]] = []
        response: Any = None
        try:
            call = course.policy(request).run_held
            response = await call(held, self._attempt, request, opened)
            response = course.check_answer(response)
        except course.failed_status as failed:
            response = failed.response
        except REFUSALS as error:
            course.also(error, request)
            raise
        finally:
            for each in opened.end(response):
                await each.stream.aclose()
            if held and not opened.has(response):
                _release(held)
        if held:
            response.stream = course.family.AsyncHeldStream(response.stream, held)
        return response

    async def _attempt(self, request: Any, opened: Opened) -> Any:
        course = self._course
        response = await self._inner.handle_async_request(request)
        if not course.is_whole(response, request):
            if not opened.add(response):
                await response.stream.aclose()
            return response
        response.stream = await self._read(response)
        course.check_status(response, request)
        return response

    async def _read(self, response: Any) -> Any:
        course = self._course
        parts: list[bytes] = []
        size = 0
        too_long: Exception | None = None
        try:
            async for part in response.stream:
                if too_long is not None:
                    continue
                parts.append(part)
                size += len(part)
                if size > course.max_body and response.status_code in course.statuses:
                    too_long = course.too_long(response, size)
                    # Closed first, the generators below end by themselves; left half-way,
                    # trio would complain of them.
                    await response.stream.aclose()
        except Exception:
            if too_long is None:
                raise
        finally:
            await response.stream.aclose()
        if too_long is not None:
            return course.family.AsyncCutStream(parts, too_long)
        return course.library.ByteStream(b"".join(parts))

    async def aclose(self) -> None:
        """Closes the inner transport."""
        await self._inner.aclose()

    async def __aenter__(self) -> Any:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._inner.__aexit__(*exception)

    def __repr__(self) -> str:
        return f"<transport under {self._course.keyed.policy!r}>"


class HeldBody:
    """A body whose end gives back what the policy holds for its call."""

    def __init__(self, stream: Any, held: list[Callable[..., object]]) -> None:
        self._stream = stream
        self._held = held

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            _release(self._held)


class CutBody:
    """The beginning of a body, and an error in place of the rest."""

    def __init__(self, parts: list[bytes], error: Exception) -> None:
        self._parts = parts
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        raise self._error


def _release(held: list[Callable[..., object]]) -> None:
    while held:
        held.pop()()
