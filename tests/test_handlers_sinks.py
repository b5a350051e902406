"""JSON lines: what a consumer wrote is what a producer reads."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.handlers.base import Mapper, Source, WorkerContext
from runner.handlers.sinks import JSONL
from runner.spec import Role

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def writer(path: Path) -> Mapper:
    context = WorkerContext("neo", "writer", os.getpid(), os.getppid(), role=Role.CONSUMER)
    handler = JSONL.build({"path": str(path)}, context)
    assert isinstance(handler, Mapper)
    return handler


def read(path: Path) -> list[object]:
    context = WorkerContext("neo", "reader", os.getpid(), os.getppid(), role=Role.PRODUCER)
    handler = JSONL.build({"path": str(path)}, context)
    assert isinstance(handler, Source)
    return list(handler.items())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(items=st.lists(JSON, max_size=5))
def test_what_is_written_is_read_back(tmp_path: Path, items: list[Any]) -> None:
    path = tmp_path / "out.jsonl"
    path.unlink(missing_ok=True)
    handler = writer(path)
    for item in items:
        handler.call(item)
    handler.close()

    assert read(path) == items


def test_text_is_written_as_it_is_read_by_people(tmp_path: Path) -> None:
    handler = writer(tmp_path / "out.jsonl")
    handler.call({"包": "子"})
    handler.close()

    assert (tmp_path / "out.jsonl").read_bytes() == '{"包": "子"}\n'.encode()


def test_half_characters_are_escaped(tmp_path: Path) -> None:
    handler = writer(tmp_path / "out.jsonl")
    handler.call("\udc80")
    handler.close()

    assert (tmp_path / "out.jsonl").read_bytes() == b'"\\udc80"\n'


def test_folders_are_made_and_lines_added(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "out.jsonl"
    for item in (1, 2):
        handler = writer(path)
        handler.call(item)
        handler.close()

    assert read(path) == [1, 2]


@pytest.mark.parametrize(
    ("item", "error"), [({1, 2}, TypeError), (float("nan"), ValueError)], ids=["set", "nan"]
)
def test_what_json_cannot_say_is_refused_and_nothing_is_written(
    tmp_path: Path, item: object, error: type[Exception]
) -> None:
    handler = writer(tmp_path / "out.jsonl")

    with pytest.raises(error):
        handler.call(item)

    handler.close()
    assert read(tmp_path / "out.jsonl") == []


def _write_many(path: Path, name: str) -> None:
    handler = writer(path)
    for _ in range(200):
        handler.call([name * 5000])
    handler.close()


def test_processes_share_a_file_without_mixing_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_write_many, args=(path, name)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert sorted(map(str, read(path))) == sorted(str([name * 5000]) for name in "abc" for _ in range(200))


def test_the_example_validates() -> None:
    (stage,) = yaml.safe_load(JSONL.example)["stages"].values()

    jsonschema.validate(stage["run"]["jsonl"], dict(JSONL.options))
    assert Role.of(stage.get("from"), stage.get("to")) in JSONL.roles
