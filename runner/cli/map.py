"""`mprun map`: a command for each of many items; the workflow that this is can be printed, and run as a file.

COMMAND, items ──► map_workflow ──┬──► --print: the file
                                  └──► plan ──► run ──► what failed, the exit code
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.map_workflow import STDIN, MapRequest, map_workflow
from runner.cli.options import examples
from runner.cli.output import print_message, write
from runner.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from runner.cli.options import RunOptions
    from runner.events.base import Event
    from runner.events.report import Report
    from runner.spec.plan import Plan

_FILE = Path("<map>")
"""What problems call the workflow, which is no file."""
_MOST_SHOWN = 20
"""Failures that are told of one by one."""
EXAMPLES = examples(
    "mprun map -j4 'convert ${{ item }} out/${{ item.stem }}.png' -- in/*.jpg",
    "mprun map gzip -- *.log                         the item is the last word",
    "ls | mprun map --retry 2 --bar 'curl -sSfO https://example.org/${{ item }}'",
    "find . -name '*.wav' -print0 | mprun map -0 'flac -s ${{ item }}'",
    "mprun map --from people.jsonl 'echo ${{ item.name }}'",
    "mprun map --print gzip -- *.log > gzip.yaml     and then: mprun gzip.yaml",
)


@click.command(epilog=EXAMPLES)
@click.argument("script", metavar="COMMAND")
@click.argument("items", metavar="[-- ITEM...]", nargs=-1)
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 1000), metavar="N", help="Commands at a time; one for each core."
)
@click.option(
    "--from",
    "source",
    metavar="FILE",
    help="Read items from a file: its lines, or JSONL, CSV, Parquet by its name.",
)
@click.option(
    "-0", "nul", is_flag=True, help="Items that are read end with a NUL byte, as of `find -print0`."
)
@click.option(
    "--retry", type=click.IntRange(0, 999), default=0, metavar="N", help="Try what fails so many more times."
)
@click.option("--timeout", metavar="DURATION", help="The longest that a command may take, as 30s.")
@click.option(
    "-k", "--keep-order", is_flag=True, help="Print what commands print in the order of their items."
)
@click.option(
    "--max-errors", metavar="N", help="Items that may fail in a run that exits 0: a number, or a share as 1%."
)
@click.option("--bar", is_flag=True, help="Show how far it is on stderr, where that is a terminal.")
@click.option(
    "--record", is_flag=True, help="Keep what `mprun history`, `show` and `resume` tell of the run."
)
@click.option(
    "--print", "prints", is_flag=True, help="Print the workflow file that this is, and run nothing."
)
def command(script: str, items: Sequence[str], jobs: int | None, **given: Any) -> int:
    """Run COMMAND for each item: those after --, or else the lines of standard input.

    ${{ item }} is the item, and ${{ item.stem }}, .name, .suffix and .parent are parts of its path. Each is one word,
    whatever is in it: no quotes are needed, and nothing in it is obeyed. Where COMMAND names no item it gets it as its
    last word. What a command prints comes in one piece, once it has ended.

    A command that does not exit with 0 has failed: the others go on, and the exit code is 1 in the end. `mprun dlq`
    shows what failed, and puts it back.
    """
    asked = _request(script, items, jobs or len(os.sched_getaffinity(0)), given)
    workflow = map_workflow(asked)
    if given["prints"]:
        from runner.spec.source.emitter import emit

        write(emit(workflow))
        return ExitCode.DONE
    if given["bar"] or given["record"]:
        return _run_shown(workflow, bar=given["bar"], record=given["record"])
    return _run_quietly(asked, workflow)


def _request(script: str, items: Sequence[str], workers: int, given: dict[str, Any]) -> MapRequest:
    source = given["source"]
    if items and source is not None:
        raise UsageError("items are given after --, and with --from; leave out one of the two")
    if items and given["nul"]:
        raise UsageError("-0 is for items that are read, and there are some after --")
    if not script.strip():
        raise UsageError("the command is empty: `mprun map 'gzip ${{ item }}' -- *.log` is an example")
    reads = not items and source is None and not given["prints"]
    if reads and (sys.stdin is None or sys.stdin.isatty()):  # None: the shell closed it, as `<&-` does
        raise UsageError(
            "there are no items: give some after --, as in `mprun map gzip -- *.log`, name a file with --from, or pipe "
            "them in"
        )
    return MapRequest(
        script,
        tuple(items) or None,
        STDIN if source is None else source,
        given["nul"],
        workers,
        given["retry"],
        given["timeout"],
        given["keep_order"],
        given["max_errors"],
    )


def _run_shown(workflow: dict[str, Any], *, bar: bool, record: bool) -> int:
    """Run it as `mprun run` would."""
    from runner.cli.checking import JobsChoice
    from runner.cli.options import RunOptions
    from runner.cli.run import run_as_chosen
    from runner.spec.source.emitter import emit

    chosen: RunOptions = RunOptions(None, None, "text", "error", bar, quiet=not bar, record=record)
    return run_as_chosen(_FILE, (), (), chosen, JobsChoice(), text=emit(workflow))


def _run_quietly(asked: MapRequest, workflow: dict[str, Any]) -> int:
    """Run it with nothing beside it: no record, no log, one line for each of the first failures."""
    from runner.cli.gc_tuning import resume_collection
    from runner.composition import run
    from runner.process.signals import first_signal_ignored

    failures = FailureLines()
    plan = _plan_at_once(workflow) if needs_no_check(asked) else _checked_plan(workflow)
    resume_collection()
    with first_signal_ignored(and_all_after=True):
        report = run(plan, [failures])
        if report.exit_code and _nobody_reads():
            raise BrokenPipeError
        failures.sum_up(report)
    return report.exit_code


def _nobody_reads() -> bool:
    """Whether stdout is a pipe whose reader has gone, as `head` does: that is no failure to tell of."""
    poll = select.poll()
    poll.register(1, 0)
    return any(found & select.POLLERR for _, found in poll.poll(0))


def needs_no_check(asked: MapRequest) -> bool:
    """
    Whether the check of the file could find nothing: one program and its words, no reference but to the item, all of
    it to go as it usually does. Then nobody waits for the check, which takes longer to load than it takes to run.
    """
    from runner.handlers.command.options import read_options
    from runner.handlers.command.words import is_split
    from runner.spec.references import references
    from runner.spec.shell_quoting import read_as_code

    unusual = asked.keep_order or asked.timeout is not None or asked.max_errors is not None
    if unusual or "$${{" in asked.script or not is_split(read_options(asked.script)):
        return False
    named = list(references(asked.script))
    if asked.script.count("${{") > len(named) or any(each.names[0] != "item" for each in named):
        return False
    starts = [each.at for each in named] or [len(asked.script) + 1]
    return not any(read_as_code(f"{asked.script} ", at, evaluates=False) for at in starts)


def _plan_at_once(workflow: dict[str, Any]) -> Plan:
    """Lay out what needs no check."""
    from runner.handlers.registry import find_kind
    from runner.loader.build import build_spec
    from runner.spec.plan import make_plan

    spec = build_spec(workflow, _FILE, {}, os.environ)
    source, *others = spec.stages
    kind = find_kind(source.handler.kind).of_role(source.role)
    resumes = kind.resumes(source.handler.options)
    return make_plan(replace(spec, stages=(replace(source, resumes=resumes), *others)))


def _checked_plan(workflow: dict[str, Any]) -> Plan:
    from runner.cli.checking import checked_plan
    from runner.spec.source.emitter import emit

    return checked_plan(_FILE, (), (), text=emit(workflow))


class FailureLines:
    """Tells of items that fail, one line each, and of no more than some; what a command says comes as it says it."""

    def __init__(self) -> None:
        self._count = 0
        self._is_stopping = False

    def observe(self, event: Event) -> None:
        """Tell of an item that has failed for good, or that the run is being stopped."""
        from runner.events.run import ItemDeadLettered, RunStopping
        from runner.spec.limits import Limits

        if isinstance(event, ItemDeadLettered):
            self._count += 1
            if self._count <= _MOST_SHOWN:
                print_message(f"mprun: {event.item}: {event.error.removeprefix('CommandFailed: ')}")
            elif self._count == _MOST_SHOWN + 1:
                print_message("mprun: and more, which are only counted")
        elif isinstance(event, RunStopping) and event.signal is not None and not self._is_stopping:
            self._is_stopping = True
            longest = f"{Limits().stop_timeout:g}s"
            print_message(
                f"mprun: {event.reason}: items that were read go on for up to {longest}; once more ends it at once"
            )

    def close(self) -> None:
        """The end is told by `sum_up`."""

    def sum_up(self, report: Report) -> None:
        """Say what it came to, where that is not all that was asked for."""
        queue = report.queue("items")
        lost = queue.dead_lettered + queue.lost + queue.dropped
        if lost:
            print_message(
                f"mprun: {lost:,} of {queue.put:,} failed; `mprun dlq show {report.run}` tells what is in the first"
            )
        broke_off = report.outcome != "failed" or any(each.fatal for each in report.failures)
        if report.exit_code and (broke_off or not lost):
            left = queue.waiting + queue.leased
            rest = f", {queue.done:,} done and {left:,} not" if queue.put else ""
            print_message(f"mprun: {report.outcome}: {report.reason}{rest}")
