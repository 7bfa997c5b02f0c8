"""Requests that come in by ASGI."""
