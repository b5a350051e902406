"""A mark that a process keeps through fork, exec, a session of its own and an emptied environment: two odd soft limits.

    worker ── brand ──► RLIMIT_MSGQUEUE and RLIMIT_SIGPENDING a little below their hard limits, by the run's number
       └── whatever it starts inherits them (getrlimit(2)) ──► bears, read from /proc/PID/limits

Nothing else that is inherited so surely can be read from outside without privileges. Both limits stay high enough for
whoever needs them: at least half of what there was. Each run has a number of its own among some billions.
"""

from __future__ import annotations

import binascii
import contextlib
import resource
from pathlib import Path

from runner.errors import MprunInternalError

_LIMITS = (
    (resource.RLIMIT_MSGQUEUE, b"Max msgqueue size"),
    (resource.RLIMIT_SIGPENDING, b"Max pending signals"),
)
_LARGEST = 1 << 20

Brand = tuple[int, ...]
"""The soft limits of whoever belongs to a run."""


def brand_of(run: str) -> Brand:
    """Work out a run's brand from its id and the hard limits of this process."""
    number, brand = binascii.crc32(run.encode()), []
    for limit, _ in _LIMITS:
        _, hard = resource.getrlimit(limit)
        top = _LARGEST if hard == resource.RLIM_INFINITY else min(hard, _LARGEST)
        number, below = divmod(number, max(1, top // 2))
        brand.append(top - below)
    return tuple(brand)


def put_on(brand: Brand) -> None:
    """Called in a fresh worker: bear a brand, and have all that comes from it bear it."""
    for (limit, _), soft in zip(_LIMITS, brand, strict=True):
        with contextlib.suppress(ValueError, OSError):  # the other marks of the warden are left
            resource.setrlimit(limit, (soft, resource.getrlimit(limit)[1]))


def bears(process: Path, brand: Brand) -> bool:
    """Whether a process, given by its folder in /proc, bears a brand. Raises OSError if it is gone or out of reach."""
    lines = (process / "limits").read_bytes().splitlines()
    return all(_soft_limit(lines, name) == soft for (_, name), soft in zip(_LIMITS, brand, strict=True))


def _soft_limit(lines: list[bytes], name: bytes) -> int | None:
    for line in lines:
        if line.startswith(name):
            soft = line[len(name) :].split()[0]
            return int(soft) if soft.isdigit() else None
    raise MprunInternalError(f"/proc has no line '{name.decode()}'")
