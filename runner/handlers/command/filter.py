"""A program that is kept running: a line in, a line out, for item after item.

    ask(line) ──► started if it is not running ──► writes the line, reads one ──► the answer
                         any fault ──► it is ended, the item has failed, and the next starts it again
    close()   ──► its stdin is closed ──► it ends by itself │ SIGTERM │ SIGKILL

A fault is: it has ended; it says nothing in time, or does not even read; its answer has no end, or is more than a line;
it has said something that nobody asked for. None is told of another item than the one in hand.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Mapping

from runner.errors import CommandFailed
from runner.exit_status import describe_status
from runner.handlers.command.program import Program, readable, start, write_some
from runner.text import clip, visible
from runner.units import format_duration

_CHUNK = 1 << 16
_LONGEST_ANSWER = 1 << 26
_MOST_SHOWN = 100
_LAST_WORDS = 1.0
"""Seconds for one that closed its output to end, and for its stderr to be read to its end."""
_TERMINATED = 0.2
"""The share of the time for its end that is left for SIGTERM to be heeded."""


class Filter:
    """One program and the conversation with it. `ask` raises CommandFailed for what goes wrong."""

    def __init__(
        self, words: list[str], env: Callable[[], Mapping[bytes, bytes]], timeout: float, bound: float
    ) -> None:
        """`timeout` is for an answer, `bound` for its end."""
        self._words = words
        self._env = env
        self._timeout = timeout
        self._bound = bound
        self._program: Program | None = None

    def ask(self, line: bytes) -> bytes:
        """Hand a line over, its end included, and return the answer, without its end."""
        deadline = time.monotonic() + self._timeout
        program = self._running()
        try:
            return self._conversation(program, line, deadline)
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Let it come to its end. Raises CommandFailed where that was no good one."""
        program = self._program
        if program is None:
            return
        program.close_stdin()
        said = self._last_said(program, time.monotonic() + self._bound * (1 - _TERMINATED))
        ended = program.has_ended()
        self._end(self._bound * _TERMINATED)
        if not ended:
            bound = format_duration(self._bound)
            raise program.failure(f"did not end within {bound} when its standard input was closed")
        if program.code:
            raise program.failure()
        if said:
            raise program.failure(f"said more at its end than it was asked: {_shown(said)}")

    def _last_said(self, program: Program, deadline: float) -> bytes:
        """Return the beginning of what it says that nobody asked for, once it has ended or its time is up."""
        said, open_ends = b"", {program.stdout, program.stderr} - {-1}
        while (patience := deadline - time.monotonic()) > 0:
            ready = readable(*open_ends, program.pidfd, patience=patience)
            if program.stderr in ready and not program.read_stderr():
                open_ends &= {program.stdout}
            if program.stdout in ready:
                chunk = os.read(program.stdout, _CHUNK)
                said = said or chunk
                if not chunk:
                    open_ends.discard(program.stdout)
            elif program.pidfd in ready:
                break
        return said

    def _running(self) -> Program:
        if self._program is None:
            self._program = start(self._words, fed=True, read=True, env=self._env(), leads=True)
        return self._program

    def _conversation(self, program: Program, line: bytes, deadline: float) -> bytes:
        if readable(program.stdout, patience=0):
            self._take(program, b"", asked=False)
        poll, left, answer = select.poll(), memoryview(line), b""
        for each in {program.stdout, program.stderr, program.pidfd} - {-1}:
            poll.register(each, select.POLLIN)
        poll.register(program.stdin, select.POLLOUT)
        while not answer.endswith(b"\n"):
            ready = {each for each, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)}
            if not ready:
                raise self._silence(program, len(left))
            self._hear(program, poll, ready)
            if program.stdout in ready:
                answer = self._take(program, answer, asked=True)
            elif program.pidfd in ready:
                raise self._died(program, answer)
            if program.stdin in ready:
                left = left[write_some(program.stdin, left) :]
                if not left:
                    poll.unregister(program.stdin)
        if left:
            raise program.failure(f"answered before it had read the item: {_shown(answer)}")
        return answer[:-1]

    def _hear(self, program: Program, poll: select.poll, ready: set[int]) -> None:
        stderr = program.stderr
        if stderr in ready and not program.read_stderr():
            poll.unregister(stderr)

    def _take(self, program: Program, answer: bytes, *, asked: bool) -> bytes:
        """Return the answer with what has come of it. Raises CommandFailed where that is not what was asked for."""
        chunk = os.read(program.stdout, _CHUNK)
        if not chunk:
            raise self._died(program, answer)
        if not asked:
            raise program.failure(f"said something that it was not asked: {_shown(chunk)}")
        answer += chunk
        end = answer.find(b"\n")
        if 0 <= end < len(answer) - 1:
            raise program.failure(f"answered with more than a line: {_shown(answer)}")
        if len(answer) > _LONGEST_ANSWER:
            raise program.failure(f"answered with a line that has no end: {_shown(answer)}")
        return answer

    def _died(self, program: Program, answer: bytes) -> CommandFailed:
        """Say how it ended, or that it only closed its output."""
        part = f", in the middle of its answer {_shown(answer)}" if answer else ""
        if not program.has_ended(_LAST_WORDS):
            return program.failure(f"closed its standard output{part}")
        program.hear_last_words(_LAST_WORDS)
        return program.failure(f"{describe_status(program.wait())}{part or ' before it had answered'}")

    def _silence(self, program: Program, unread: int) -> CommandFailed:
        bound = format_duration(self._timeout)
        if unread:
            return program.failure(f"did not read the item within {bound}")
        hint = (
            "it has to send each answer at once, as `sed -u`, `jq --unbuffered` and `grep --line-buffered` do"
        )
        return program.failure(f"gave no answer within {bound}; {hint}")

    def _end(self, patience: float | None = None) -> None:
        program, self._program = self._program, None
        if program is not None:
            program.hear_last_words(0)
            program.end() if patience is None else program.end(patience)


def _shown(said: bytes) -> str:
    return f"'{clip(visible(said.decode('utf-8', 'backslashreplace').rstrip()), _MOST_SHOWN)}'"
