"""For pytest on a free-threaded interpreter: `make test-free-threaded` loads it.

The run fails if the global lock is on, at its beginning or at its end: an extension that does not
say it can do without turns it on for the whole process. With `--parallel-threads` the tests that
cannot share a process with themselves are left out; they have run by themselves.
"""

from __future__ import annotations

import inspect
import sys

import pytest

APART = ("test_process.py", "test_chaos.py")
"""Processes of their own, which other threads do not reach; and what has its threads already."""

SHARED = {"registry", "orders", "kind_of_end"}
"""Fixtures whose object would be one for all threads, with figures that the test knows."""


def pytest_sessionstart() -> None:
    import penstock.metrics
    import penstock.queues  # noqa: F401

    demand_no_lock("after the imports")


def pytest_sessionfinish() -> None:
    demand_no_lock("after the tests")


def demand_no_lock(when: str) -> None:
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.exit(f"the global interpreter lock is on {when}: {sys.executable}", returncode=1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if int(config.getoption("parallel_threads")) < 2:
        return
    kept, left_out = [], []
    for item in items:
        function = getattr(item, "function", None)
        apart = (
            inspect.iscoroutinefunction(function)
            or item.path.name in APART
            or SHARED.intersection(getattr(item, "fixturenames", ()))
        )
        (left_out if apart else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)
