"""`mprun tap`: some of the items that pass at a queue or a stage of a run under way.

TapClient ──► --where ──► --fields ──► a line, JSON, or YAML on stdout          how many of how many, on stderr
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import click

from runner.cli.options import examples
from runner.cli.output import print_message, write
from runner.errors import ExitCode, UsageError
from runner.facts import dataclass
from runner.render.tables import width_of
from runner.spec.dotted_names import follow, split_names
from runner.spec.expressions.check import check_condition
from runner.spec.expressions.evaluate import ITEM, parse_condition
from runner.spec.expressions.predicate import compile_condition, names_for_items
from runner.spec.source.emitter import emit
from runner.store.discovery import find_running
from runner.store.run_folder import all_run_folders, matching
from runner.text import cells, pad, truncate, visible
from runner.units import counted, duration, rough_duration
from runner.watch.tap import POLL, Direction, ShownItem, TapClient

_LOOKS = 10
"""How many times as many items are looked at where a condition says which are shown."""
_MOST_LOOKS = 100
"""So many a second, unless more are to be shown."""
EXAMPLES = examples(
    "mprun tap shop pages                    ten items a second of queue 'pages'",
    "mprun tap shop fetcher --in             what the workers of a stage take",
    "mprun tap shop rows --count 3 --raw     three items, and nothing else",
    "mprun tap shop pages --where 'item.status >= 500' --fields url,status",
    "mprun tap shop pages --for 10s --format jsonl > some.jsonl",
)


@click.command(epilog=EXAMPLES)
@click.argument("run")
@click.argument("of", metavar="QUEUE|STAGE")
@click.option("--in", "goes_in", is_flag=True, help="What a stage takes, or what is put on a queue.")
@click.option("--out", "goes_out", is_flag=True, help="What a stage makes, or what is taken of a queue.")
@click.option(
    "--limit", type=click.IntRange(1), default=10, show_default=True, help="At most so many items …"
)
@click.option("--per", default="1s", show_default=True, metavar="TIME", help="… in this time.")
@click.option("--for", "seconds", metavar="TIME", help="End after this time; with 1 if nothing was shown.")
@click.option("--count", type=click.IntRange(1), help="End after so many items.")
@click.option("--where", metavar="EXPR", help="Only items for which this holds, as under `to` in a file.")
@click.option("--fields", metavar="A,B.C", help="Only these parts of each item.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "jsonl", "yaml"]),
    default="text",
    show_default=True,
    help="How to print it.",
)
@click.option("--raw", is_flag=True, help="The item alone, without when and where; a text as it is.")
def command(
    run: str,
    of: str,
    goes_in: bool,
    goes_out: bool,
    limit: int,
    per: str,
    seconds: str | None,
    count: int | None,
    where: str | None,
    fields: str | None,
    form: str,
    raw: bool,
) -> int:
    """Show some of the items that pass at a queue or a stage, until the run is over.

    RUN is the beginning of its id, or its workflow's name. Of a queue it shows what is taken, of a stage what it makes,
    or takes if it makes nothing; --in and --out say so. A name that is both is said as queue:NAME or stage:NAME.

    The workers show them, a few of each time and spread over it: items are drawn as JSON, what is big or no JSON is
    described, and what the run masks is masked. At the end it says how many of how many that were. A run that nobody
    looks at pays nothing; one that somebody does is not held up, however slow who looks is. --where is asked of what is
    shown, and not of every item. Runs of jobs and runs under `inline` show none.
    """
    if goes_in and goes_out:
        raise UsageError("--in and --out exclude one another: two commands may look at both")
    direction: Direction | None = "in" if goes_in else "out" if goes_out else None
    period, ends_after = _duration("--per", per), None if seconds is None else _duration("--for", seconds)
    chosen, picked = _condition(where), _picked(fields)
    client = _open(run, of, direction, limit if where is None else _looked_at(limit, period), period)
    seen = _Seen(client, chosen, limit, period, count, ends_after)
    show = _printer(form, raw=raw, picked=picked)
    try:
        for item in seen.items():
            show(item)
    except KeyboardInterrupt:
        print_message(seen.summary())
        raise
    finally:
        client.close()
    print_message(seen.summary())
    return ExitCode.FAILED if seen.timed_out and not seen.shown else ExitCode.DONE


def _open(run: str, of: str, direction: Direction | None, limit: int, per: float) -> TapClient:
    try:
        folder = find_running(run)
    except UsageError as error:
        if matching(run, all_run_folders()):
            raise
        raise UsageError(f"{error}; a run under `inline` answers nobody, and can't be looked at") from error
    return TapClient(folder.path, of, direction, limit=limit, per=per)


def _looked_at(limit: int, per: float) -> int:
    return max(limit, min(limit * _LOOKS, int(per * _MOST_LOOKS)))


def _duration(option: str, text: str) -> float:
    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def _condition(written: str | None) -> Callable[[object], bool] | None:
    """
    Read `--where`.

    Raises:
        UsageError: it can't be read, or names something that is not there.
    """
    if written is None:
        return None
    if not written.strip():
        raise UsageError("--where: expected a condition such as 'item.status >= 500', got nothing")
    condition, mistakes = parse_condition(written, ())
    if condition is not None:
        mistakes = check_condition(condition, replace(names_for_items({}), contexts=(ITEM,)), ())
    if condition is None or mistakes:
        first = mistakes[0]
        raise UsageError(f"--where: {first.message}" + (f"; {first.help}" if first.help else ""))
    return compile_condition(condition.tree, {})


def _picked(fields: str | None) -> dict[str, Sequence[str]] | None:
    """Read `--fields`: the names that lead to each."""
    if fields is None:
        return None
    written = [each.strip() for each in fields.split(",")]
    if not all(written):
        raise UsageError(f"--fields: expected names such as url,user.id, got '{fields}'")
    return {each: split_names(each) or (each,) for each in written}


@dataclass(slots=True)
class _Seen:
    """What has been seen up to now, and what of it is shown."""

    client: TapClient
    chosen: Callable[[object], bool] | None
    limit: int
    per: float
    count: int | None
    seconds: float | None
    began: float = 0.0
    shown: int = 0
    looked_at: int = 0
    timed_out: bool = False

    def items(self) -> Iterator[ShownItem]:
        """Yield what is to be shown."""
        self.began = period_began = time.monotonic()
        in_period = 0
        for item in self._all():
            self.looked_at += 1
            if self.chosen is not None and not self.chosen(item.item):
                continue
            if (now := time.monotonic()) >= period_began + self.per:
                period_began, in_period = now, 0
            if self.chosen is not None and in_period >= self.limit:
                continue
            in_period += 1
            self.shown += 1
            yield item
            if self.shown == self.count:
                return

    def _all(self) -> Iterator[ShownItem]:
        while True:
            yield from self.client.poll()
            left = None if self.seconds is None else self.began + self.seconds - time.monotonic()
            self.timed_out = not self.client.ended and left is not None and left <= 0
            if self.client.ended or self.timed_out:
                return
            time.sleep(POLL if left is None else min(POLL, left))

    def summary(self) -> str:
        """Say how many of how many were shown."""
        took = rough_duration(time.monotonic() - self.began)
        passed = max(self.client.passed, self.looked_at)
        if not passed:
            return f"no item passed at {self.client.kind} '{self.client.name}' in {took}"
        looked = f" of {self.looked_at:,} looked at," if self.chosen is not None else ""
        sampled = "; sampled" if self.looked_at < passed or self.client.left_out else ""
        return f"shown {self.shown:,}{looked} of {counted(passed, 'item')} in {took}{sampled}"


def _printer(
    form: str, *, raw: bool, picked: Mapping[str, Sequence[str]] | None
) -> Callable[[ShownItem], None]:
    """Return what prints one item."""
    as_document = _as_yaml if form == "yaml" else _as_json
    draw = _Lines(raw=raw).line if form == "text" else lambda shown: as_document(_told(shown, raw=raw))

    def show(item: ShownItem) -> None:
        write(draw(item if picked is None else replace(item, item=_parts_of(item.item, picked))))

    return show


def _told(shown: ShownItem, *, raw: bool) -> Any:
    return shown.item if raw else shown.as_fields()


def _parts_of(item: object, picked: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Pick parts of an item; what it does not have is null."""
    found = {written: follow(item, names) for written, names in picked.items()}
    return {
        written: value if depth == len(picked[written]) else None for written, (value, depth) in found.items()
    }


