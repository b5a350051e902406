"""Failures as items: what they hold is opened by whoever reads them, and by nobody before."""

from __future__ import annotations

import os
import pickle
import tempfile

from runner.ipc.frames import pack_mixed, pack_safe, pack_series, pickle_alone
from runner.ipc.messages import DeliveryAttempt, FailedItem, ItemFailure
from runner.ipc.shm.handles import BIG, Packed, SharedBytes, pack
from runner.transports.error_items import failed_in_making, pickle_failure

TRIED = tuple(DeliveryAttempt(number, "neo", 7, 0.0, "raised") for number in (1, 2))


class Trap:
    """Says that it was opened."""

    opened = 0

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return _open, (1,)


def _open(count: int) -> str:
    Trap.opened += count
    if os.environ.get("CANNOT_BE_OPENED"):
        raise ValueError("not here")
    return "opened"


def test_an_item_is_opened_where_its_failure_is_read() -> None:
    failed = FailedItem(pack_series([pickle_alone(1), pickle_alone(Trap())]), 1, TRIED)

    pickled = pickle_failure(failed, "ValueError: no", "parse", "<Trap>")

    assert 0 == Trap.opened
    assert {"item": "opened", "error": "ValueError: no", "attempts": 2, "stage": "parse"} == pickle.loads(
        pickled
    )


def test_one_that_cannot_be_opened_there_is_in_its_failure_all_the_same(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CANNOT_BE_OPENED", "1")
    failed = FailedItem(pack_series([pickle_alone(Trap())]), 0, TRIED)

    failure = pickle.loads(pickle_failure(failed, "e", "parse", "<Trap>"))

    assert ("<an item that can't be unpickled>", "e") == (repr(failure["item"]), failure["error"])


def test_a_big_item_comes_along_from_shared_memory() -> None:
    item = {"data": b"x" * BIG, "n": 3}
    packed = pack(item)
    assert isinstance(packed, Packed)
    with tempfile.TemporaryFile() as file:
        file.write(b"".join((b"before", *packed.buffers)))
        file.flush()
        bulk = SharedBytes(file.fileno(), len("before"), BIG, None)
        failed = FailedItem(pack_mixed([packed.handle(6)]), 0, TRIED, bulk)

        assert item == pickle.loads(pickle_failure(failed, "e", "parse", ""))["item"]


def test_what_was_never_put_is_what_its_producer_says_or_what_it_looks_like() -> None:
    kept = ItemFailure("neo", "'小明'", "e", frame="TIAElQoAAAAAAAAAXZSMBOWwj+aYjpRhLg==")
    frame = failed_in_making(ItemFailure("neo", "<lambda>", "e"))

    assert frame.frame is None
    assert "<lambda>" == pickle.loads(pickle_failure(frame, "e", "list", "<lambda>"))["item"]
    assert pack_safe(["小明"])[:1] == (failed_in_making(kept).frame or b"")[:1]
