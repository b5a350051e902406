"""Files looked at and fingerprints kept: what a pattern means, what is read again, what survives."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runner.jobs.up_to_date import UpToDateCheck


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("src/a.py", "src/deep/b.py", "src/c.txt", ".hidden/d.py", "top.py", "dist/x.whl"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (1, 1))
    return tmp_path / "root"


def check(root: Path, *inputs: str, outputs: tuple[str, ...] = ()) -> UpToDateCheck:
    return UpToDateCheck(
        "build (3.11, größe)",
        str(root),
        inputs,
        outputs,
        {"command": "make"},
        home=str(root.parent / "home"),
        workflow=str(root.parent / "w.yaml"),
    )


def passed(job: UpToDateCheck) -> None:
    job.save(job.decide()[1])


def reason(job: UpToDateCheck) -> str:
    return job.decide()[0].reason


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
    assert expected == list(check(root, *patterns).fingerprint(None).inputs)


def test_patterns_that_match_nothing_are_told(root: Path) -> None:
    fingerprint = check(root, "*.rs", "!*.c", outputs=("out/*",)).fingerprint(None)

    assert ("input *.rs", "output out/*") == fingerprint.unmatched


def test_a_job_that_passed_is_up_to_date_until_something_changes(root: Path) -> None:
    job = check(root, "src", outputs=("dist/*",))
    reasons = [reason(job)]
    passed(job)
    reasons.append(reason(job))
    (root / "src/a.py").write_text("changed")
    reasons.append(reason(job))
    passed(job)
    (root / "dist/x.whl").unlink()
    reasons.append(reason(job))
    reasons.append(reason(replace(job, definition={"command": "make all"})))

    assert [
        "it has not passed here before",
        "up to date: no input has changed since it last passed",
        "input src/a.py changed",
        "output dist/x.whl is missing, and 1 more",
        "command changed, and 2 more",
    ] == reasons


def test_a_change_that_leaves_size_and_time_alone_is_seen_if_it_came_soon(root: Path) -> None:
    path, now = root / "src/a.py", time.time_ns()
    os.utime(path, ns=(now, now))
    job = check(root, "src/a.py")
    passed(job)
    path.write_text("SRC/A.PY")
    os.utime(path, ns=(now, now))

    assert "input src/a.py changed" == reason(job)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an hour later than files think."""
    hour, now = 3600 * 10**9, time.time_ns
    monkeypatch.setattr("runner.jobs.up_to_date.time.time_ns", lambda: now() + hour)


@pytest.mark.usefixtures("later")
def test_a_settled_file_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = check(root, "src/a.py")
    passed(job)
    monkeypatch.setattr("runner.jobs.up_to_date.hashlib.file_digest", None)

    assert job.decide()[0].holds


@pytest.mark.usefixtures("later")
def test_a_file_whose_time_was_set_back_is_read_again(root: Path) -> None:
    job = check(root, "src/a.py", "src/c.txt")
    passed(job)
    for name, text in {"src/a.py": "SRC/A.PY", "src/c.txt": "src/c.txt"}.items():
        (root / name).write_text(text)
        os.utime(root / name, (1, 1))

    assert "input src/a.py changed" == reason(job)


def test_an_output_just_made_settles_later(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = check(root, "src", outputs=("dist/*",))
    path = root / "dist/x.whl"
    path.write_text("new")
    passed(job)
    monkeypatch.setattr("runner.jobs.up_to_date.time.time_ns", lambda: 10**19)
    first = job.decide()[0]

    kept = job.load()
    assert first.holds
    assert kept is not None
    assert [True] == [facts.is_settled for facts in kept.outputs.values()]


def test_what_a_job_handed_on_is_kept_and_stays_so(root: Path) -> None:
    job = check(root, "src", outputs=("dist/*",))
    (root / "dist/x.whl").write_text("new")
    job.save(job.decide()[1], {"version": "1"})
    os.utime(root / "dist/x.whl", (1, 1))

    assert [{"version": "1"}] * 3 == [job.decide()[0].values for _ in range(3)]


def test_what_a_job_changes_under_its_own_feet_counts_as_changed(root: Path) -> None:
    job = check(root, "src/a.py")
    _, before = job.decide()
    (root / "src/a.py").write_text("formatted")
    job.save(before)

    assert "input src/a.py changed" == reason(job)


def test_jobs_and_workflows_do_not_share_what_they_keep(root: Path, tmp_path: Path) -> None:
    job = check(root, "src")
    passed(job)

    assert "it has not passed here before" == reason(replace(job, workflow=str(tmp_path / "other.yaml")))
    assert "it has not passed here before" == reason(replace(job, job="build (3.12, größe)"))


def test_what_is_kept_is_for_its_owner_alone(root: Path, tmp_path: Path) -> None:
    passed(check(root, "src"))

    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home").rglob("*")}
    assert {0o700, 0o600} == modes


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"parts": 1}'])
def test_what_is_kept_and_can_not_be_read_counts_as_nothing(
    root: Path, tmp_path: Path, content: bytes
) -> None:
    passed(check(root, "src"))
    (kept,) = (tmp_path / "home").rglob("*.json")
    kept.write_bytes(content)

    assert "it has not passed here before" == reason(check(root, "src"))


def test_names_that_are_no_text_are_kept_all_the_same(root: Path) -> None:
    (root / "src" / os.fsdecode(b"caf\xe9.py")).write_text("x")
    job = check(root, "src")
    passed(job)
    first = job.decide()[0]
    (root / "src" / os.fsdecode(b"caf\xe9.py")).unlink()

    assert (True, "input src/caf\ufffd.py is gone") == (first.holds, reason(job))