class _Lines:
    """A line an item: when, by whom, where, and what."""

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw
        self._width = width_of(sys.stdout) if sys.stdout.isatty() else None
        self._widest: dict[int, int] = {}

    def line(self, shown: ShownItem) -> str:
        text = _as_text(shown)
        if self._raw:
            return (visible(text) if self._width else text) + "\n"
        at = datetime.fromtimestamp(shown.at).strftime("%H:%M:%S.%f")[:-3]
        where = "+".join(shown.queues) if shown.id is None else shown.id.partition("/")[2]
        heads = [self._column(place, head) for place, head in enumerate((at, shown.worker, where))]
        line = visible("  ".join([*heads, text]))
        return (line if self._width is None else truncate(line, self._width)) + "\n"

    def _column(self, place: int, text: str) -> str:
        shown = visible(text)
        self._widest[place] = max(self._widest.get(place, 0), cells(shown))
        return pad(shown, self._widest[place])


def _as_text(shown: ShownItem) -> str:
    if isinstance(shown.item, str):
        return shown.item
    return json.dumps(shown.item, ensure_ascii=False)


def _as_json(value: Any) -> str:
    """Write it so that it is the same to a program, and a terminal obeys nothing of it."""
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
    return text + "\n"


def _as_yaml(value: Any) -> str:
    return "---\n" + emit(value)
