"""A C library that calls back, and jobs of it that do not outlive their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.adapters.c_library import compiled, ffi


@pytest.fixture(scope="session")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return ffi.dlopen(str(compiled(tmp_path_factory.mktemp("caller"))))


class Job:
    """A thread of the library's own that calls back so many times."""

    def __init__(self, lib: Any, start: Callable[..., Any], callback: Any, count: int) -> None:
        self._lib = lib
        self._job = start(callback, ffi.NULL, count)

    @property
    def returned(self) -> int:
        return self._lib.job_returned(self._job)

    @property
    def refused(self) -> int:
        return self._lib.job_refused(self._job)

    def stop(self) -> None:
        if self._job is not None:
            self._lib.job_stop(self._job)

    def join(self) -> None:
        """Waits until its thread has ended; cffi lets go of the interpreter's lock meanwhile."""
        job, self._job = self._job, None
        if job is not None:
            self._lib.job_join(job)


@pytest.fixture
def ticks(lib: Any) -> Iterator[Callable[[Any, int], Job]]:
    yield from _jobs(lib, lib.ticks_start)


@pytest.fixture
def exit_ticks(lib: Any) -> Iterator[Callable[[Any, int], Job]]:
    yield from _jobs(lib, lib.exit_ticks_start)


@pytest.fixture
def texts(lib: Any) -> Iterator[Callable[[Any, int], Job]]:
    yield from _jobs(lib, lib.texts_start)


def _jobs(lib: Any, start: Callable[..., Any]) -> Iterator[Callable[[Any, int], Job]]:
    jobs: list[Job] = []

    def begin(callback: Any, count: int) -> Job:
        jobs.append(Job(lib, start, callback.cdata(ffi), count))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.stop()
        job.join()
