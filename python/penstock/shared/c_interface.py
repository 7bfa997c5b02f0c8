"""Where a C program finds what it compiles and links with; see `penstock.h` for the functions."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

__all__ = ("extension_path", "include_dir", "library_path")

_PACKAGE = Path(__file__).parents[1]


def include_dir() -> str:
    """The folder of `penstock.h`, the C interface of SharedQueue: what `cc -I` is given.

    Any thread; costs nothing.

    >>> include_dir()
    '...penstock/include'
    """
    return str(_PACKAGE / "include")


def library_path() -> str:
    """The shared library with the functions of `penstock.h`, for programs without Python in them.

    It needs the C library only: link a program with it, or open it with dlopen. Inside of a Python
    process take `extension_path` instead. Any thread; costs nothing.

    >>> library_path()
    '...penstock/lib/libpenstock.so'
    """
    return str(_PACKAGE / "lib" / "libpenstock.so")


def extension_path() -> str:
    """The extension module, which has the same functions, for cffi and ctypes inside of Python.

    It is loaded already, so nothing is there twice; a program without Python cannot load it. Any
    thread; costs nothing.

    >>> extension_path()
    '...penstock/_native...so'
    """
    return str(import_module("penstock._native").__file__)
