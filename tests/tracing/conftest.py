"""A tracer with a store of its own for each test."""

from __future__ import annotations

import pytest

from penstock.tracing import SpanStore, Tracer


@pytest.fixture
def tracer() -> Tracer:
    return Tracer("tests", store=SpanStore())
