"""One test body runs on every event loop; nothing here may slow or soften a test."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.loops import LOOPS

# How long an example takes is the machine's affair; what a test as a whole may take, pytest's.
settings.register_profile("penstock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("penstock")

BACKENDS = [pytest.param(loop, id=name) for name, loop in LOOPS.items()]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param
