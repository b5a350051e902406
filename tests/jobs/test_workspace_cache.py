"""What is kept from run to run: found by its key, whole or not there, and no more of it than is allowed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner.errors import UsageError
from runner.jobs.workspace.cache import CacheStore, cache_limit
from runner.jobs.workspace.caching import JobCaches
from runner.spec.jobs.workspace import CacheSpec


@dataclass
class Job:
    """One job with caches, in a tree of its own, that tells what happens to these."""

    store: CacheStore
    tree: Path
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keep_going: Callable[[], None] = lambda: None

    def caches(self, *caches: CacheSpec) -> JobCaches:
        self.tree.mkdir(exist_ok=True)
        root = str(self.tree)
        return JobCaches(self.store, caches, root, root, self.keep_going, self._tell, lambda _: None)

    def _tell(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))

    @property
    def events(self) -> list[str]:
        return [name for name, _ in self.told]


@pytest.fixture
def store(tmp_path: Path) -> CacheStore:
    return CacheStore(tmp_path / "home" / "cache", 1 << 30)


@pytest.fixture
def job(store: CacheStore, tmp_path: Path) -> Job:
    return Job(store, tmp_path / "tree")


def cache(key: str, *paths: str, restore: tuple[str, ...] = ()) -> CacheSpec:
    return CacheSpec(key, paths or ("deps",), restore)


def keep(job: Job, key: str, content: str = "kept") -> None:
    (job.tree / "deps").mkdir(parents=True, exist_ok=True)
    (job.tree / "deps" / "a").write_text(content)
    job.caches(cache(key)).save()


def other(job: Job) -> Job:
    """Another job, in a tree that has nothing yet."""
    return Job(job.store, job.tree.with_name("other"))


def test_what_was_kept_comes_back_in_another_tree_with_modes_links_times_and_odd_names(job: Job) -> None:
    odd = os.fsdecode(b"no \xff utf-8")
    deps = job.tree / "deps" / "sub"
    deps.mkdir(parents=True)
    (deps / "tool").write_text("run me")
    (deps / "tool").chmod(0o755)
    os.utime(deps / "tool", (1e9, 1e9))
    (deps / "link").symlink_to("tool")
    (deps / odd).write_text("odd")
    (job.tree / "deps" / "empty").mkdir()
    job.caches(cache("k")).save()
    there = other(job)

    assert there.caches(cache("k")).restore()
    found = there.tree / "deps" / "sub"
    assert ("run me", 0o755, 1e9) == (
        (found / "tool").read_text(),
        (found / "tool").stat().st_mode & 0o777,
        (found / "tool").stat().st_mtime,
    )
    assert Path("tool") == (found / "link").readlink()
    assert "odd" == (found / odd).read_text()
    assert (there.tree / "deps" / "empty").is_dir()


def test_the_key_itself_goes_before_all_that_begin_alike(job: Job) -> None:
    keep(job, "pip-1", "one")
    keep(job, "pip-2", "two")
    there = other(job)

    assert there.caches(cache("pip-1", restore=("pip-",))).restore()
    assert "one" == (there.tree / "deps" / "a").read_text()


def test_of_the_beginnings_the_first_that_fits_counts_and_of_its_keys_the_newest(job: Job) -> None:
    for key in ("pip-linux-old", "pip-linux-new", "pip-mac"):
        keep(job, key, key)
    there = other(job)

    assert not there.caches(cache("pip-linux-x", restore=("nothing-", "pip-linux-", "pip-"))).restore()
    assert "pip-linux-new" == (there.tree / "deps" / "a").read_text()
    assert [("cache.restored", "pip-linux-new")] == [(name, fields["found"]) for name, fields in there.told]


def test_what_is_kept_under_other_paths_is_another_thing(job: Job) -> None:
    keep(job, "k")

    assert not other(job).caches(cache("k", "elsewhere", restore=("k",))).restore()


def test_a_key_that_is_there_is_not_kept_again(job: Job) -> None:
    keep(job, "k", "first")
    keep(job, "k", "second")
    there = other(job)
    there.caches(cache("k")).restore()

    assert "first" == (there.tree / "deps" / "a").read_text()


@pytest.mark.parametrize("harm", ["shorter", "other", "gone"])
def test_a_damaged_archive_is_told_of_removed_and_was_never_there(job: Job, harm: str) -> None:
    keep(job, "k")
    [archive] = job.store.folder.glob("*.tar")
    if harm == "gone":
        archive.unlink()
    else:
        whole = archive.read_bytes()
        archive.write_bytes(whole[:700] if harm == "shorter" else whole[:520] + b"XXXX" + whole[524:])
    there = other(job)

    assert not there.caches(cache("k", restore=("k",))).restore()
    assert ["cache.missed", "cache.missed"] == there.events
    assert "was damaged" in there.told[0][1]["reason"]
    assert [] == job.store.entries()
    assert not (there.tree / "deps").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": 1}', b"\xff"])
def test_an_entry_that_is_no_entry_is_none(job: Job, content: bytes) -> None:
    keep(job, "k")
    [entry] = job.store.folder.glob("*.json")
    entry.write_bytes(content)

    assert not other(job).caches(cache("k")).restore()


def test_the_least_recently_used_go_first_once_there_are_too_many(job: Job, tmp_path: Path) -> None:
    for key in ("a", "b", "c"):
        keep(job, key)
    for age, key in ((30, "b"), (20, "a"), (10, "c")):
        [entry] = [each for each in job.store.entries() if each.key == key]
        os.utime(job.store.folder / entry.name, (time.time() - age,) * 2)
    small = CacheStore(job.store.folder, sum(each.bytes for each in job.store.entries()))
    keep(Job(small, tmp_path / "tree"), "d")

    assert ["a", "c", "d"] == sorted(each.key for each in small.entries())
    assert 3 == len(list(small.folder.glob("*.tar")))


def test_what_is_larger_than_all_may_be_is_not_kept(job: Job, tmp_path: Path) -> None:
    tiny = Job(CacheStore(job.store.folder, 3), tmp_path / "tree")
    keep(tiny, "k", "more than three")

    assert ["cache.missed"] == tiny.events
    assert [] == tiny.store.entries()


def test_a_file_that_is_there_and_newer_stays_and_an_older_one_is_replaced(job: Job) -> None:
    keep(job, "k", "kept")
    (job.tree / "deps" / "a").write_text("written since")
    os.utime(job.tree / "deps" / "a", (time.time() + 60,) * 2)
    job.caches(cache("k")).restore()

    assert "written since" == (job.tree / "deps" / "a").read_text()

    (job.tree / "deps" / "a").write_text("old")
    os.utime(job.tree / "deps" / "a", (1.0, 1.0))
    job.caches(cache("k")).restore()

    assert "kept" == (job.tree / "deps" / "a").read_text()


def test_nothing_is_put_back_behind_a_link_that_leads_out_of_the_tree(job: Job, tmp_path: Path) -> None:
    keep(job, "k")
    there = other(job)
    there.tree.mkdir()
    (tmp_path / "outside").mkdir()
    (there.tree / "deps").symlink_to(tmp_path / "outside")
    there.caches(cache("k")).restore()

    assert ["cache.missed"] == there.events
    assert [] == list((tmp_path / "outside").iterdir())


def test_a_writer_that_is_killed_leaves_no_half_of_an_entry(job: Job) -> None:
    (job.tree / "deps").mkdir(parents=True)
    for number in range(50):
        (job.tree / "deps" / str(number)).write_bytes(os.urandom(5000))
    for after in range(0, 52, 5):
        killed = Job(job.store, job.tree, keep_going=_dying_after(after))
        pid = os.fork()
        if pid == 0:
            killed.caches(cache("k")).save()
            os._exit(0)
        assert signal.SIGKILL == os.waitpid(pid, 0)[1] or after > 50
        there = other(job)
        if not there.caches(cache("k")).restore():
            assert not (there.tree / "deps").exists()
    job.caches(cache("k")).save()

    assert other(job).caches(cache("k")).restore()
    assert 50 == len(list((other(job).tree / "deps").iterdir()))


def test_a_reader_that_is_killed_leaves_only_whole_files(job: Job) -> None:
    (job.tree / "deps").mkdir(parents=True)
    for number in range(50):
        (job.tree / "deps" / str(number)).write_bytes(str(number).encode() * 4000)
    job.caches(cache("k")).save()
    for after in range(0, 52, 5):
        there = Job(job.store, job.tree.with_name(f"other-{after}"), keep_going=_dying_after(after))
        pid = os.fork()
        if pid == 0:
            there.caches(cache("k")).restore()
            os._exit(0)
        os.waitpid(pid, 0)
        for path in (there.tree / "deps").glob("*") if (there.tree / "deps").exists() else ():
            assert path.name.encode() * 4000 == path.read_bytes()


def _dying_after(count: int) -> Callable[[], None]:
    left = iter(range(count))

    def keep_going() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return keep_going


def test_what_killed_writers_have_left_goes_in_time(job: Job) -> None:
    keep(job, "k")
    left = job.store.folder / "0-0.tar.part"
    left.write_bytes(b"half")
    job.store.prune()
    assert left.exists()
    os.utime(left, (1.0, 1.0))
    job.store.prune()

    assert not left.exists()
    assert 1 == len(job.store.entries())


def test_many_that_keep_and_read_one_key_at_once_never_see_half_of_it(job: Job) -> None:
    pids = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            os._exit(_keep_and_read(job, number))
        pids.append(pid)

    assert [0] * 4 == [os.waitpid(pid, 0)[1] for pid in pids]
    assert 1 == len(list(job.store.folder.glob("*.tar")))


def _keep_and_read(job: Job, number: int) -> int:
    own = Job(job.store, job.tree.with_name(f"own-{number}"))
    for turn in range(10):
        keep(own, "k", f"{number} {turn}" * 1000)
        there = Job(job.store, job.tree.with_name(f"there-{number}-{turn}"))
        there.caches(cache("k")).restore()
        found = there.tree / "deps" / "a"
        if found.exists() and len(found.read_text()) != 3000:
            return 1
        for entry in job.store.entries():
            job.store.remove(entry)
    keep(own, "k", "end" * 1000)
    return 0


@pytest.mark.parametrize(("written", "bytes_"), [("500MB", 500_000_000), ("2GiB", 2 << 30), ("", 10 << 30)])
def test_the_limit_is_a_size(written: str, bytes_: int) -> None:
    assert bytes_ == cache_limit({"MPRUN_CACHE_LIMIT": written})


def test_a_limit_that_is_no_size_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"MPRUN_CACHE_LIMIT is 'much', and not a size such as 500MB or 10GiB"
    ):
        cache_limit({"MPRUN_CACHE_LIMIT": "much"})
