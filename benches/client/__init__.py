"""Calls to another service over HTTP."""
