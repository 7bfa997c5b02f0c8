"""One test body runs on every event loop; nothing here may slow or soften a test."""

from __future__ import annotations

import gc
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.loops import LOOPS

# How long an example takes is the machine's affair; what a test as a whole may take, pytest's.
settings.register_profile("penstock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("penstock")

# A script that runs this behind `&` has Ctrl-C ignored, and whatever is started here inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

BACKENDS = [pytest.param(loop, id=name) for name, loop in LOOPS.items()]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep the tests themselves out of the collector's way.

    Hundreds of tests collect garbage to see that nothing is left, and ten thousand tests that were
    read in are half a million objects to walk each time.
    """
    del session
    gc.collect()
    gc.freeze()
