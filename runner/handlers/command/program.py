"""A program that runs: started, fed, read, and brought to its end; nothing of it is waited for without a bound.

start ──► stdin  ◄── what it is given, as it takes it        posix_spawn: nothing of this process is copied
          stdout ──► chunks, as they come
          stderr ──► the run's own, line by line; its end is kept for the message if it fails
          pidfd  ──► it has ended: what it leaves in the background may hold its pipes open for ever
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import shlex
import shutil
import signal
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from functools import partial

from runner.errors import CommandFailed
from runner.exit_status import describe_status
from runner.facts import dataclass
from runner.text import visible

_KEPT_LINES = 10
_LONGEST_LINE = 500
_KEPT_BYTES = 1 << 15
"""Of stderr: more than the lines that are kept, unless they are long."""
_CHUNK = 1 << 16  # bytes; what a pipe holds
_AFTERTHOUGHT = 0.2
"""Seconds for what a program that has ended left to others to print, as `> >(tee log)` does."""
_QUIET = 0.005
"""Seconds in which most programs are done: to be woken once, at the end, is quicker than for all that is said."""
_STDERR_PATIENCE = 1.0
"""Seconds for the last words of one that failed."""
_GRACE = 2.0
"""Seconds from SIGTERM to SIGKILL for a program that nobody wants any more."""
_SHOWN = 200
_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
"""What Python ignores, and programs count on."""


class Stderr:
    """What a program says on its stderr: passed on by whole lines, and the last of it kept."""

    def __init__(self) -> None:
        self._line = b""
        self._kept = b""

    def add(self, chunk: bytes) -> None:
        """Pass on the lines that are complete."""
        self._kept = (self._kept + chunk)[-_KEPT_BYTES:]
        whole, end, rest = (self._line + chunk).rpartition(b"\n")
        self._line = rest
        self._pass_on(whole + end)
        if len(rest) > _CHUNK:
            self.end()

    def end(self) -> None:
        """Pass on what is left of a line."""
        rest, self._line = self._line, b""
        self._pass_on(rest)

    def last_lines(self) -> str:
        """Return its last words for a message: a few lines, none of them long, with nothing that a terminal obeys."""
        lines = self._kept.splitlines()[-_KEPT_LINES:]
        return " | ".join(visible(line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip()) for line in lines)

    def _pass_on(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(2, data) :]
            except OSError:  # nobody listens: no reason for a program to stop
                return


@dataclass(slots=True)
class Program:
    """One process, and our ends of its pipes. A descriptor that is closed is -1."""

    words: list[str]
    pid: int
    stdin: int
    stdout: int
    stderr: int
    leads: bool = False
    """Whether it leads a process group, which ends with it."""
    said: Stderr = field(default_factory=Stderr)
    code: int | None = None
    """Its exit code once it was waited for; negative for a signal."""
    _pidfd: int = -1

    @property
    def pidfd(self) -> int:
        """What can be read once it has ended."""
        if self._pidfd < 0:
            self._pidfd = os.pidfd_open(self.pid)
        return self._pidfd

    def close_stdin(self) -> None:
        """Let it see the end of what it is given."""
        self.stdin = _closed(self.stdin)

    def read_stderr(self) -> bool:
        """Take what is there of stderr; False once there is nothing more to come."""
        chunk = os.read(self.stderr, _CHUNK)
        if chunk:
            self.said.add(chunk)
        else:
            self.stderr = _closed(self.stderr)
        return bool(chunk)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        if self.code is None:
            try:
                self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except ChildProcessError:  # somebody else has waited for it, and nobody knows how it ended
                self.code = 0
        return self.code

    def has_ended(self, patience: float = 0.0) -> bool:
        """Say whether it has ended, or does so within some seconds."""
        return self.code is not None or self.pidfd in readable(self.pidfd, patience=patience)

    def end(self, patience: float = _GRACE) -> None:
        """Bring it to its end, if it has not come to that: SIGTERM, then SIGKILL. Closes all that is open."""
        self.close_stdin()
        if self.code is None:
            if not self.has_ended():
                self._signal(signal.SIGTERM)
                if not self.has_ended(patience):
                    self._signal(signal.SIGKILL)
            if self.leads:  # while its number is its own: it has not been waited for
                self._signal(signal.SIGKILL)
            self.wait()
        self.said.end()
        self.stdout, self.stderr, self._pidfd = map(_closed, (self.stdout, self.stderr, self._pidfd))

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            (os.killpg if self.leads else os.kill)(self.pid, number)

    def hear_last_words(self, patience: float) -> None:
        """Take what it still says on stderr, until nobody has that open any more, or for some seconds."""
        deadline = time.monotonic() + patience
        while self.stderr >= 0 and readable(self.stderr, patience=deadline - time.monotonic()):
            self.read_stderr()

    def failure(self, how: str = "") -> CommandFailed:
        """Return the error for how it has ended, or for `how` it fails where that is said."""
        code = self.code or None
        ending = how or describe_status(self.code or 0)
        last = self.said.last_lines()
        return CommandFailed(f"`{display_words(self.words)}` {ending}{f': {last}' if last else ''}", code)


def display_words(words: list[str]) -> str:
    """Return a command for a message."""
    return visible(shlex.join(words)[:_SHOWN])


def start(
    words: list[str], *, fed: bool, read: bool, env: Mapping[bytes, bytes], leads: bool = False
) -> Program:
    """
    Start a program; `fed`: we write to its stdin, else that is empty; `read`: we read its stdout, else it has ours;
    `leads`: a process group, which ends with it.

    Raises:
        CommandFailed: there is no such program, or the system does not start it so.
    """
    pipes = [_pipe() if wanted else (-1, -1) for wanted in (fed, read, True)]
    (in_read, in_write), (out_read, out_write), (err_read, err_write) = pipes
    actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_DUP2, err_write, 2)]
    actions += [(os.POSIX_SPAWN_DUP2, out_write, 1)] if read else []
    actions += [
        (os.POSIX_SPAWN_DUP2, in_read, 0) if fed else (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    ]
    try:
        pid = _spawn(words, actions, env, leads)
    except BaseException:
        for each in (in_write, out_read, err_read):
            _closed(each)
        raise
    finally:
        for each in (in_read, out_write, err_write):
            _closed(each)
    if fed:
        os.set_blocking(in_write, False)
    return Program(words, pid, in_write, out_read, err_read, leads)


def _spawn(
    words: list[str], actions: list[tuple[object, ...]], env: Mapping[bytes, bytes], leads: bool
) -> int:
    spawn = partial(os.posix_spawnp, words[0], words, env, file_actions=actions, setsigdef=_SIGNALS)
    try:
        return spawn(setpgroup=0) if leads else spawn()
    except FileNotFoundError:
        if (found := shutil.which(words[0])) is None:
            raise CommandFailed(f"there is no command '{visible(words[0])}'") from None
        raise CommandFailed(
            f"the first line of '{visible(found)}' names a program that is not there"
        ) from None
    except PermissionError:
        raise CommandFailed(f"'{visible(words[0])}' is not a program that may be run") from None
    except ValueError:
        message = "an argument can't hold a NUL character; `stdin` hands the item over as it is"
        raise CommandFailed(f"`{display_words(words)}`: {message}") from None
    except OSError as error:
        raise CommandFailed(f"`{display_words(words)}` could not be started: {_why(error, words)}") from None


def _why(error: OSError, words: list[str]) -> str:
    if error.errno != errno.E2BIG:
        return str(error.strerror)
    size = sum(len(os.fsencode(word)) for word in words)
    return f"its {len(words) - 1:,} arguments, {size:,} bytes, are more than the system takes; hand over with `stdin`"


def run_program(
    words: list[str], given: bytes | None, *, read: bool, env: Mapping[bytes, bytes]
) -> Iterator[bytes]:
    """
    Run a program to its end and yield what it prints, as it comes. One that is abandoned is terminated.

    Raises:
        CommandFailed: it could not be started, or its exit code was not 0.
    """
    program = start(words, fed=given is not None, read=read, env=env)
    try:
        if not given and _is_soon_done(program):
            yield from _all_of(program)
        else:
            yield from _printed(program, given or b"")
            yield from _left_behind(program)
    finally:
        program.end()
    if program.code:
        raise program.failure()


def _is_soon_done(program: Program) -> bool:
    """Say whether a program ends in a moment, and all others that have its pipes with it: nothing is read."""
    if not program.has_ended(_QUIET):
        return False
    poll, pipes = select.poll(), [each for each in (program.stdout, program.stderr) if each >= 0]
    for each in pipes:
        poll.register(each, 0)
    return len(poll.poll(0)) == len(pipes)


def _all_of(program: Program) -> Iterator[bytes]:
    """Yield what is left in pipes that nobody writes to any more."""
    while program.stdout >= 0 and (chunk := os.read(program.stdout, _CHUNK)):
        yield chunk
    while program.read_stderr():
        pass
    program.wait()


def _printed(program: Program, given: bytes) -> Iterator[bytes]:
    """Feed a program and yield what it prints, until it has ended: others may have its pipes open longer."""
    stdin, stdout, stderr = program.stdin, program.stdout, program.stderr
    poll, left = select.poll(), memoryview(given)
    for each in (stdout, stderr, program.pidfd):
        if each >= 0:
            poll.register(each, select.POLLIN)
    if stdin >= 0:
        poll.register(stdin, select.POLLOUT)
    while True:
        ready = [each for each, _ in poll.poll()]
        if stderr in ready and not program.read_stderr():
            poll.unregister(stderr)
        if program.pidfd in ready:
            return
        if stdin in ready:
            left = left[write_some(stdin, left) :]
            if not left:
                poll.unregister(stdin)
                program.close_stdin()
        if stdout in ready:
            chunk = os.read(stdout, _CHUNK)
            if chunk:
                yield chunk
            else:
                poll.unregister(stdout)


def _left_behind(program: Program) -> Iterator[bytes]:
    """Yield what a program that has ended left in its pipes, and what others print there in the next moment."""
    failed = program.wait() != 0
    deadline = time.monotonic() + (_STDERR_PATIENCE if failed else _AFTERTHOUGHT)
    open_ends = [each for each in (program.stdout, program.stderr) if each >= 0]
    poll = select.poll()
    for each in open_ends:
        poll.register(each, select.POLLIN)
    while open_ends and (patience := deadline - time.monotonic()) > 0:
        for each, _ in poll.poll(patience * 1000):
            chunk = os.read(each, _CHUNK)
            if not chunk:
                poll.unregister(each)
                open_ends.remove(each)
            elif each == program.stdout:
                yield chunk
            else:
                program.said.add(chunk)
    if program.stdout in open_ends:
        yield from _left_in(program.stdout)


def write_some(pipe: int, data: memoryview) -> int:
    """Write what a pipe has room for, and return how much that was. Nobody may read it any more: then it is all."""
    try:
        return os.write(pipe, data[:_CHUNK])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)


def readable(*descriptors: int, patience: float | None = None) -> set[int]:
    """Wait until any of these has something to read, or has come to its end; return which."""
    poll = select.poll()
    for each in descriptors:
        poll.register(each, select.POLLIN)
    return {each for each, _ in poll.poll(None if patience is None else max(0.0, patience) * 1000)}


def _left_in(pipe: int) -> Iterator[bytes]:
    """Yield what is in a pipe now, and no more: whoever read it may have been held up longer than any patience."""
    left = int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
    while left > 0:
        chunk = os.read(pipe, min(left, _CHUNK))
        left -= len(chunk)
        yield chunk


def _pipe() -> tuple[int, int]:
    """Return a pipe no end of which is one of the first three descriptors, for these are the program's to be."""
    ends = os.pipe()
    return ends if min(ends) > 2 else (_moved(ends[0]), _moved(ends[1]))


def _moved(descriptor: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return moved


def _closed(descriptor: int) -> int:
    if descriptor >= 0:
        os.close(descriptor)
    return -1
