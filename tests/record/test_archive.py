"""A run goes into one file and comes out of it elsewhere; nothing else does."""

from __future__ import annotations

import os
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from kept_cuts import cut_of
from record_homes import recorded

from runner.errors import UsageError
from runner.ledger.ranges import Frame
from runner.record.archive import export_run, import_run
from runner.record.history import runs_in
from runner.record.schema import open_to_read
from runner.store.run_folder import RunFolder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    run_folder = recorded(tmp_path / "here", "abcd", over=False)
    (run_folder.make_folder("dead-letters") / "eater.jsonl").write_text("{}\n")
    (run_folder.make_folder("jobs") / "0001-test.log").write_text("tested\n")
    (run_folder.path / "jobs" / "0002-cut-off.out").write_text("token=secret\n")
    (run_folder.path / "control.sock").touch()
    file = tmp_path / "run.zip"
    export_run(run_folder, file)
    return file


def test_what_is_exported_is_there_when_imported(tmp_path: Path, archive: Path) -> None:
    assert "abcd" == import_run(archive, tmp_path / "there")

    here, there = (runs_in(tmp_path / name)[0] for name in ("here", "there"))
    run_folder = RunFolder("abcd", tmp_path / "there")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in run_folder.path.rglob("*") if path.is_file()}
    assert here == there
    assert {0o600} == modes
    assert ["0001-test.log"] == [path.name for path in (run_folder.path / "jobs").iterdir()]
    assert ["dead-letters", "jobs", "lock", "run.db", "run.json"] == sorted(
        p.name for p in run_folder.path.iterdir()
    )
    assert not run_folder.is_from_here(), "so that its letters are not unpickled without a question"
    assert ["runs"] == [p.name for p in (tmp_path / "there").iterdir() if p.is_dir()]


def test_what_only_here_a_run_can_be_gone_on_from_stays_here(tmp_path: Path) -> None:
    body = os.urandom(300_000)
    run_folder = recorded(tmp_path / "here", "abcd", outcome="failed", cut=cut_of(Frame(body, 1)))
    size = export_run(run_folder, tmp_path / "run.zip")
    import_run(tmp_path / "run.zip", tmp_path / "there")

    (here,), (there,) = (runs_in(tmp_path / name) for name in ("here", "there"))
    assert ((2.5, 1), (None, 0)) == ((here.resumable, here.waiting), (there.resumable, there.waiting))
    assert size < 100_000


def test_what_is_still_in_the_log_of_the_database_is_exported_too(tmp_path: Path) -> None:
    run_folder = recorded(tmp_path / "here", "abcd")
    with closing(sqlite3.connect(run_folder.path / "run.db")) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("INSERT INTO fact VALUES ('late', 1)")
        writer.commit()
        export_run(run_folder, tmp_path / "run.zip")
    import_run(tmp_path / "run.zip", tmp_path / "there")

    with closing(open_to_read(tmp_path / "there/runs/abcd/run.db")) as copy:
        assert 1 == copy.execute("SELECT value FROM fact WHERE key = 'late'").fetchone()[0]


def test_no_file_is_written_over_and_no_run_taken_in_twice(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(UsageError, match="is there already; name another file"):
        export_run(RunFolder("abcd", tmp_path / "here"), archive)
    with pytest.raises(UsageError, match="run 'abcd' is there already"):
        import_run(archive, tmp_path / "here")


def packed(file: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda f: f.write_bytes(b"no archive"), "is no exported run: File is not a zip file"),
        (lambda f: packed(f, ("abcd/run.db", b"x"), ("abcd/../../evil", b"x")), "'abcd/../../evil' is in it"),
        (lambda f: packed(f, ("abcd/run.db", b"x"), ("/etc/evil", b"x")), "'/etc/evil' is in it"),
        (
            lambda f: packed(f, ("abcd/run.db", b"x"), ("abcd/run.json.seal", b"x")),
            "'abcd/run.json.seal' is in it",
        ),
        (lambda f: packed(f, ("abcd/run.db", b"x"), ("abcd/jobs/../run.json", b"x")), "is in it"),
        (lambda f: packed(f, ("../run.db", b"x")), "'../run.db' is in it"),
        (lambda f: packed(f, ("a/run.db", b"x"), ("b/run.db", b"x")), "it has no run in it, or several"),
        (lambda f: packed(f, ("a/run.json", b"{}")), "it has no run in it, or several"),
        (
            lambda f: packed(f, ("a/run.db", b"garbage" * 999)),
            "it is no exported run: the record of run 'a' can't",
        ),
    ],
)
def test_what_is_no_exported_run_is_refused_and_leaves_nothing(
    tmp_path: Path, make: Callable[[Path], object], expected: str
) -> None:
    make(tmp_path / "run.zip")

    with pytest.raises(UsageError) as refused:
        import_run(tmp_path / "run.zip", tmp_path / "home")

    assert expected in str(refused.value)
    assert [] == runs_in(tmp_path / "home")
    assert ["run.zip"] == sorted(
        path.name for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != "."
    )


def test_what_would_unpack_to_more_than_a_record_may_have_is_refused(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.record.archive.MOST_BYTES", 1000)

    with pytest.raises(UsageError, match="unpack to more"):
        import_run(archive, tmp_path / "there")
