"""The library of caller.c, compiled, and reached with cffi."""

from __future__ import annotations

import shlex
import subprocess
from os import environ
from pathlib import Path
from typing import Any

import cffi

__all__ = ("compiled", "declarations", "ffi")

# Its threads go on when cffi has closed it, at the interpreter's exit: the code has to stay.
STAY = "-Wl,-z,nodelete"
FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared", "-pthread", STAY)

declarations = """
    typedef int (*tick_fn)(uint64_t number, void *user);
    typedef int (*text_fn)(int code, const char *text, const int16_t *samples, int count,
                           void *user);
    typedef void (*done_fn)(int status, const char *text, void *user);
    typedef double (*wide_fn)(signed char a, unsigned char b, short c, unsigned short d, int e,
        unsigned f, long g, unsigned long h, long long i, size_t j, _Bool k, float l, double m,
        const void *n, float o, double p, double q, double r, double s, double t, float u,
        double v, int w);
    struct job;
    struct job *ticks_start(tick_fn tick, void *user, uint64_t count);
    struct job *exit_ticks_start(tick_fn tick, void *user, uint64_t count);
    struct job *texts_start(text_fn text, void *user, uint64_t count);
    void ticks_now(tick_fn tick, void *user, uint64_t count, uint64_t *refused);
    uint64_t job_returned(struct job *job);
    uint64_t job_refused(struct job *job);
    void job_stop(struct job *job);
    void job_join(struct job *job);
    int operate(int number, int calls, done_fn done, void *user);
    double call_wide(wide_fn wide, int sign);
"""

ffi: Any = cffi.FFI()
ffi.cdef(declarations)


def compiled(folder: Path) -> Path:
    """The library's file."""
    library = folder / "libcaller.so"
    compiler = shlex.split(environ.get("CC", "cc"))
    source = str(Path(__file__).with_name("caller.c"))
    subprocess.run([*compiler, *FLAGS, source, "-o", str(library)], check=True)
    return library
