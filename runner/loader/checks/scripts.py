"""Scripts for a shell, of jobs and of the commands of stages: what is wrong with the references in them. Pure.

A reference in a script becomes a variable of the shell's own, in quotes: where none can be put, and where one is read
as code after all, is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from runner.spec.diagnostics import DataPath, LocatedDiagnostic, Severity
from runner.spec.references import TextReference, is_one_reference, references
from runner.spec.shell_quoting import POSIX, hidden_failure, read_as_code, unfillable
from runner.spec.source.positions import SourceDocument
from runner.text import clip, late_pattern

_EVALUATES = ("bash", "ksh", "zsh")
"""Shells that obey `a[$(…)]` in a variable where a number is wanted."""
_MOST_SHOWN = 40  # characters of a command
_READS_NEXT = late_pattern(
    r"(?:ba|da|k|z|a)?sh -[a-z]*c|python[0-9.]* -c|php -r|(?:perl|ruby|node) -[a-z]*e|env -S|sed -e"
    r"|(?:psql|mysql|mariadb) -[ce]|[gmn]?awk (?:\S*/)?[gmn]?awk|sed (?:\S*/)?sed"
)
"""A program and the option, or of some the name alone, whose next argument it reads as code."""
_OBEYED_HELP = "check the value first, such as by `case`, or hand it to a program as an argument"


def check_script(
    source: SourceDocument, path: DataPath, shell: str, text: str
) -> Iterator[LocatedDiagnostic]:
    """Find references in whose place no variable of `shell` can be put, or in whose place one is read as code."""
    if "${{" not in text or is_one_reference(text):
        return
    found = _not_to_be_filled(shell, text)
    if found is not None:
        where = source.within(path, found.start, found.width)
        yield where.diagnostic("reference-in-script", found.message, help=found.help)
        return
    for reference, reader in _obeyed(shell.rpartition("/")[2], text):
        yield _value_as_code(source, path, reference, reader)


def check_pipes(
    source: SourceDocument, path: DataPath, shell: Sequence[str], text: str
) -> Iterator[LocatedDiagnostic]:
    """Find the first command whose failure a pipe hides, where `shell` goes by the last one of a pipe."""
    name = shell[0].rpartition("/")[2]
    found = None if name not in POSIX or "pipefail" in shell else hidden_failure(text)
    if found is None:
        return
    start, width = found
    shown = f"`{clip(text[start : start + width], _MOST_SHOWN)}`" if width > 1 else "what is in brackets"
    message = f"if {shown} fails, nobody sees it: `{name}` goes by the last command of a pipe"
    help_ = "say `shell: bash`, for which a pipe fails if any command of it does; or write to a file first"
    where = source.within(path, start, width)
    yield where.diagnostic("hidden-failure", message, help=help_, severity=Severity.WARNING)


_READS = late_pattern(
    r"\s*(?:(cat|sort|uniq|wc|head|tail|tac|rev|nl|od|xxd|gzip|gunzip|zcat|base64|(?:md5|sha\d+)sum)((?:\s+(?:-\S*|\d+))*)"
    r"|(xargs|tr)\s[^<|;&\n]*)\s*(?:[|;&\n]|\Z)"
)
"""A program that reads its standard input, as no file is named, and is the first of its script."""
OF_JOBS = "name a file, or say what to read, as in `< data.txt`"


def check_stdin(
    source: SourceDocument, path: DataPath, command: str | Sequence[object], help_: str
) -> Iterator[LocatedDiagnostic]:
    """Find a program that waits for input where there is none, and so would work on nothing without a word."""
    found = _READS.match(command if isinstance(command, str) else " ".join(map(str, command)))
    if found is None:
        return
    program = found[1] or found[3]
    message = f"`{program}` reads its standard input here, and that of a command is empty"
    if isinstance(command, str):
        where = source.within(path, found.start(1 if found[1] else 3), len(program))
    else:
        where = source.within((*path, 0), 0, len(program))
    yield where.diagnostic("empty-stdin", message, help=help_, severity=Severity.WARNING)


def check_program(
    source: SourceDocument, path: DataPath, argv: Sequence[object]
) -> Iterator[LocatedDiagnostic]:
    """Find references in an argument that a program reads as code: a script that is itself a list's word."""
    program = str(argv[0]).rpartition("/")[2] if argv else ""
    for number, word in enumerate(argv[1:], start=1):
        reader = f"{program} {argv[number - 1]}"
        for reference in references(word) if isinstance(word, str) and _READS_NEXT.fullmatch(reader) else ():
            yield _value_as_code(source, (*path, number), reference, reader)


def _value_as_code(
    source: SourceDocument, path: DataPath, reference: TextReference, reader: str
) -> LocatedDiagnostic:
    message = f"`{reader}` reads as code what {reference.raw} holds, whatever is in it"
    where = source.within(path, reference.at, len(reference.raw))
    return where.diagnostic("value-as-code", message, help=_OBEYED_HELP, severity=Severity.WARNING)


def _obeyed(shell: str, text: str) -> Iterator[tuple[TextReference, str]]:
    """Yield the references to values of others that a script hands on to be read as code, and what reads them."""
    for reference in references(text):
        reader = read_as_code(text, reference.at, evaluates=shell in _EVALUATES)
        if reader is not None and reference.names[0] != "matrix":
            yield reference, reader


class _Unfilled(NamedTuple):
    """A reference that can't be filled: where it is in its script, what is wrong, and what to do."""

    start: int
    width: int
    message: str
    help: str


def _not_to_be_filled(shell: str, text: str) -> _Unfilled | None:
    """Return the first reference that can't be filled in a script."""
    if shell.rpartition("/")[2] not in POSIX:
        first = next(references(text), None)
        if first is None:
            return None
        message = f"a script for {shell} can't hold `{first.raw}`"
        help_ = "put it into `env`, and read the variable in the script"
        return _Unfilled(first.at, len(first.raw), message, help_)
    start, raw = next(iter(unfillable(text)), (0, ""))
    if not raw:
        return None
    message = f"`{raw}` is in a here-document that fills nothing"
    return _Unfilled(start, len(raw), message, "take the quotes off the word after '<<'")
