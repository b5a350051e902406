"""What an interactive step reads: the terminal of the run, by way of a relay, or else what mprun itself reads.

LentStdin(pid of the runner) ──► a terminal ──► TerminalRelay, whose pty the step has as stdin, stdout and stderr
                            ├──► a pipe, a file ──► its stdin; it prints into its log, as any step
                            └──► nothing ──► an empty one
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType

from runner.jobs.executor.process_group import ProcessGroup
from runner.jobs.executor.terminal import TerminalRelay, open_stdin, take_control


class LentStdin:
    """Entered, it has the terminal; left, that is as it was before."""

    def __init__(self, runner: int) -> None:
        """`runner` is the process whose standard input it is."""
        self._runner = runner
        self._stack = ExitStack()
        self._stdin = subprocess.DEVNULL
        self.relay: TerminalRelay | None = None
        """Where it is a terminal."""

    def __enter__(self) -> LentStdin:
        try:
            opened = open_stdin(self._runner)
        except OSError:
            return self
        if os.isatty(opened):
            self.relay = TerminalRelay(opened)
            self._stack.callback(self.relay.close)
        else:
            self._stdin = opened
            self._stack.callback(os.close, opened)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str], directory: str, output: int
    ) -> ProcessGroup:
        """Start a command with it; `output` is its log, for when there is no terminal. Raises OSError."""
        if self.relay is None:
            return ProcessGroup(argv, env=env, directory=directory, output=output, stdin=self._stdin)
        slave = self.relay.slave
        return ProcessGroup(
            argv, env=env, directory=directory, output=slave, stdin=slave, take_control=take_control
        )

    def started(self) -> TerminalRelay | None:
        """The command has its end of the relay. Return that, to be pumped."""
        if self.relay is not None:
            self.relay.started()
        return self.relay
