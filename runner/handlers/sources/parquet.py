"""Parquet files, read row by row: the producer's side of the kind `parquet`.

footers ──► row groups of all files, shared by rows ──► batches ──► {"name": …, "price": 3}
                └── what earlier workers have put: whole groups are left out unread
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from runner.errors import HandlerError
from runner.facts import dataclass
from runner.handlers.kinds import Handler, HandlerKind, Source, WorkerContext
from runner.handlers.sources.inputs import PATH_OPTION, inputs_of, is_url, known_inputs, paths_of
from runner.handlers.sources.reading import open_url, require
from runner.spec.model import Role
from runner.spec.plan import InputFile, InputShare
from runner.spec.suggestions import did_you_mean

_ROWS = 4096
"""Rows that are made at once."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A part of a file that can be read by itself."""

    file: InputFile
    index: int
    rows: int


def shared_groups(groups: Sequence[RowGroup], share: InputShare) -> list[RowGroup]:
    """Return those groups that are one worker's: neighbours, with about as many rows as the others have."""
    total, before, mine = sum(each.rows for each in groups), 0, []
    for group in groups:
        middle = before + group.rows / 2
        if total and int(middle * share.of / total) == share.index:
            mine.append(group)
        before += group.rows
    return mine


class ParquetRows:
    """Reads a worker's share of Parquet files."""

    def __init__(self, options: Mapping[str, Any], context: WorkerContext) -> None:
        """Raises `HandlerError` where pyarrow is not installed."""
        self._parquet = require("pyarrow.parquet", "data", "`parquet`")
        self._broken = (require("pyarrow", "data", "`parquet`").ArrowException, OSError)
        self._columns: list[str] | None = options.get("columns")
        self._files = known_inputs(options, context)
        self._context = context

    def items(self) -> Iterator[object]:
        """Yield each row, behind what earlier generations of the worker have put."""
        mine = shared_groups([*self._groups()], self._context.share)
        total, behind, left = sum(each.rows for each in mine), 0, self._context.offset
        for group in mine:
            if group.rows <= left:
                left -= group.rows
                behind += group.rows
                continue
            for batch in self._batches(group):
                skipped = min(left, batch.num_rows)
                left -= skipped
                yield from self._rows(batch.slice(skipped), group.file)
                behind += batch.num_rows
                self._context.progress(behind, total)

    def _rows(self, batch: Any, file: InputFile) -> list[object]:
        try:
            rows: list[object] = batch.to_pylist()
        except (
            ValueError,
            OverflowError,
        ) as error:  # such as a time to the nanosecond, which Python has none for
            name = self._odd_column(batch)
            raise HandlerError(
                f"'{file.path}': column '{name}' has what Python has no value for: {error}"
            ) from error
        return rows

    def _odd_column(self, batch: Any) -> str:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            try:
                column.to_pylist()
            except (ValueError, OverflowError):
                return str(name)
        raise AssertionError("one of them failed")

    def _groups(self) -> Iterator[RowGroup]:
        for each in self._files:
            with self._open(each) as file:
                for index in range(file.metadata.num_row_groups):
                    yield RowGroup(each, index, file.metadata.row_group(index).num_rows)

    def _batches(self, group: RowGroup) -> Iterator[Any]:
        with self._open(group.file) as file:
            self._check_columns(file.schema_arrow.names, group.file)
            yield from file.iter_batches(
                batch_size=_ROWS, row_groups=[group.index], columns=self._columns, use_threads=False
            )

    @contextmanager
    def _open(self, file: InputFile) -> Iterator[Any]:
        try:
            if is_url(file.path):
                with open_url(file.path) as raw:
                    yield self._parquet.ParquetFile(raw)
            else:
                with self._parquet.ParquetFile(file.path) as opened:
                    yield opened
        except self._broken as error:
            raise HandlerError(f"'{file.path}' can't be read as Parquet: {error}") from error

    def _check_columns(self, there: Sequence[str], file: InputFile) -> None:
        for name in (name for name in self._columns or () if name.split(".")[0] not in there):
            raise HandlerError(f"'{file.path}' has no column '{name}'; {did_you_mean(name, there)}")
        wanted = {name.split(".")[0] for name in self._columns or there}
        for name in sorted(name for name in wanted if there.count(name) > 1):
            raise HandlerError(f"'{file.path}' has two columns '{name}', and an item has one of a name")


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    return Source(ParquetRows(options, context).items)


def _no_stream(options: Mapping[str, Any]) -> str | None:
    return (
        "`-` is a stream, and Parquet is read from its end"
        if "-" in paths_of(options.get("path", ()))
        else None
    )


PARQUET = HandlerKind(
    name="parquet",
    summary=(
        "Make an item of each row of Parquet files: a mapping by the names of the columns. Several workers share the "
        "row groups. Needs `pip install 'mprun[data]'`."
    ),
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": "object",
        "properties": {
            "path": PATH_OPTION,
            "columns": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "description": "The columns to read, and no others; without it, all of them.",
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  reader:
    run: {parquet: {path: "orders/*.parquet", columns: [item, price]}}
    to: orders
""",
    build=_build,
    unshared=_no_stream,
    inputs=inputs_of,
    rereads=True,
    resumes=lambda _options: True,
)
