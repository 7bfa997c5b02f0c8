"""The transport for `Client` of httpx2 and httpx: the same for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .course import REFUSALS, Course, Opened

__all__ = ("BlockingCutBody", "BlockingHeldBody", "BlockingTransport")


class BlockingTransport:
    """Each request under the policy of its origin. Closing it closes the one inside."""

    def __init__(self, inner: Any, course: Course) -> None:
        self._inner = inner
        self._course = course

    def handle_request(self, request: Any) -> Any:
        """Raises what the inner transport raises, and what the policy does."""
        course = self._course
        opened = Opened()
        held: list[Callable[..., object]] = []
        response: Any = None
        try:
            call = course.policy(request).call_held
            response = call(held, self._attempt, request, opened)
            response = course.check_answer(response)
        except course.failed_status as failed:
            response = failed.response
        except REFUSALS as error:
            course.also(error, request)
            raise
        finally:
            for each in opened.end(response):
                each.stream.close()
            if held and not opened.has(response):
                _release(held)
        if held:
            response.stream = course.family.HeldStream(response.stream, held)
        return response

    def _attempt(self, request: Any, opened: Opened) -> Any:
        course = self._course
        response = self._inner.handle_request(request)
        if not course.is_whole(response, request):
            if not opened.add(response):
                response.stream.close()
            return response
        response.stream = self._read(response)
        course.check_status(response, request)
        return response

    def _read(self, response: Any) -> Any:
        course = self._course
        parts: list[bytes] = []
        size = 0
        try:
            for part in response.stream:
                parts.append(part)
                size += len(part)
                if size > course.max_body and response.status_code in course.statuses:
                    return course.family.CutStream(parts, course.too_long(response, size))
        finally:
            response.stream.close()
        return course.library.ByteStream(b"".join(parts))

    def close(self) -> None:
        """Closes the inner transport."""
        self._inner.close()

    def __enter__(self) -> Any:
        self._inner.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._inner.__exit__(*exception)

    def __repr__(self) -> str:
        return f"<transport under {self._course.keyed.policy!r}>"


class BlockingHeldBody:
    """A body whose end gives back what the policy holds for its call."""

    def __init__(self, stream: Any, held: list[Callable[..., object]]) -> None:
        self._stream = stream
        self._held = held

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            _release(self._held)


class BlockingCutBody:
    """The beginning of a body, and an error in place of the rest."""

    def __init__(self, parts: list[bytes], error: Exception) -> None:
        self._parts = parts
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        raise self._error


def _release(held: list[Callable[..., object]]) -> None:
    while held:
        held.pop()()
