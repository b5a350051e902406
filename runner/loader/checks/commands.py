"""The commands of stages: what of their options can't hold beside another, or beside what the stage is. Pure.

CommandOptions, StageSpec ──► Conflict: a key, what is wrong with it, what to do ──► a problem at its place
its script, its words     ──► the problems of checks.scripts
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from runner.handlers.command.options import CommandOptions, OutputForm, Shell, Stdin, long_form, read_options
from runner.handlers.command.words import has_item, split
from runner.loader.checks.scripts import check_pipes, check_program, check_script, check_stdin
from runner.spec.diagnostics import DataPath, Diagnostic, LocatedDiagnostic, UnknownPaths
from runner.spec.model import StageSpec
from runner.spec.references import ITEM, references
from runner.spec.shell_quoting import parts_of_words
from runner.spec.source.positions import SourceDocument
from runner.text import late_pattern

_OF_LINES = (
    "name a file; or `run: {lines: {path: '-'}}` makes an item of each line that mprun itself is given"
)
_OF_ITEMS = "`stdin: text` or `json` hands the item over; or name it where `${{ item }}` is to stand"
_SIGN = late_pattern(r"\|\|?|&&?|;|[0-9]*(?:<|>>?)(?:&?[0-9]+)?")
"""Words that mean something to a shell alone."""


class Conflict(NamedTuple):
    """One key that can't hold: of the command, or of the stage where `of_stage`."""

    key: str
    message: str
    help: str
    of_stage: bool = False


def check_commands(
    source: SourceDocument, stages: Iterable[StageSpec], unknowns: UnknownPaths
) -> Iterator[LocatedDiagnostic]:
    """Find what is wrong with the commands of stages."""
    for stage in stages:
        path = ("stages", stage.name, "run", "command")
        if stage.handler.kind != "command" or not unknowns.knows_whole(*path):
            continue
        written = long_form(stage.handler.options)
        options = read_options(written)
        if all(unknowns.knows("stages", stage.name, end) for end in ("from", "to", "batch")):
            for found in conflicts(stage, options, written):
                where = ("stages", stage.name) if found.of_stage else path
                at = (*where, found.key) if found.of_stage or written is stage.handler.options else where
                yield source.place(Diagnostic(at, "conflicting-keys", found.message, "key", found.help))
        run = path if written is not stage.handler.options else (*path, "run")
        if stage.receives is None and unknowns.knows("stages", stage.name, "from"):
            yield from _without_items(source, stage, options, run)
        yield from _check_run(source, stage, options, run)


def conflicts(stage: StageSpec, options: CommandOptions, written: Iterable[str]) -> Iterator[Conflict]:
    """Return the keys that can't hold beside others; `written` are those of the command that the file has."""
    yield from _of_shell(options)
    if stage.receives is None:
        for key in ("stdin", "filter"):
            if key in written and getattr(options, key) not in (Stdin.NONE, False):
                message = f"stage '{stage.name}' takes no items, so its program has nothing to read"
                yield Conflict(key, message, "`from` names the queue that it reads")
    elif options.filter:
        yield from _of_filter(stage, options)
    elif stage.batch is not None:
        yield from _of_batch(options)
    if not options.filter:
        yield from _of_call(stage, options, written)


def _of_shell(options: CommandOptions) -> Iterator[Conflict]:
    if options.shell is None:
        return
    if not isinstance(options.run, str):
        yield Conflict("shell", "a list is run without a shell", "leave it out, or write `run` as a text")
    elif options.shell is Shell.NONE:
        try:
            signs = [word for word in split(options.run) if _SIGN.fullmatch(word)]
        except ValueError as error:
            yield Conflict(
                "run", f"a text without a shell is split at its spaces: {error}", "close the quote"
            )
            return
        if signs:
            message = f"`{signs[0]}` is for a shell, and with `shell: none` nobody reads it"
            yield Conflict("shell", message, "leave it out, or take `bash` or `sh`")


