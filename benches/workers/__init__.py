"""Calls and arrays through worker processes."""
