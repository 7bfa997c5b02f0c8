"""The library of caller.c, compiled once for the process, and reached with cffi."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

__all__ = ("ffi_and_library",)

DECLARATIONS = """
    struct job;
    typedef void (*number_fn)(uint64_t number);
    typedef void (*block_fn)(uint64_t number, const char *data, size_t length);
    struct job *burst(number_fn number, uint64_t count);
    struct job *blocks(block_fn block, uint64_t count, size_t length);
    struct job *whenever_asked(number_fn number, uint64_t count);
    void ask(struct job *job);
    void join(struct job *job);
"""
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-pthread")


@cache
def ffi_and_library() -> tuple[Any, Any]:
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(DECLARATIONS)
    source = str(Path(__file__).with_name("caller.c"))
    with TemporaryDirectory() as folder:
        library = f"{folder}/libcaller.so"
        subprocess.run(["cc", *FLAGS, source, "-o", library], check=True)
        return ffi, ffi.dlopen(library)
