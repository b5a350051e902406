"""The kinds `text`, `jsonl`, `print` and `null`, and what every sink of lines is made of.

item ──► its line ──► buffer ──► one write for many ──► flush: they are done
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from runner.handlers.kinds import Handler, HandlerKind, Mapper, WorkerContext
from runner.handlers.outputs import MODE, Commits, WriteMode, Writes, write_mode
from runner.handlers.sinks.file_output import file_hides, file_output, file_surplus
from runner.handlers.sinks.files import STDOUT, AppendedFile
from runner.handlers.sinks.forms import as_json, in_text, item_text, json_bytes, json_lines, text_bytes
from runner.spec.commits import FlushPolicy
from runner.spec.model import Role
from runner.spec.resume import OverDeath

LINES_DONE = Commits(FlushPolicy(items=5000), keeps_state=True)
"""A write for so many items costs next to nothing for each, and a bounded queue still has room meanwhile."""
_BUFFER = 1 << 20
"""Characters that wait to be written, about."""
PATH = {
    "type": "string",
    "minLength": 1,
    "description": (
        "The file; a relative path starts from the stage's working directory, and folders that are not there are made. "
        "`-` is standard output, which is never cut back: a kill may have lines come twice."
    ),
}
_ALONE = (
    "one file has one writer, or lines could not be cut back to what is done",
    "leave out `count`, or say `mode: replace`: then each worker has a part of its own, and they are joined in the end",
)


class LineSink:
    """Gathers lines, and writes many at once. Its items are done when `flush` has returned."""

    def __init__(
        self,
        file: AppendedFile,
        line: Callable[[Any], str],
        lines: Callable[[list[Any]], str],
        encode: Callable[[str], bytes] = text_bytes,
    ) -> None:
        """
        Gather for `file`.

        `line` makes an item's, with its end; what it raises fails the item. `lines` makes those of many, or raises.
        """
        self.file = file
        self._line = line
        self._of_many = lines
        self._encode = encode
        self._lines: list[str] = ["\n"] if file.lacks_line_end() else []
        self._size = 0
        self._failure: OSError | None = None

    def call(self, item: Any) -> None:
        """Take an item in. Never raises for the file: that is no item's fault, and `flush` says it."""
        self._gather(self._line(item))

    def call_many(self, items: list[Any]) -> bool:
        """Take in all of them; False, and none is in, where one of them has no form."""
        try:
            lines = self._of_many(items)
        except Exception:
            return False
        self._gather(lines)
        return True

    def _gather(self, lines: str) -> None:
        self._lines.append(lines)
        self._size += len(lines)
        if self._size >= _BUFFER:
            self._write()

    def flush(self) -> None:
        """Write what was gathered. Raises OSError."""
        self._write()
        if self._failure is not None:
            raise self._failure
        self.file.sync()

    def _write(self) -> None:
        if self._failure is None and self._lines:
            try:
                self.file.write(self._encode("".join(self._lines)))
            except OSError as error:
                self._failure = error
        self._lines.clear()
        self._size = 0

    def handler(self, kept: Callable[[], Mapping[str, Any]] = dict) -> Mapper:
        """Return it as a handler; `kept` is what whoever takes its place is to know beside the length."""
        return Mapper(
            self.call,
            self.file.close,
            flush=self.flush,
            call_many=self.call_many,
            capture=lambda: self.file.capture(kept()),
        )


def writes_lines(options: Mapping[str, Any], head: Callable[[], bytes] = lambda: b"") -> Writes:
    """Say what a sink of lines leaves, and when they are done."""
    to_stdout = options["path"] == STDOUT
    shared = to_stdout or write_mode(options) is WriteMode.REPLACE
    return Writes(
        Commits(LINES_DONE.flush) if to_stdout else LINES_DONE,
        path="" if to_stdout else options["path"],
        alone=None if shared else _ALONE,
        open=file_output(options, head),
        surplus=file_surplus(options),
        hides=file_hides(options),
        over_death=OverDeath.AT_LEAST_ONCE if to_stdout else OverDeath.EXACTLY_ONCE,
    )


ON_STDOUT = (('with `path: "-"`', {"path": STDOUT}),)
"""For `HandlerKind.otherwise`."""


def _build_text(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    file, template, end = (
        AppendedFile(options["path"], context),
        options.get("line"),
        options.get("end", "\n"),
    )
    if template is None and end == "\n":
        return LineSink(file, _text_line, _text_lines).handler()
    from runner.spec.references import compile_template

    fill = compile_template("${{ item }}" if template is None else template, in_text)
    return LineSink(
        file,
        lambda item: item_text(fill(item)) + end,
        lambda items: "".join([item_text(fill(item)) + end for item in items]),
    ).handler()


def _text_line(item: object) -> str:
    return item_text(item) + "\n"


def _text_lines(items: list[Any]) -> str:
    """Raises TypeError where one of them is no text."""
    return "\n".join(items) + "\n"


_END = {
    "type": "string",
    "default": "\n",
    "description": "What is written behind each item: an empty text where items have line ends of their own.",
}
_LINE = {
    "type": "string",
    "examples": ["${{ item.path }} ${{ item.size }}"],
    "description": "What the line of an item is. Without it, the item as text; a list or a mapping is its JSON.",
}

TEXT = HandlerKind(
    name="text",
    summary="Append each item to a file as a line of text.",
    roles=frozenset({Role.CONSUMER}),
    options={
        "type": "object",
        "properties": {"path": PATH, "line": _LINE, "end": _END, "mode": MODE},
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  writer:
    run: {text: {path: results/names.txt, line: "${{ item.name }}"}}
    from: people
""",
    build=_build_text,
    writes=writes_lines,
    otherwise=ON_STDOUT,
)


def _build_jsonl(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    return LineSink(AppendedFile(options["path"], context), _json_line, json_lines, json_bytes).handler()


def _json_line(item: object) -> str:
    return as_json(item) + "\n"


JSONL = HandlerKind(
    name="jsonl",
    summary="Append each item to a file as a line of JSON.",
    roles=frozenset({Role.CONSUMER}),
    options={
        "type": "object",
        "properties": {"path": PATH, "mode": MODE},
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  writer:
    run: {jsonl: {path: results/counts.jsonl}}
    from: counts
""",
    build=_build_jsonl,
    writes=writes_lines,
    otherwise=ON_STDOUT,
)


def _build_print(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    return _build_text({**options, "path": STDOUT}, context)


PRINT = HandlerKind(
    name="print",
    summary="Print each item on a line of the run's standard output. A kill may have some come twice.",
    roles=frozenset({Role.CONSUMER}),
    options={"type": "object", "properties": {"line": _LINE}, "additionalProperties": False},
    example="""\
stages:
  printer:
    run: {print: {}}
    from: words
""",
    build=_build_print,
    writes=lambda options: writes_lines({**options, "path": STDOUT}),
)


def _build_null(_options: Mapping[str, Any], _context: WorkerContext) -> Handler:
    return Mapper(deque[object](maxlen=0).append)


NULL = HandlerKind(
    name="null",
    summary="Take each item and do nothing with it: to try out, or to measure, what comes before.",
    roles=frozenset({Role.CONSUMER}),
    options={"type": "object", "properties": {}, "additionalProperties": False},
    example="""\
stages:
  drain:
    run: {'null': {}}
    from: words
""",
    build=_build_null,
)
