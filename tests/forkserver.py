"""A process that has imported mprun and forks itself for each command: a real process each time, without the imports.

    test ── argv, env, cwd, descriptors ──► server ── fork ──► keeper ── fork ──► the command, a session of its own
      ▲                                                          │ waits for it
      └──────────────── its pid, and at its end its exit code ───┘

What only a start from nothing can show (what is imported, and when; what Python reads from its environment as it
starts) is for tests that start the command themselves.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

_MOST = 1 << 20
_BEFOREHAND = (
    *("mprun.__main__", "runner.cli.main", "runner.cli.group", "runner.cli.checking", "runner.composition"),
    *("runner.cli.run", "runner.cli.jobs.run", "runner.cli.validate", "runner.cli.plan", "runner.cli.graph"),
    *(
        "runner.loader.load",
        "runner.loader.load_jobs",
        "runner.transports.leased.transport",
        "runner.render.process",
    ),
    *("runner.supervisor.job_scheduler", "runner.jobs.executor.runner", "jsonschema", "yaml"),
)


class ForkServer:
    """The test's side. It ends with the process that made it."""

    def __init__(self, command: Path, env: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), command],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # as in each command: Python asks as it starts whether it can seek there
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
            )

    def start(
        self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, stdout: int, stderr: int
    ) -> ForkedCommand:
        """Start the command. The descriptors stay the caller's own."""
        ours, theirs = socket.socketpair()
        request = json.dumps({"arguments": arguments, "env": dict(env), "cwd": str(cwd)}).encode()
        with theirs:
            socket.send_fds(self._control, [request], [stdout, stderr, theirs.fileno()])
        return ForkedCommand(ours)

    def close(self) -> None:
        """End the server. Commands that still run are not touched."""
        self._control.close()
        said, _ = self._process.communicate(timeout=10)
        assert said == b"", said


class ForkedCommand:
    """A command that was started; its keeper tells how it ends."""

    def __init__(self, keeper: socket.socket) -> None:
        self._keeper = keeper.makefile("r", encoding="ascii")
        keeper.close()
        self.pid = int(self._keeper.readline())

    def wait(self) -> int:
        """Return its exit code, negative for a signal."""
        with self._keeper:
            return int(self._keeper.readline())


def serve(control: socket.socket) -> list[str]:
    """Fork for each request. Returns in each command, with its arguments; the server itself ends with the tests."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for keepers
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _MOST, 3)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            return _keep(json.loads(message), *descriptors)
        for each in descriptors:
            os.close(each)


def _keep(request: dict[str, Any], stdout: int, stderr: int, report: int) -> list[str]:
    command = os.fork()
    if command == 0:
        os.setsid()  # so that one signal reaches whatever it starts
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.closerange(3, max(stdout, stderr, report) + 1)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        return list(request["arguments"])
    os.close(stdout)
    os.close(stderr)
    os.write(report, b"%d\n" % command)
    _, status = os.waitpid(command, 0)
    os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def main() -> None:
    """Become the command, as the script that is installed would."""
    if os.fork():
        os._exit(0)  # the server is no child of the tests: some of them end whatever is
    control, script = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    sys.path[0] = str(Path(script).parent)
    sys.modules["__main__"].__file__ = script  # a spawned worker imports it
    for name in _BEFOREHAND:
        import_module(name)
    gc.collect()
    gc.freeze()
    sys.argv = [script, *serve(control)]
    from mprun.__main__ import main as command

    sys.exit(command())


if __name__ == "__main__":
    main()
