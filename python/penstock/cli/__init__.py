"""The command `penstock`: what it is, and its sub-commands.

Light to start: a sub-command's code is imported when it is chosen. Data goes to standard output,
messages to standard error; bad usage is one line and exit code 2.
"""

from __future__ import annotations

from .command import main

__all__ = ("main",)
