"""`mprun expand`: the file as it comes to be, with where each value is from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.checking import print_problems
from runner.cli.options import examples, output_format, values, workflow_file
from runner.cli.output import write
from runner.errors import SpecError

if TYPE_CHECKING:
    from runner.loader.effective import Effective, Origin
    from runner.spec.diagnostics import DataPath
    from runner.spec.source.positions import Location

EXAMPLES = examples(
    "mprun expand workflows/baozi.yaml",
    "mprun expand big.yaml --param buns=5 --set stages.eater.daemon=false",
    "mprun expand workflows/baozi.yaml --format json | jq '.origins[0]'",
)


@click.command(epilog=EXAMPLES)
@workflow_file
@output_format(["yaml", "json"])
@values
def command(file: Path, form: str, params: Sequence[str], overrides: Sequence[str]) -> int:
    """Print the file as it comes to be: one document, with the origin of every value.

    What it includes and the templates that it uses are in, so are --set and --param; `defaults` stand in the stages and
    queues that they hold for, and params where they are used, but not in scripts. As YAML each value has a comment
    with its file and line, and behind `<-` those of the params in it. It is a workflow file: run beside the first
    one, it does the same.
    """
    from runner.loader.effective import effective
    from runner.loader.load import check
    from runner.spec.source.overrides import parse_params

    checked = check(file, params=params, overrides=overrides)
    if checked.spec is None or checked.source is None:
        raise SpecError(checked.diagnostics)
    if checked.diagnostics:
        print_problems(checked.diagnostics, checked.spec)
    given, _ = parse_params(params)
    found = effective(checked.source, checked.spec.params, given)
    write(_as_yaml(found) if form == "yaml" else _as_json(found))
    return 0


def _as_yaml(found: Effective) -> str:
    from runner.spec.source.emitter import emit

    def origin(path: DataPath) -> str:
        return _in_words(found.origins[path]) if path in found.origins else ""

    return emit(found.written, origin)


def _in_words(origin: Origin) -> str:
    places = [origin.place, *(place for _, place in origin.params)]
    return " <- ".join(dict.fromkeys(map(_short, places)))


def _short(place: Location) -> str:
    """Return file and line; what the command line gives has none."""
    return place.file if place.file.startswith("--") else f"{place.file}:{place.span.line}"


def _as_json(found: Effective) -> str:
    origins = [_origin_as_dict(path, origin) for path, origin in found.origins.items()]
    told = {"document": found.data, "origins": origins}
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _origin_as_dict(path: DataPath, origin: Origin) -> dict[str, Any]:
    return {
        "path": [*path],
        **_place(origin.place),
        "params": [{"name": name, **_place(place)} for name, place in origin.params],
        "used": [
            {"file": each.file, "line": each.span.line, "column": each.span.column, "name": each.name}
            for each in origin.place.used
        ],
    }


def _place(place: Location) -> dict[str, Any]:
    return {"file": place.file, "line": place.span.line, "column": place.span.column}
