"""`mprun cache`: what the caches of jobs hold here, and away with it.

$MPRUN_HOME/cache ──► entries ──► text, JSON        rm KEY…, --all, --keep SIZE ──► gone
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase

import click

from runner.cli.options import examples, output_format
from runner.cli.output import write
from runner.errors import UsageError
from runner.jobs.workspace.cache import CACHE, CacheEntry, CacheStore, cache_limit
from runner.render.tables import table, width_of
from runner.spec.suggestions import did_you_mean
from runner.store.run_folder import home, require_private
from runner.text import visible
from runner.units import counted, format_size, rough_duration, size

EXAMPLES = examples(
    "mprun cache ls                what there is, the newest first",
    "mprun cache rm 'pip-*'        what has such keys",
    "mprun cache rm --keep 1GB     the least recently used, until 1 GB is left",
    "mprun cache rm --all",
)


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Look at what jobs have kept by `cache`, and remove it.

    It lies under `.mprun/cache`, or `$MPRUN_HOME/cache`. Of all entries together $MPRUN_CACHE_LIMIT bytes are kept, by
    default 10GiB; beyond that the least recently used go first.
    """


@command.command()
@output_format(["text", "json"])
def ls(form: str) -> int:
    """List the keys, with what is kept under each."""
    entries = _store().entries()
    if form == "json":
        shown = [{**asdict(each), "paths": list(each.paths)} for each in entries]
        write(json.dumps(shown, indent=2) + "\n")
        return 0
    if not entries:
        write("no job has kept anything here\n")
        return 0
    heading = ("KEY", "SIZE", "FILES", "MADE", "USED", "PATHS")
    write("".join(f"{line}\n" for line in table([heading, *map(_row, entries)], width_of(sys.stdout))))
    total = sum(each.bytes for each in entries)
    limit = cache_limit(os.environ)
    write(f"{counted(len(entries), 'key')}, {format_size(total)} of {format_size(limit)}\n")
    return 0


@command.command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "all_of_it", is_flag=True, help="Remove all there is.")
@click.option(
    "--keep", metavar="SIZE", help="Remove the least recently used until no more than this is left."
)
def rm(keys: Sequence[str], all_of_it: bool, keep: str | None) -> int:
    """Remove what is kept under some keys; a KEY may be a glob."""
    if sum((bool(keys), all_of_it, keep is not None)) != 1:
        raise UsageError("say what to remove: KEY…, --all or --keep SIZE")
    store = _store()
    entries = store.entries()
    if keys:
        gone = [each for each in entries if any(fnmatchcase(each.key, key) for key in keys)]
        for each in gone:
            store.remove(each)
        if not gone:
            raise UsageError(f"nothing is kept under '{keys[0]}'; {_hint(keys[0], entries)}")
    else:
        gone = store.prune(_size(keep) if keep is not None else 0)
    write(f"removed {counted(len(gone), 'key')}, {format_size(sum(each.bytes for each in gone))}\n")
    return 0


def _store() -> CacheStore:
    folder = home() / CACHE
    require_private(folder)
    return CacheStore(folder, cache_limit(os.environ))


def _row(entry: CacheEntry) -> tuple[str, ...]:
    now = time.time()
    ages = (f"{rough_duration(max(now - each, 0.0))} ago" for each in (entry.made, entry.used))
    return (
        visible(entry.key),
        format_size(entry.bytes),
        str(entry.files),
        *ages,
        visible(" ".join(entry.paths)),
    )


def _hint(key: str, entries: Sequence[CacheEntry]) -> str:
    return did_you_mean(key, [each.key for each in entries]) or "`mprun cache ls` lists what is"


def _size(written: str) -> int:
    try:
        return size(written)
    except ValueError:
        raise UsageError(f"--keep is '{written}', and not a size such as 500MB or 2GiB") from None
