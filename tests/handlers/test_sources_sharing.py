"""What all sources of files hold to: workers share them, and one that takes another's place goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sources import PACKED, context, items_of, listed

from runner.handlers.sources import reading
from runner.handlers.sources.inputs import ranges
from runner.spec.plan import InputFile, InputShare

LINES = st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12))
FIELDS = st.lists(
    st.tuples(
        st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=6),
        st.integers(),
    ),
    max_size=12,
)
SHARES = st.integers(1, 4)
IN_FOLDER = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 16)


def shared(kind: str, options: dict[str, object], workers: int, offset: int = 0) -> list[list[object]]:
    """Return what each of some workers makes."""
    inputs = listed(kind, options)
    return [
        items_of(kind, options, context(offset, InputShare(index, workers), inputs))
        for index in range(workers)
    ]


def write(folder: Path, contents: Sequence[bytes], suffix: str) -> dict[str, object]:
    """Write files, and return the options that read them all."""
    for old in folder.iterdir():
        old.unlink()
    names = [folder / f"{number}.txt{suffix}" for number in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        name.write_bytes(PACKED[suffix](content))
    return {"path": [str(name) for name in names]}


@IN_FOLDER
@given(
    files=st.lists(LINES, min_size=1, max_size=3),
    workers=SHARES,
    suffix=st.sampled_from(list(PACKED)),
    ended=st.booleans(),
)
@example(files=[[]], workers=2, suffix="", ended=False)
@example(files=[["", "", ""], ["a"]], workers=4, suffix="", ended=True)
def test_the_workers_of_a_stage_read_each_line_once(
    tmp_path: Path, files: list[list[str]], workers: int, suffix: str, ended: bool
) -> None:
    contents = [("\n".join(lines) + ("\n" if ended and lines else "")).encode() for lines in files]
    options = write(tmp_path, contents, suffix)

    parts = shared("lines", options, workers)

    everything = shared("lines", options, 1)[0]
    assert sorted(map(str, everything)) == sorted(str(each) for part in parts for each in part)


@IN_FOLDER
@given(
    lines=LINES.map(lambda lines: [line for line in lines if not line.startswith("\ufeff")]),
    workers=SHARES,
    data=st.data(),
)
def test_whoever_takes_a_readers_place_goes_on_with_the_line_that_is_next(
    tmp_path: Path, lines: list[str], workers: int, data: st.DataObject
) -> None:
    options = write(
        tmp_path, ["\n".join(lines).encode(), b"x\n\ny\n"], data.draw(st.sampled_from(list(PACKED)))
    )
    whole = shared("lines", options, workers)
    offset = data.draw(st.integers(0, len(lines) + 4))

    assert [part[offset:] for part in whole] == shared("lines", options, workers, offset)


@IN_FOLDER
@given(
    items=st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5))), workers=SHARES, data=st.data()
)
def test_so_it_does_where_lines_are_empty_or_wrong(
    tmp_path: Path, items: list[object], workers: int, data: st.DataObject
) -> None:
    texts = ["" if each is None else "{" if each == 0 else json.dumps(each) for each in items]
    options = write(
        tmp_path, ["\n".join(texts).encode(), b" \n7\n\xff\n"], data.draw(st.sampled_from(list(PACKED)))
    )
    whole = shared("jsonl", options, workers)
    offset = data.draw(st.integers(0, len(items) + 3))

    assert [part[offset:] for part in whole] == shared("jsonl", options, workers, offset)


@IN_FOLDER
@given(rows=FIELDS, workers=SHARES, multiline=st.booleans(), data=st.data())
def test_so_it_does_with_rows(
    tmp_path: Path, rows: list[tuple[str, int]], workers: int, multiline: bool, data: st.DataObject
) -> None:
    if not multiline:
        rows = [(text.replace("\n", " "), number) for text, number in rows]
    quoted = ['"{}",{}'.format(text.replace('"', '""'), number) for text, number in rows]
    content = "\n".join(["text,number", *quoted]).encode()
    options = write(tmp_path, [content, content], data.draw(st.sampled_from(list(PACKED))))
    options |= {"multiline": multiline, "types": {"number": "integer"}}
    offset = data.draw(st.integers(0, 2 * len(rows)))

    whole = shared("csv", options, workers)

    expected = [{"text": text, "number": number} for text, number in [*rows, *rows]]
    assert sorted(map(str, expected)) == sorted(str(each) for part in whole for each in part)
    assert [part[offset:] for part in whole] == shared("csv", options, workers, offset)


@given(
    stop=st.integers(0, 50),
    start=st.integers(-5, 5),
    step=st.sampled_from([1, 2, -3]),
    workers=SHARES,
    offset=st.integers(0, 30),
)
def test_numbers_are_shared_and_gone_on_with(
    stop: int, start: int, step: int, workers: int, offset: int
) -> None:
    options = {"start": start, "stop": stop, "step": step}
    parts = [items_of("range", options, context(share=InputShare(at, workers))) for at in range(workers)]

    assert [*range(start, stop, step)] == [each for part in parts for each in part]
    later = [items_of("range", options, context(offset, InputShare(at, workers))) for at in range(workers)]
    assert [part[offset:] for part in parts] == later


def test_files_that_can_not_be_cut_go_to_whoever_has_the_least() -> None:
    files = [InputFile(f"{size}.gz", size) for size in (10, 60, 30, 20)]

    dealt = [
        [each.file.size for each in ranges(files, InputShare(at, 2), lambda _: False)] for at in range(2)
    ]

    assert [[60], [10, 30, 20]] == dealt


@pytest.mark.parametrize("kind", ["lines", "jsonl", "csv"])
def test_a_line_has_its_number_in_the_file_whoever_reads_it(tmp_path: Path, kind: str) -> None:
    good: dict[str, Callable[[int], str]] = {"lines": str, "jsonl": str, "csv": lambda number: f"{number},x"}
    lines = [*(good[kind](number) for number in range(1, 40)), "\udcff", good[kind](41)]
    options = write(tmp_path, ["\n".join(lines).encode("utf-8", "surrogateescape")], "")
    if kind == "csv":
        options |= {"multiline": False, "header": ["a", "b"]}

    bad = [each.position for part in shared(kind, options, 3) for each in part if hasattr(each, "position")]

    assert [f"{options['path'][0]}:40"] == bad  # type: ignore[index]
