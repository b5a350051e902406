"""Files looked at and fingerprints kept: what a pattern means, what is read again, what survives."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runner.jobs.freshness_store import FreshnessStore, Watched, look


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("src/a.py", "src/deep/b.py", "src/c.txt", ".hidden/d.py", "top.py", "dist/x.whl"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (1, 1))
    return tmp_path / "root"


@pytest.fixture
def store(tmp_path: Path) -> FreshnessStore:
    return FreshnessStore(tmp_path / "home", tmp_path / "w.yaml")


def watched(root: Path, *inputs: str, outputs: tuple[str, ...] = ()) -> Watched:
    return Watched("build (3.11, größe)", root, inputs, outputs, {"command": "make"})


def passed(store: FreshnessStore, job: Watched) -> None:
    store.keep(job, store.judge(job)[1])


def reason(store: FreshnessStore, job: Watched) -> str:
    return store.judge(job)[0].reason


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("top.py",), ["top.py"]),
        (("*.py",), ["top.py"]),
        (("**/*.py",), ["src/a.py", "src/deep/b.py", "top.py"]),
        (("src",), ["src/a.py", "src/c.txt", "src/deep/b.py"]),
        (("src/**",), ["src/a.py", "src/c.txt", "src/deep/b.py"]),
        (("src", "!**/*.txt"), ["src/a.py", "src/deep/b.py"]),
        (("src", "!src/deep"), ["src/a.py", "src/c.txt"]),
        (("!src/a.py", "src/*.py"), ["src/a.py"]),
        ((".hidden/*.py",), [".hidden/d.py"]),
        (("./src/a.py", "src/a.py"), ["src/a.py"]),
    ],
)
def test_what_a_pattern_means(root: Path, patterns: tuple[str, ...], expected: list[str]) -> None:
    assert expected == list(look(watched(root, *patterns), None).inputs)


def test_patterns_that_match_nothing_are_told(root: Path) -> None:
    fingerprint = look(watched(root, "*.rs", "!*.c", outputs=("out/*",)), None)

    assert ("input *.rs", "output out/*") == fingerprint.unmatched


def test_a_job_that_passed_is_up_to_date_until_something_changes(root: Path, store: FreshnessStore) -> None:
    job = watched(root, "src", outputs=("dist/*",))
    reasons = [reason(store, job)]
    passed(store, job)
    reasons.append(reason(store, job))
    (root / "src/a.py").write_text("changed")
    reasons.append(reason(store, job))
    passed(store, job)
    (root / "dist/x.whl").unlink()
    reasons.append(reason(store, job))
    reasons.append(reason(store, replace(job, definition={"command": "make all"})))

    assert [
        "it has not passed here before",
        "up to date: no input has changed since it last passed",
        "input src/a.py changed",
        "output dist/x.whl is missing, and 1 more",
        "command changed, and 2 more",
    ] == reasons


def test_a_change_that_leaves_size_and_time_alone_is_seen_if_it_came_soon(
    root: Path, store: FreshnessStore
) -> None:
    path, now = root / "src/a.py", time.time_ns()
    os.utime(path, ns=(now, now))
    job = watched(root, "src/a.py")
    passed(store, job)
    path.write_text("SRC/A.PY")
    os.utime(path, ns=(now, now))

    assert "input src/a.py changed" == reason(store, job)


def test_a_settled_file_is_not_read_again(root: Path, store: FreshnessStore) -> None:
    job = watched(root, "src/a.py")
    passed(store, job)
    path = root / "src/a.py"
    path.write_text("SRC/A.PY")
    os.utime(path, (1, 1))

    assert store.judge(job)[0].up_to_date


def test_an_output_just_made_settles_later(root: Path, store: FreshnessStore) -> None:
    job = watched(root, "src", outputs=("dist/*",))
    path = root / "dist/x.whl"
    path.write_text("new")
    passed(store, job)
    os.utime(path, (1, 1))
    first = store.judge(job)[0]

    kept = store.recall(job.job)
    assert first.up_to_date
    assert kept is not None
    assert [True] == [facts.is_settled for facts in kept.outputs.values()]


def test_what_a_job_handed_on_is_kept_and_stays_so(root: Path, store: FreshnessStore) -> None:
    job = watched(root, "src", outputs=("dist/*",))
    (root / "dist/x.whl").write_text("new")
    store.keep(job, store.judge(job)[1], {"version": "1"})
    os.utime(root / "dist/x.whl", (1, 1))

    assert [{"version": "1"}] * 3 == [store.judge(job)[0].values for _ in range(3)]


def test_what_a_job_changes_under_its_own_feet_counts_as_changed(root: Path, store: FreshnessStore) -> None:
    job = watched(root, "src/a.py")
    _, before = store.judge(job)
    (root / "src/a.py").write_text("formatted")
    store.keep(job, before)

    assert "input src/a.py changed" == reason(store, job)


def test_jobs_and_workflows_do_not_share_what_they_keep(
    root: Path, store: FreshnessStore, tmp_path: Path
) -> None:
    job = watched(root, "src")
    passed(store, job)
    elsewhere = FreshnessStore(tmp_path / "home", tmp_path / "other.yaml")

    assert "it has not passed here before" == reason(elsewhere, job)
    assert "it has not passed here before" == reason(store, replace(job, job="build (3.12, größe)"))


def test_what_is_kept_is_for_its_owner_alone(root: Path, store: FreshnessStore, tmp_path: Path) -> None:
    passed(store, watched(root, "src"))

    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home").rglob("*")}
    assert {0o700, 0o600} == modes


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"parts": 1}'])
def test_what_is_kept_and_can_not_be_read_counts_as_nothing(
    root: Path, store: FreshnessStore, tmp_path: Path, content: bytes
) -> None:
    passed(store, watched(root, "src"))
    (kept,) = (tmp_path / "home").rglob("*.json")
    kept.write_bytes(content)

    assert "it has not passed here before" == reason(store, watched(root, "src"))


def test_names_that_are_no_text_are_kept_all_the_same(root: Path, store: FreshnessStore) -> None:
    (root / "src" / os.fsdecode(b"caf\xe9.py")).write_text("x")
    job = watched(root, "src")
    passed(store, job)
    first = store.judge(job)[0]
    (root / "src" / os.fsdecode(b"caf\xe9.py")).unlink()

    assert (True, "input src/caf\ufffd.py is gone") == (first.up_to_date, reason(store, job))
