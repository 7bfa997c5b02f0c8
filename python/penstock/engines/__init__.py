"""Databases, brokers and clusters that rooms run on; each is imported only when its URL is used."""

from __future__ import annotations

__all__ = ()
