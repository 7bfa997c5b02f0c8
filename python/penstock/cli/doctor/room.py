"""How much memory, CPU and disk this process may use: the machine's, the cgroup's, its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .check import Check, Probe, fail, ok, size, warn

_MEMORY_WANTED = 512 << 20
_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 60  # cgroup v1 writes a number near 2**63 where nothing is limited


def memory() -> Check:
    numbers = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(numbers[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    seen = f"{size(available)} available of {size(total)}"
    limits = [limit for limit in _memory_limits() if limit[0] < _UNLIMITED]
    if limits:
        limit, used = min(limits, key=lambda pair: pair[0] - pair[1])
        seen += f"; the cgroup allows {size(limit)}, {size(used)} in use"
        available = min(available, limit - used)
    if available < _MEMORY_WANTED:
        return warn("memory", seen, "raise the limit, or give queues and pools smaller bounds")
    return ok("memory", seen)


def cpus() -> Check:
    usable, present = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    seen = f"{usable} of {present}"
    quota = min(_cpu_quotas(), default=float(usable))
    if quota < usable:
        seen += f"; the cgroup allows the time of {quota:g}"
        return warn("CPUs", seen, f"WorkerPool(workers={max(1, int(quota))}), or raise cpu.max")
    return ok("CPUs", seen)


def temp_folder() -> Check:
    try:
        folder = tempfile.gettempdir()
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"penstock")
            file.flush()
    except OSError as error:
        return fail("temp folder", f"cannot be written: {error}", "export TMPDIR=/a/writable/one")
    return ok("temp folder", f"{folder}, {size(shutil.disk_usage(folder).free)} free")


def _memory_limits() -> Iterator[tuple[int, int]]:
    """(limit, use) in bytes for each cgroup above this process, v2 and v1."""
    for folder in _own_cgroups(""):
        yield from _pair(folder / "memory.max", folder / "memory.current")
    for folder in _own_cgroups("memory"):
        yield from _pair(folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes")


def _pair(limit: Path, use: Path) -> Iterator[tuple[int, int]]:
    if limit.exists() and use.exists():
        text = limit.read_text().strip()
        if text != "max":
            yield int(text), int(use.read_text())


def _cpu_quotas() -> Iterator[float]:
    """CPUs' worth of time for each cgroup above this process that has a quota."""
    for folder in _own_cgroups(""):
        file = folder / "cpu.max"
        if file.exists():
            quota, period = file.read_text().split()
            if quota != "max":
                yield int(quota) / int(period)
    for folder in _own_cgroups("cpu"):
        quota_file = folder / "cpu.cfs_quota_us"
        if quota_file.exists() and (quota_us := int(quota_file.read_text())) > 0:
            yield quota_us / int((folder / "cpu.cfs_period_us").read_text())


def _own_cgroups(controller: str) -> Iterator[Path]:
    """The folders from this process's cgroup up to the root; "" is the unified hierarchy."""
    for line in _OWN.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if controller not in names:
            continue
        root = _CGROUPS / controllers if controller else _CGROUPS
        # In a container the path may be the host's; what is not mounted here is left out.
        inside = root / path.lstrip("/")
        for folder in (inside, *inside.parents):
            if folder.is_dir():
                yield folder
            if folder == root:
                break


PROBES: tuple[Probe, ...] = (memory, cpus, temp_folder)
