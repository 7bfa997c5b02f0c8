"""Between an ASGI server and an application: traces, deadlines, ids, health and metrics."""

from __future__ import annotations

from .health import health_app
from .metrics import metrics_app
from .middleware import Middleware

__all__ = ("Middleware", "health_app", "metrics_app")
