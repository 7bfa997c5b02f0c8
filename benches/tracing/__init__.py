"""Rows of the tracing room."""
