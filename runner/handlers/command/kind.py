"""The kind `command` as it is declared, and the handler that a stage's role makes of it.

    producer        runs once                          what it prints becomes items, as it comes
    pipe stage      once for an item, or a batch       the same; `${{ item }}` is filled
    consumer        once for an item, or a batch       its stdout is the run's
    plain stage     runs once                          its stdout is the run's
    `filter`        once in a worker                   a line for each item, and a line in answer

Its stderr is the run's, and the last lines are kept for the message if it fails. It is over when the program itself
ends: what that leaves in the background, which may hold its stdout open for ever, lives no longer than the worker.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from runner.errors import CommandFailed
from runner.handlers.command.filter import Filter
from runner.handlers.command.options import CommandOptions, OutputForm, options_schema, read_options
from runner.handlers.command.program import run_program
from runner.handlers.command.streams import (
    decode_output,
    given_to,
    items_of,
    json_of,
    line_of,
    print_in_one_piece,
)
from runner.handlers.command.words import word_builder
from runner.handlers.kinds import Handler, HandlerKind, Mapper, Source, Task, WorkerContext
from runner.spec.diagnostics import Severity
from runner.spec.model import Role


def build(options: Any, context: WorkerContext) -> Handler:
    """Build the handler. `options` is a line for the shell, a program with its arguments, or a mapping with either."""
    command = read_options(options)
    if command.filter:
        return _filter(command, context)
    call = _Call(command, context)
    match context.role:
        case Role.PRODUCER:
            return Source(lambda: call.items(None))
        case Role.PIPE:
            return Mapper(call.items)
        case Role.CONSUMER:
            return Mapper(call)
        case Role.PLAIN:
            return Task(lambda: call(None))


class _Call:
    """One call of a program for each item, each batch, or once."""

    def __init__(self, command: CommandOptions, context: WorkerContext) -> None:
        self._words = word_builder(command, context.values, batch=context.in_batches)
        self._given = given_to(command.stdin_of(), batch=context.in_batches)
        self._output = command.output_of(context.role)
        self._env = cache(_environment)

    def __call__(self, item: object) -> None:
        """Run the program to its end; its output is the run's."""
        sys.stdout.flush()
        if self._output is OutputForm.WHOLE:
            self._print_whole(item)
            return
        for _ in run_program(self._words(item), self._read_by(item), read=False, env=self._env()):
            pass

    def items(self, item: object) -> Iterator[object]:
        """Run the program and yield the items that it prints. One that is abandoned is terminated."""
        words = self._words(item)
        chunks = run_program(words, self._read_by(item), read=True, env=self._env())
        if self._output is OutputForm.WHOLE:
            yield from _text_unless_failed(chunks)
        else:
            yield from items_of(self._output, chunks, words)

    def _print_whole(self, item: object) -> None:
        """Run the program, and print what it has printed in one piece, also where it fails."""
        printed: list[bytes] = []
        try:
            printed.extend(run_program(self._words(item), self._read_by(item), read=True, env=self._env()))
        finally:
            print_in_one_piece(1, b"".join(printed))

    def _read_by(self, item: object) -> bytes | None:
        return None if self._given is None else self._given(item)


def _text_unless_failed(chunks: Iterator[bytes]) -> Iterator[object]:
    """Yield all that a program prints as one text; on stderr, where it fails."""
    printed: list[bytes] = []
    try:
        printed.extend(chunks)
    except CommandFailed:
        print_in_one_piece(2, b"".join(printed))
        raise
    yield decode_output(b"".join(printed))


def _filter(command: CommandOptions, context: WorkerContext) -> Handler:
    words = word_builder(command, context.values, batch=False)(None)
    kept = Filter(words, _environment, command.answer_timeout, context.close_timeout)
    line = line_of(command.stdin_of())
    read: Callable[[bytes], object] = decode_output
    if command.output_of(context.role) is OutputForm.JSON:
        read = lambda answer: json_of(answer, words, "its answer")  # noqa: E731
    passes_on = context.role is Role.PIPE

    def call(item: object) -> object:
        answer = read(kept.ask(line(item)))
        return answer if passes_on else None

    return Mapper(call, kept.close)


def _environment() -> Mapping[bytes, bytes]:
    return dict(os.environb)


COMMAND = HandlerKind(
    name="command",
    summary="Run a program: for each item, or once where there are none. Lines of its stdout become items.",
    roles=frozenset(Role),
    options=options_schema(),
    example="""\
stages:
  checksum:
    run: {command: [sha256sum, "${{ item }}"]}
    from: files
    to: sums
  price:
    run: {command: {run: jq --unbuffered -c .price, filter: true, stdin: json, output: json}}
    from: articles
    to: prices
""",
    build=build,
    repeats=Severity.WARNING,
)
