"""What a handler forks: it has no queue, its status page is its own, and it has no word but the log."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from runner.errors import NotTheWorker
from runner.ipc.channel import open_channel
from runner.ipc.status_page import StatusPage, Word
from runner.ipc.stream import AckMessage, open_stream
from runner.transports.pool import isolate_forks


def in_a_child(main: Callable[[], None]) -> int:
    """Run `main` in a fork; return 0 if it raised nothing."""
    child = os.fork()
    if not child:
        try:
            main()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_of_a_worker_can_do_nothing_in_its_name() -> None:
    """All in a process of its own: what is registered for its forks can't be taken back."""
    ours, theirs = open_stream()
    receiver, sender = open_channel()
    page = StatusPage.shared()

    def live_as_a_worker() -> None:
        isolate_forks([theirs.close], page, sender)
        page.words[Word.DONE] = 1
        assert 0 == in_a_child(act_as_the_worker)
        theirs.send(AckMessage(1, upto=7))
        sender.send("finished")

    def act_as_the_worker() -> None:
        page.words[Word.DONE] += 41
        sender.send("finished")
        sender.send("logged", level="info", message="here")
        with pytest.raises(NotTheWorker, match="forked"):
            theirs.send(AckMessage(1, upto=42))

    code = in_a_child(live_as_a_worker)

    assert (0, 1) == (code, page.words[Word.DONE])
    assert [7] == [message.upto for message in ours.receive_nowait()]
    assert ["logged", "finished"] == [message["kind"] for message in receiver.receive_nowait()]
    for each in (ours, theirs, receiver, sender, page):
        each.close()
