"""Letters are kept whole or not at all, for their owner alone, and read back without opening what they hold."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ipc.frames import pack_mixed, pack_safe
from runner.ipc.messages import DeliveryAttempt, FailedItem, ItemFailure
from runner.ipc.shm.handles import Packed, SharedBytes, pack
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.store.dead_letters import (
    DeadLetter,
    DeadLetterStore,
    file_name,
    items,
    letter_files,
    letters_folder,
    mark_replayed,
    read_letters,
    replayed,
)
from runner.store.run_folder import RunFolder

HISTORY = (DeliveryAttempt(1, "neo", 11, 0.0, "ValueError: 包子"),)


@pytest.fixture
def run_folder(tmp_path: Path) -> RunFolder:
    return RunFolder("3f2a", tmp_path / "home")


def box(run_folder: RunFolder) -> DeadLetterStore:
    return DeadLetterStore(run_folder, make_plan(WorkflowSpec("baozi", Path("/w/baozi.yaml"), ())))


def keep(letters: DeadLetterStore, stage: str = "eater", failed_item: FailedItem | None = None) -> Path:
    failed_item = failed_item or FailedItem(pack_safe(["a", "b"]), 1, HISTORY)
    spec = StageSpec(stage, HandlerRef("python", "m:f"), {}, ("neo",), receives="q")
    worker = make_plan(WorkflowSpec("baozi", Path("baozi.yaml"), (spec,))).workers[0]
    failure = ItemFailure("neo", "'b'", "ValueError: 包子", "Traceback …")
    return Path(letters.keep(worker, failure, failed_item))


def test_a_letter_is_read_back_as_it_was_kept(run_folder: RunFolder) -> None:
    file = keep(box(run_folder))

    (letter,) = read_letters(file)

    assert [file] == letter_files(run_folder)
    assert ("3f2a", "baozi", "/w/baozi.yaml", "eater", "q", "neo") == (
        letter.run,
        letter.workflow,
        letter.file,
        letter.stage,
        letter.queue,
        letter.worker,
    )
    assert "b" == letter.unpickle(file.parent)
    assert {"at": "1970-01-01T00:00:00.000Z", "ended": "ValueError: 包子"}.items() <= letter.attempts[
        0
    ].items()


def test_letters_are_numbered_by_stage(run_folder: RunFolder) -> None:
    letters = box(run_folder)
    files = [keep(letters, stage) for stage in ("eater", "taster", "eater")]

    assert [1, 2] == [letter.number for letter in read_letters(files[0])]
    assert [1] == [letter.number for letter in read_letters(files[1])]


def test_only_the_owner_can_read_them(run_folder: RunFolder) -> None:
    file = keep(box(run_folder))

    modes = [
        stat.S_IMODE(path.stat().st_mode)
        for path in (run_folder.home, run_folder.path, letters_folder(run_folder), file)
    ]

    assert [0o700, 0o700, 0o700, 0o600] == modes


def test_a_full_disk_leaves_no_half_of_a_letter(
    run_folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = box(run_folder)
    file = keep(letters)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, raw: write(fd, raw[:20]))

    with pytest.raises(OSError, match="No space left") as raised:
        keep(letters)

    monkeypatch.undo()
    keep(letters)
    assert errno.ENOSPC == raised.value.errno
    assert [1, 2] == [letter.number for letter in read_letters(file)]


def test_a_line_that_is_not_whole_is_left_out(run_folder: RunFolder) -> None:
    file = keep(box(run_folder))
    with file.open("a") as out:
        out.write('{"number": 2, "at"\n[]\n{"number": 3}\n')

    assert [1] == [letter.number for letter in read_letters(file)]


def test_an_item_that_could_not_travel_is_told_of_and_not_there(run_folder: RunFolder) -> None:
    file = keep(box(run_folder), failed_item=FailedItem(None, 0, ()))

    (letter,) = read_letters(file)

    with pytest.raises(LookupError, match="was not kept"):
        letter.unpickle(file.parent)


def test_what_was_replayed_is_noted_beside_the_letters(run_folder: RunFolder) -> None:
    letters = box(run_folder)
    file, *_ = [keep(letters) for _ in range(4)]
    before = replayed(file)
    mark_replayed(file, [3, 1], "84af")
    mark_replayed(file, [2], "84b0")

    assert frozenset() == before
    assert frozenset({1, 2, 3}) == replayed(file)
    assert 4 == len(list(read_letters(file)))


def test_a_replay_gets_the_items_of_the_letters_it_asks_for(run_folder: RunFolder) -> None:
    letters = box(run_folder)
    file, *_ = [keep(letters, failed_item=FailedItem(pack_safe([text]), 0, HISTORY)) for text in "abc"]

    assert ["a", "c"] == list(items(str(file), [1, 3]))


def big(data: bytes) -> tuple[FailedItem, int]:
    """What is left of a big item that lies in shared memory, behind something else; and the memory's descriptor."""
    packed = pack(data)
    assert isinstance(packed, Packed)
    memory = os.memfd_create("arena")
    os.pwrite(memory, data, 64)
    return FailedItem(
        pack_mixed([packed.handle(64)]), 0, HISTORY, SharedBytes(memory, 64, len(data), None)
    ), memory


