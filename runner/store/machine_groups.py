"""Concurrency groups over all runs of a user on this machine: tickets in a folder, each locked while its run lives.

    ~/.local/state/mprun/groups/<machine>/<group>/      $XDG_STATE_HOME says otherwise where it is set
    ├── counter           the last number given out; whoever takes one holds a lock on it for a moment
    ├── 00000007          a ticket: whose, and the limit that it asks for; its run locks it until it is through with it
    └── 00000007.called   by whom it is called off

Whoever has fewer tickets before its own than every limit up to there allows may go; numbers only grow, so nobody comes
in before. Nothing waits in here: the owner looks again a few times a second. The kernel lets go of the tickets of a run
that is killed. Such a ticket counts until what the run had started is gone too; whoever looks then takes it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from runner.facts import dataclass
from runner.process.watchdog import left_behind

_COUNTER = "counter"
_CALLED = ".called"
_MADE = "made-"
"""What the names of files begin with that are not whole yet."""
_TICKET = re.compile(r"\d{8,}")
_IN_NAMES = re.compile(r"[^\w-]")
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class TicketHolder:
    """Whose a ticket is."""

    run: str
    pid: int
    job: str
    mark: str = ""
    """What the processes of the run are known by."""
    limit: int = 1

    def __str__(self) -> str:
        return f"run {self.run} (pid {self.pid}){f' job {self.job}' if self.job else ''}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a ticket is."""

    may_go: bool
    before: tuple[TicketHolder, ...] = ()
    """Those that it waits for, or that run beside it."""
    called_off_by: TicketHolder | None = None


@dataclass(slots=True)
class _Ticket:
    path: Path
    descriptor: int
    holder: TicketHolder


def groups_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the groups of this user on this machine are."""
    state = environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(state, "mprun", "groups", _file_name(os.uname().nodename))


@dataclass(slots=True)
class MachineGroups:
    """The tickets of one run. Raises OSError where the folder can't be written, or has no locks."""

    folder: Path
    run: str
    mark: str
    _tickets: dict[str, _Ticket] = field(default_factory=dict)

    def enter(self, group: str, key: str, limit: int, *, job: str, calls_off: bool) -> bool:
        """Take a ticket, which this run knows by `key`; False if the counter is held just now: try again."""
        place = self.folder / _file_name(group)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        holder = TicketHolder(self.run, os.getpid(), job, self.mark, limit)
        with _counting(place) as number:
            if number is None:
                return False
            self._tickets[key] = ticket = _made(place, number, holder)
            if calls_off:
                for path, _ in _live(place, before=ticket.path):
                    _write(path.with_suffix(_CALLED), holder)
        return True

    def look(self, key: str) -> Standing:
        """Say how far a ticket is."""
        ticket = self._tickets[key]
        limit, before = ticket.holder.limit, []
        for _, holder in _live(ticket.path.parent, before=ticket.path):
            limit = min(limit, holder.limit)
            before.append(holder)
        return Standing(len(before) < limit, tuple(before), _read(ticket.path.with_suffix(_CALLED)))

    def leave(self, key: str) -> None:
        """Give a ticket back; one that was not taken is no error. Raises nothing."""
        ticket = self._tickets.pop(key, None)
        if ticket is not None:
            _remove(ticket.path)
            os.close(ticket.descriptor)


@contextlib.contextmanager
def _counting(place: Path) -> Iterator[int | None]:
    """Give the next number, and keep others from taking one meanwhile; None where another does so now."""
    descriptor = os.open(place / _COUNTER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        last = os.pread(descriptor, 20, 0).strip()
        names = os.listdir(place)  # noqa: PTH208 - names alone
        there = [int(name) for name in names if _TICKET.fullmatch(name)]
        for name in names:  # of somebody who was killed while he had the counter
            if name.startswith(_MADE):
                (place / name).unlink()
        number = max([*there, int(last) if last.isdigit() else 0]) + 1
        os.pwrite(descriptor, f"{number:020}".encode(), 0)
        yield number
    finally:
        os.close(descriptor)


def _made(place: Path, number: int, holder: TicketHolder) -> _Ticket:
    """Make a ticket that is locked from the moment on at which others see it."""
    path = place / f"{number:08}"
    hidden = path.with_name(f"{_MADE}{path.name}")
    descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, json.dumps(asdict(holder)).encode())
        hidden.rename(path)
    except OSError:
        os.close(descriptor)
        raise
    return _Ticket(path, descriptor, holder)


def _live(place: Path, *, before: Path) -> Iterator[tuple[Path, TicketHolder]]:
    """Yield the tickets before one that count, oldest first; those of dead runs are taken away."""
    names = sorted(
        (name for name in os.listdir(place) if _TICKET.fullmatch(name)),  # noqa: PTH208 - names alone
        key=int,
    )
    for name in names:
        path = place / name
        if int(name) < int(before.name) and (holder := _counts(path)) is not None:
            yield path, holder


def _counts(path: Path) -> TicketHolder | None:
    """Return whose a ticket is, as long as it counts."""
    holder = _read(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it has just been given back
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if holder is not None and _ends_what_is_left(holder):
            return holder
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            _remove(path)
    except BlockingIOError:
        return holder or TicketHolder("?", 0, "")
    except FileNotFoundError:
        pass
    finally:
        os.close(descriptor)
    return None


def _ends_what_is_left(holder: TicketHolder) -> bool:
    """Kill what a dead run has left running; False where nothing is left."""
    left = left_behind(holder.mark) if holder.mark else []
    for pid in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(left)


def _remove(path: Path) -> None:
    for each in (path, path.with_suffix(_CALLED)):
        with contextlib.suppress(OSError):
            each.unlink()


def _write(path: Path, holder: TicketHolder) -> None:
    hidden = path.with_name(f"{_MADE}{path.name}")
    hidden.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    hidden.rename(path)


def _read(path: Path) -> TicketHolder | None:
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return TicketHolder(**read)
    except (OSError, ValueError, TypeError):
        return None


def _file_name(text: str) -> str:
    """Return a text as the name of a file: no two texts share one."""
    escaped = _IN_NAMES.sub(lambda found: "".join(f"%{byte:02x}" for byte in found[0].encode()), text)
    if len(escaped.encode()) <= _LONGEST:
        return escaped
    import hashlib  # few names are so long

    return (
        f"{escaped.encode()[:_LONGEST].decode(errors='ignore')}%{hashlib.sha256(text.encode()).hexdigest()}"
    )
