"""Big items that wait are in files of the run as long as a cut needs them, and come whole into the next arena."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_cuts import Arena, Keeper, cut_of, keeper

from runner.ipc.frames import pack_mixed
from runner.ipc.shm.allocator import PAGE
from runner.ipc.shm.arena import PART
from runner.ipc.shm.handles import pack
from runner.ledger.ranges import Frame
from runner.record.bulk import BulkPayload
from runner.record.reader import RecordDamaged

BYTES = os.urandom(100_000)
MIXED = ["small", {"name": "x", "data": BYTES}, 7, bytearray(BYTES[::-1]), "text " * 50_000]


@pytest.fixture
def arena() -> Iterator[Arena]:
    arena = Arena()
    yield arena
    arena.close()


def files(kept: Keeper) -> list[str]:
    folder = kept.folder / "bulk"
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def restored(kept: Keeper, at: int = 5 * PART) -> list[list[object]]:
    """Put what was kept into another arena, as another runner does."""
    cut = kept.read()
    other = Arena()
    assert cut is not None
    found = []
    for frame in [each.frame for queue in cut.queues for each in queue.ranges()]:
        payload = frame.payload
        if isinstance(payload, BulkPayload):
            payload, at = payload.copy_to(other.file.fileno(), at), at + -(-payload.span // PAGE) * PAGE
        found.append(other.items(payload, frame.count))
    other.close()
    return found


def test_they_come_back_as_they_were(arena: Arena) -> None:
    with keeper() as kept:
        kept.keep(
            cut_of(
                arena.frame(*MIXED), arena.frame(BYTES), Frame(pack_mixed([pack("x")]), 1), arena.frame("x")
            )
        )  # type: ignore[list-item]

        assert [MIXED, [BYTES], ["x"], ["x"]] == restored(kept)
        assert ["1", "2"] == files(kept)


def test_a_frame_that_lies_in_the_arena_as_a_whole_is_kept_in_the_database(arena: Arena) -> None:
    rows = [(number, "包子" * 100) for number in range(100)]
    with keeper() as kept:
        kept.keep(cut_of(arena.stored(*rows), arena.frame(BYTES), arena.stored("x")))

        assert [rows, [BYTES], ["x"]] == restored(kept)
        assert ["2"] == files(kept)


def test_their_files_are_removed_with_their_frames(arena: Arena) -> None:
    first, second = arena.frame(BYTES), arena.frame(BYTES[:70_000])
    with keeper() as kept:
        kept.keep(cut_of(first, second))
        written = (kept.folder / "bulk" / "2").stat().st_mtime_ns
        kept.keep(cut_of(second))
        left = files(kept), (kept.folder / "bulk" / "2").stat().st_mtime_ns
        kept.writer.end({"at": 2.0, "outcome": "done"})

        assert (["2"], written) == left
        assert not (kept.folder / "bulk").exists()


def test_what_was_left_by_one_that_was_killed_in_the_middle_is_removed_by_the_next(
    arena: Arena, tmp_path: Path
) -> None:
    with keeper(tmp_path) as kept:
        kept.keep(cut_of(arena.frame(BYTES)))
        for left in ("2", "77"):
            (tmp_path / "bulk" / left).write_bytes(b"half")
    with keeper(tmp_path, 2) as kept:
        cut = kept.read()
        assert cut is not None
        kept.keep(cut_of(*(each.frame for each in cut.queues[0].ranges()), arena.frame("new", BYTES)))

        assert [[BYTES], ["new", BYTES]] == restored(kept)
        assert ["1", "2"] == files(kept)


def test_a_file_that_is_gone_or_short_is_said_to_be_so(arena: Arena) -> None:
    with keeper() as kept:
        kept.keep(cut_of(arena.frame(BYTES)))
        path = kept.folder / "bulk" / "1"
        os.truncate(path, 5000)
        with pytest.raises(RecordDamaged, match=r"big items that waited in run .* has not the 100,032 bytes"):
            kept.read()
        path.unlink()
        with pytest.raises(RecordDamaged, match=r"big items that waited in run .*: No such file"):
            kept.read()


def test_one_that_can_t_be_copied_leaves_the_last_cut(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cut_of(arena.frame(BYTES))
    with keeper() as kept:
        kept.keep(first)
        with monkeypatch.context() as patched:
            patched.setattr(
                "runner.record.bulk.os.ftruncate", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
            )
            with pytest.raises(OSError, match="full"):
                kept.keep(cut_of(arena.frame(BYTES[::-1])))

        assert (first, ["1"]) == (kept.read(), files(kept))


def test_a_frame_is_held_until_it_is_known_that_it_was_copied(arena: Arena) -> None:
    frame = arena.frame(BYTES)
    with keeper() as kept:
        encoded = kept.encoder.encode(cut_of(frame))
        del frame
        before = arena.ended
        del encoded

    assert (0, 1) == (before, arena.ended)
