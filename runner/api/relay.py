"""What the processes of a run print, where the program has put something of its own in the place of its stdout.

    workers ──► descriptors 1 and 2 ══ pipes ══► the program ──► sys.stdout, sys.stderr: a notebook's cell, say

Where `sys.stdout` is descriptor 1 itself, workers write there and nothing is relayed.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import field

from runner.facts import dataclass
from runner.process.host import own_descriptors

_CHUNK = 1 << 16
_ROOM = 1 << 20
"""Bytes that may be printed while the program does not look."""


@dataclass(slots=True)
class _Stream:
    name: str
    read: int
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )


class OutputRelay:
    """The pipes of one run, none where none is needed."""

    def __init__(self) -> None:
        """Open them. Raises OSError."""
        self.standard: list[int | None] = [None, None]
        """What the run is to have as its stdout and stderr; to be closed once it has."""
        self._streams: dict[int, _Stream] = {}
        for index, name in enumerate(("stdout", "stderr")):
            if not _is_plain(name, index + 1):
                read, self.standard[index] = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(read, False)
                own_descriptors.add(read)
                with suppress(OSError):  # more than the user may have in pipes
                    fcntl.fcntl(read, fcntl.F_SETPIPE_SZ, _ROOM)
                self._streams[read] = _Stream(name, read)

    def started(self) -> None:
        """The run has its ends."""
        for index, given in enumerate(self.standard):
            if given is not None:
                os.close(given)
                self.standard[index] = None

    def descriptors(self) -> Iterator[int]:
        """What to poll."""
        yield from self._streams

    def pass_on(self, descriptor: int) -> bool:
        """Write what has come where the program wants it; False once nothing more will come."""
        stream = self._streams[descriptor]
        while True:
            try:
                chunk = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                return True
            self._write(stream, stream.decoder.decode(chunk, final=not chunk))
            if not chunk:
                return False

    def close(self) -> None:
        """Pass on what is left, and close all."""
        self.started()
        for descriptor in tuple(self._streams):
            with suppress(Exception):  # what the program has put there
                self.pass_on(descriptor)
            own_descriptors.discard(descriptor)
            os.close(descriptor)
        self._streams.clear()

    def _write(self, stream: _Stream, text: str) -> None:
        target = getattr(sys, stream.name)
        if text and target is not None:
            target.write(text)
            target.flush()


def _is_plain(name: str, descriptor: int) -> bool:
    """Whether what is printed in this program goes to that descriptor."""
    try:
        return bool(getattr(sys, name).fileno() == descriptor)
    except (AttributeError, OSError, ValueError):
        return False
