"""Generators that a run has been given or has made are closed with it; nothing else is.

A file object or a cursor may be iterated too, and may still be wanted by whoever opened it.
"""

from __future__ import annotations

from inspect import isasyncgen, isgenerator

__all__ = ("aclose_generator", "close_generator")


def close_generator(iterator: object) -> None:
    if isgenerator(iterator):
        iterator.close()


async def aclose_generator(iterator: object) -> None:
    if isasyncgen(iterator):
        await iterator.aclose()
