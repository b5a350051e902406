"""Where the output of a job goes: the log file itself, or a pipe through the masker where the job has secrets.

no secrets   command ══ stdout, stderr ══► log              nobody between: as quick as the disk, whole up to a kill
secrets      command ══► pipe ══► worker: masker ══► log
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from contextlib import suppress

from runner.jobs.masking import MaskedStream, Masker

_CHUNK = 1 << 16
_MOST_CHUNKS = 16


class Logbook:
    """One log file, appended to. Made anew for each attempt."""

    def __init__(self, path: str, secrets: Sequence[str] = ()) -> None:
        """Open it, for its owner alone. Raises OSError."""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._masker = Masker(secrets)
        self._pumps: dict[int, MaskedStream] = {}

    @property
    def size(self) -> int:
        """Bytes so far: what it is that grows while the job is not silent."""
        return os.fstat(self._fd).st_size

    def say(self, text: str) -> None:
        """Write a line of our own."""
        os.write(self._fd, self._masker.whole(text.encode("utf-8", "surrogateescape")) + b"\n")

    def open_output(self) -> int:
        """Return a descriptor for a command to print to. `shut_output` gives it back once the command has it."""
        if not self._masker:
            return self._fd
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading, False)
        self._pumps[reading] = self._masker.stream()
        return writing

    def shut_output(self, descriptor: int) -> None:
        """The command has its own copy."""
        if descriptor != self._fd:
            os.close(descriptor)

    @property
    def pipes(self) -> list[int]:
        """Descriptors to poll: `pump` when one is readable."""
        return list(self._pumps)

    def pump(self) -> None:
        """Pass on what commands have printed."""
        for pipe in list(self._pumps):
            with suppress(BlockingIOError):
                self._pump_some(pipe)

    def _pump_some(self, pipe: int) -> None:
        # Who prints without end must not keep the caller from looking at the clock.
        for _ in range(_MOST_CHUNKS):
            chunk = os.read(pipe, _CHUNK)
            if not chunk:
                self._end(pipe)
                return
            os.write(self._fd, self._pumps[pipe].feed(chunk))

    def finish(self, patience: float = 1.0) -> None:
        """Every command has ended: pass on the rest. Whoever still holds a pipe is not waited for for long."""
        end = time.monotonic() + patience
        while self._pumps and select.select(self.pipes, [], [], max(end - time.monotonic(), 0.0))[0]:
            self.pump()
            if time.monotonic() > end:
                break
        for pipe in self.pipes:
            self._end(pipe)

    def close(self) -> None:
        """Finish, and give everything back."""
        self.finish()
        os.close(self._fd)

    def _end(self, pipe: int) -> None:
        os.write(self._fd, self._pumps.pop(pipe).flush())
        os.close(pipe)
