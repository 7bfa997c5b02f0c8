"""Start the parts of a program together, watch them, and drain them in reverse order."""

from __future__ import annotations

from .errors import PartFailed
from .health import PartHealth, ServiceHealth, State
from .part import Part
from .service import Service

__all__ = ("Part", "PartFailed", "PartHealth", "Service", "ServiceHealth", "State")