def test_a_big_item_is_written_bit_by_bit_into_a_file_of_its_own(run_folder: RunFolder) -> None:
    data, letters = os.urandom(20 << 20), box(run_folder)
    failed_item, memory = big(data)
    file, steps = keep(letters, failed_item=failed_item), 0
    while letters.behind:
        assert [] == list(read_letters(file)) if file.exists() else True
        letters.catch_up()
        steps += 1
    os.close(memory)

    (letter,) = read_letters(file)
    assert (3, "eater.1.item", data) == (steps, letter.bulk, letter.unpickle(file.parent))
    assert [data] == list(items(str(file), [1]))
    assert 4096 > file.stat().st_size
    assert 0o600 == stat.S_IMODE((file.parent / "eater.1.item").stat().st_mode)


def no_space_left(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_big_item_that_finds_the_disk_full_is_told_of_and_leaves_nothing(
    run_folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = box(run_folder)
    failed_item, memory = big(bytes(1 << 20))
    keep(letters, failed_item=failed_item)
    keep(letters)
    monkeypatch.setattr(os, "write", no_space_left)

    with pytest.raises(OSError, match="No space left"):
        letters.catch_up()

    os.close(memory)
    assert not letters.behind
    assert ["eater.jsonl"] == [path.name for path in letters_folder(run_folder).iterdir()]


def test_a_big_item_whose_file_is_gone_is_told_of(run_folder: RunFolder) -> None:
    letters = box(run_folder)
    failed_item, memory = big(bytes(1 << 20))
    file = keep(letters, failed_item=failed_item)
    letters.catch_up()
    os.close(memory)
    (file.parent / "eater.1.item").unlink()

    (letter,) = read_letters(file)
    with pytest.raises(LookupError, match=r"'eater\.1\.item' can't be read: No such file"):
        letter.unpickle(file.parent)


@given(st.text(min_size=1, max_size=300).filter(lambda text: "\0" not in text))
def test_a_stage_of_any_name_has_a_file_of_its_own(stage: str) -> None:
    name = file_name(stage.encode("utf-8", "replace").decode())

    assert "/" not in name
    assert not name.startswith(".")
    assert 0 < len(name.encode()) <= 200


def test_two_stages_never_share_a_file() -> None:
    names: list[Any] = ["a/b", "a%2Fb", "a b", ".a", "%2Ea", "x" * 300, "x" * 301, "包子" * 100]

    assert len(names) == len({file_name(name) for name in names})


def test_a_letter_of_a_later_version_is_read_all_the_same(run_folder: RunFolder) -> None:
    file = keep(box(run_folder))
    file.write_text(file.read_text().replace('{"number"', '{"colour": "red", "number"'))

    assert [DeadLetter] == [type(letter) for letter in read_letters(file)]