def _of_filter(stage: StageSpec, options: CommandOptions) -> Iterator[Conflict]:
    if options.stdin is Stdin.NONE:
        message = "a `filter` gets its items on its standard input"
        yield Conflict("stdin", message, "take `text` or `json`")
    if options.output in (OutputForm.TEXT, OutputForm.NONE, OutputForm.WHOLE):
        message = "a `filter` answers each item with one line, which says that it is done"
        yield Conflict("output", message, "take `lines` or `json`")
    if stage.batch is not None:
        message = "a `filter` answers its items one by one, so it gets no batches"
        yield Conflict("batch", message, "leave out one of them", of_stage=True)
    if any(map(has_item, _templates(options))):
        message = f"a `filter` is started before there is any '{ITEM}'"
        yield Conflict("run", message, "it reads its items from its standard input: leave the reference out")


def _of_call(stage: StageSpec, options: CommandOptions, written: Iterable[str]) -> Iterator[Conflict]:
    if "answer_timeout" in written:
        help_ = "`timeout` of the stage is the longest that a call may take"
        yield Conflict("answer_timeout", "'answer_timeout' is for a `filter`, which answers", help_)
    if not stage.targets and options.output not in (None, OutputForm.NONE, OutputForm.WHOLE):
        message = f"stage '{stage.name}' has no `to`, so no item becomes of what its program prints"
        yield Conflict("output", message, "name a queue in `to`, or leave it out")
    elif stage.targets and options.output is OutputForm.NONE:
        message = f"with `output: none` the stage puts nothing on '{', '.join(stage.targets)}'"
        yield Conflict("output", message, "take `lines`, `json` or `text`, or leave out `to`")


def _of_batch(options: CommandOptions) -> Iterator[Conflict]:
    """Find what keeps a program from getting all the items of a batch."""
    names_item = any(map(has_item, _templates(options)))
    if not names_item and options.stdin_of() is Stdin.NONE:
        message = "the program would not see the items of its batches"
        help_ = "put `${{ item }}` among its arguments: it is there once for each item; or say `stdin`"
        yield Conflict("batch", message, help_, of_stage=True)
    if not isinstance(options.run, str) or options.shell is Shell.NONE:
        return
    of_item = {each.raw: each.expression for each in references(options.run) if each.names[0] == ITEM}
    parts = [raw for _, raw in parts_of_words(options.run) if raw in of_item]
    if parts:
        message = (
            f"of a batch, `{parts[0]}` is as many words as there are items, and can't be part of another"
        )
        yield Conflict("run", message, "put spaces round it; or hand the items over by `stdin`")
    elif len(set(of_item.values())) > 1:
        message = (
            f"of a batch, one reference to '{ITEM}' can be filled in a text, and here are {len(of_item)}"
        )
        yield Conflict("run", message, "write the command as a list; or hand the items over by `stdin: json`")


def _templates(options: CommandOptions) -> Iterable[object]:
    return (options.run,) if isinstance(options.run, str) else options.run


def _check_run(
    source: SourceDocument, stage: StageSpec, options: CommandOptions, path: DataPath
) -> Iterator[LocatedDiagnostic]:
    run = options.run
    if not isinstance(run, str):
        yield from check_program(source, path, run)
    elif options.shell is not Shell.NONE:
        shell = "sh" if options.shell is Shell.SH else "bash"
        yield from check_script(source, path, shell, run)
        if options.shell is Shell.SH:
            yield from check_pipes(source, path, [shell], run)
    if options.stdin_of() is Stdin.NONE and not options.filter:
        yield from check_stdin(source, path, run, _OF_LINES if stage.receives is None else _OF_ITEMS)


def _without_items(
    source: SourceDocument, stage: StageSpec, options: CommandOptions, path: DataPath
) -> Iterator[LocatedDiagnostic]:
    run = options.run
    words = (
        {path: run} if isinstance(run, str) else {(*path, number): word for number, word in enumerate(run)}
    )
    for at, word in words.items():
        for reference in references(word) if isinstance(word, str) else ():
            if reference.names[0] == ITEM:
                message = (
                    f"stage '{stage.name}' takes no items, so there is no '{ITEM}': its command runs once"
                )
                where = source.within(at, reference.start, reference.width)
                help_ = "`from` names the queue that it reads"
                yield where.diagnostic("unknown-reference", message, help=help_)
