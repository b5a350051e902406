"""A terminal of our own for `mprun top`: what it shows, line by line, and keys to press."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE = 60.0
_HOME = "\x1b[H"
_CODES = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


class TopOnTerminal:
    """A command on a pseudo-terminal that is its controlling one, as a shell would start it."""

    def __init__(
        self, argv: list[str | Path], cwd: Path, env: Mapping[str, str], size: tuple[int, int] = (80, 24)
    ) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(*size)
        self.modes_before = termios.tcgetattr(self._theirs)
        self.all_shown = ""
        # Of the leader of a session the first terminal that it opens becomes the controlling one.
        on_terminal = ["/bin/sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(self._theirs), *argv]
        self.process = subprocess.Popen(
            on_terminal, cwd=cwd, env={**env, "TERM": "xterm-256color"}, start_new_session=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    @property
    def modes(self) -> list[Any]:
        """What `stty -a` tells."""
        return termios.tcgetattr(self._theirs)

    def resize(self, columns: int, rows: int) -> None:
        """Give it another size."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._ours, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        self.process.send_signal(number)

    def lines(self) -> list[str]:
        """What was drawn last, line by line, without colours."""
        frame = self.all_shown.rpartition(_HOME)[2]
        return [_CODES.sub("", line).rstrip() for line in frame.split("\r\n")]

    def wait_for(self, shown: Callable[[list[str]], object], what: str = "") -> list[str]:
        """Read what is drawn until it shows that."""
        deadline = time.monotonic() + PATIENCE
        while not shown(self.lines()):
            assert time.monotonic() < deadline, f"never seen: {what}\n" + "\n".join(self.lines())
            self._read(0.2)
        return self.lines()

    def wait_for_end(self) -> tuple[int, str]:
        """Read until it has ended; return its exit code, and what is on the normal screen then."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it never ended\n" + "\n".join(self.lines())
            self._read(0.1)
        while self._read(0.0):
            pass
        left = self.all_shown.rpartition("\x1b[?1049l")[2]
        return self.process.returncode, _CODES.sub("", left).replace("\r\n", "\n")

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        self.all_shown += os.read(self._ours, 65536).decode("utf-8", "replace")
        return True
