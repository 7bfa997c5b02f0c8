"""One test body runs on every event loop; nothing here may slow or soften a test."""

from __future__ import annotations

import pytest

from tests.loops import LOOPS

BACKENDS = [pytest.param(loop, id=name) for name, loop in LOOPS.items()]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param
