"""The kind `command`: a program, or a line for the shell, as a handler.

    producer        runs once          each line of its stdout is an item, as it comes
    pipe stage      once for an item   the same; `${{ item }}` is filled
    consumer        once for an item   its stdout is the run's
    plain stage     runs once          its stdout is the run's

Its stdin is empty. Its stderr is the run's, and the last lines are kept for the message if it fails.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from runner.errors import CommandFailed, HandlerError
from runner.handlers.base import Handler, HandlerKind, Mapper, Source, Task, WorkerContext
from runner.quoting import as_script
from runner.spec import Role

_KEPT_LINES = 10
_LONGEST_LINE = 500
_LAST_WORDS = 1.0  # seconds; a grandchild in the background may hold stderr open for ever

Arguments = Sequence[str]
Filler = Callable[[object], Arguments]


def build(options: str | Sequence[str | int], context: WorkerContext) -> Handler:
    """Build the handler. `options` is a line for the shell, or a program with its arguments."""
    fill = _shell_filler(options) if isinstance(options, str) else _program_filler(options)
    if context.role in (Role.PRODUCER, Role.PLAIN):
        _refuse_item(options, context.role)
    match context.role:
        case Role.PRODUCER:
            return Source(lambda: _lines_of(fill(None)))
        case Role.PIPE:
            return Mapper(lambda item: _lines_of(fill(item)))
        case Role.CONSUMER:
            return Mapper(lambda item: _run(fill(item)))
        case Role.PLAIN:
            return Task(lambda: _run(fill(None)))


def _refuse_item(options: object, role: Role) -> None:
    from runner.references import names_used

    if any(names[0] == "item" for names in names_used(options)):
        raise HandlerError(f"the command of a {role} stage uses 'item', and there is none: it runs once")


def _program_filler(options: Sequence[str | int]) -> Filler:
    from runner.references import compile_template

    parts = [compile_template(part) for part in options]
    return lambda item: [_as_argument(part(item)) for part in parts]


def _shell_filler(line: str) -> Filler:
    """
    Return what makes `sh -c` and its arguments from an item.

    What an item holds never becomes part of the line itself, where a quote or a `;` in it would be obeyed.
    Each reference becomes a parameter of the shell's own, quoted to suit its place; the value is an argument.
    """
    from runner.references import compile_template

    script, references = as_script(line, str)
    values = [compile_template(reference) for reference in references]
    return lambda item: ["/bin/sh", "-c", script, "sh", *(_as_argument(value(item)) for value in values)]


def _as_argument(value: object) -> str:
    match value:
        case str():
            return value
        case bytes():
            return os.fsdecode(value)
        case None | bool() | dict() | list() | tuple():
            return json.dumps(value, ensure_ascii=False)
    return str(value)


def _run(argv: Arguments) -> None:
    """Run a command to its end; its output is the run's."""
    sys.stdout.flush()
    with _started(argv, stdout=None):
        pass


def _lines_of(argv: Arguments) -> Iterator[str]:
    """Run a command and yield the lines of its stdout as they come. One that is abandoned is terminated."""
    with _started(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            # File names may hold any bytes: what is not UTF-8 comes back as it was when used as an argument.
            yield line.removesuffix(b"\n").decode("utf-8", "surrogateescape")


@contextmanager
def _started(argv: Arguments, stdout: int | None) -> Iterator[subprocess.Popen[bytes]]:
    process = _start(argv, stdout)
    last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
    assert process.stderr is not None
    listener = threading.Thread(target=_pass_on, args=(process.stderr, last_lines), daemon=True)
    listener.start()
    try:
        yield process
        process.wait()
    finally:
        _end(process)
        listener.join(_LAST_WORDS)
    if process.returncode != 0:
        raise CommandFailed(_failure(argv, process.returncode, last_lines))


def _start(argv: Arguments, stdout: int | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        if error.filename != argv[0]:
            raise
        raise CommandFailed(f"there is no command '{argv[0]}'") from None
    except PermissionError:
        raise CommandFailed(f"'{argv[0]}' is not a program that may be run") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _pass_on(stderr: IO[bytes], last_lines: deque[str]) -> None:
    """Copy a command's stderr to the run's, as it comes, and keep its end."""
    with stderr:
        for line in stderr:
            os.write(2, line)
            last_lines.append(line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip())


def _failure(argv: Arguments, code: int, last_lines: Sequence[str]) -> str:
    shown = shlex.join(argv)
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    said = f": {' | '.join(last_lines)}" if last_lines else ""
    return f"`{shown[:200]}` {how}{said}"


COMMAND = HandlerKind(
    name="command",
    summary="Run a program: for each item, or once where there are none. Lines of its stdout become items.",
    roles=frozenset(Role),
    options={
        "type": ["string", "array"],
        "title": "a program with its arguments as a list, or a text for the shell",
        "description": (
            "A list is a program and its arguments, run without a shell. A text is run by `sh -c`. "
            "`${{ item }}` and `${{ item.name }}` are filled for each item; in a text they need no quotes."
        ),
        "minLength": 1,
        "minItems": 1,
        "items": {"type": ["string", "integer"], "title": "a text or an integer"},
        "examples": [["convert", "${{ item.path }}", "-resize", "50%", "out.png"], "wc -l ${{ item }}"],
    },
    example="""\
stages:
  checksum:
    run: {command: [sha256sum, "${{ item }}"]}
    from: files
    to: sums
""",
    build=build,
)
