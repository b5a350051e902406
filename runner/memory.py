"""How much memory there is for a run, as the kernel has it: that of the machine, or of the container it runs in."""

from __future__ import annotations

import contextlib
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def total() -> int:
    """Bytes that all processes together may have."""
    return min(_of_machine("MemTotal"), _of_group("memory.max"))


def available() -> int:
    """Bytes that are free, or could be at once."""
    left = _of_group("memory.max") - _of_group("memory.current", default=0)
    return max(0, min(_of_machine("MemAvailable"), left))


def _of_machine(name: str) -> int:
    for line in _MEMINFO.read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise OSError(f"{_MEMINFO} has no {name}")


def _of_group(name: str, default: int = 1 << 62) -> int:
    """A number of the container's control group; where there is none, or it sets no bound, `default`."""
    with contextlib.suppress(OSError, ValueError):  # no such file, or the word "max"
        return int((_GROUP / name).read_text(encoding="ascii"))
    return default
