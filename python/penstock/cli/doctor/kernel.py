"""What the kernel offers to processes that share memory and watch each other."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import resource
import select
import time
from pathlib import Path

from .check import Check, Probe, absent, ok, size, warn

_CLOCK = Path("/sys/devices/system/clocksource/clocksource0")
_SHM = Path("/dev/shm")  # noqa: S108 -- it is looked at, not written to
_SLOW_CLOCKS = {"acpi_pm", "hpet", "jiffies", "refined-jiffies"}
_FILES_WANTED = 1024
_READINGS = 10_000


def memfd() -> Check:
    page = resource.getpagesize()
    remedy = "Linux 3.17 or newer; in a container, a seccomp profile that allows memfd_create"
    try:
        fd = os.memfd_create("penstock-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        return warn("memfd", f"refused: {error.strerror}", remedy)
    try:
        os.ftruncate(fd, page)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    finally:
        os.close(fd)
    return ok("memfd", f"sealed memory without a name, pages of {size(page)}")


def pidfd() -> Check:
    remedy = "Linux 5.3 or newer; in a container, a seccomp profile that allows pidfd_open"
    try:
        fd = os.pidfd_open(os.getpid())
    except OSError as error:
        return warn("pidfd", f"refused: {error.strerror}", remedy)
    try:
        select.select([fd], [], [], 0)
    finally:
        os.close(fd)
    return ok("pidfd", "a process's death is seen at once")


def dev_shm() -> Check:
    if not _SHM.is_dir():
        return absent(str(_SHM), "none; memfds do not need it", f"mount -t tmpfs tmpfs {_SHM}")
    room = os.statvfs(_SHM)
    free, total = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    return ok(str(_SHM), f"{size(free)} free of {size(total)}; memfds are not counted there")


def open_files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen = f"{soft} (may be raised to {hard})"
    if soft < _FILES_WANTED:
        return warn("open files", seen, f"ulimit -n {min(4096, hard)}")
    return ok("open files", seen)


def clock() -> Check:
    source = (_CLOCK / "current_clocksource").read_text().strip()
    started = time.perf_counter_ns()
    for _ in range(_READINGS):
        time.perf_counter_ns()
    cost = (time.perf_counter_ns() - started) / _READINGS
    seen = f"{source}, {cost:.0f} ns a reading"
    if source in _SLOW_CLOCKS:
        offered = (_CLOCK / "available_clocksource").read_text().split()
        better = next((name for name in offered if name not in _SLOW_CLOCKS), "tsc")
        return warn("clock", seen, f"echo {better} > {_CLOCK}/current_clocksource")
    return ok("clock", seen)


def start_method() -> Check:
    method = multiprocessing.get_context().get_start_method()
    if method != "fork":
        return ok("start method", method)
    return ok("start method", "fork; a forked child may not use what its parent made")


PROBES: tuple[Probe, ...] = (memfd, pidfd, dev_shm, open_files, clock, start_method)
