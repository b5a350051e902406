"""What tests run in a spawned process: apart, where that process can import it by a name that holds in any checkout."""

from __future__ import annotations

from multiprocessing.connection import Connection

from runner.ipc.channel import Sender
from runner.ipc.status_page import StatusPage, Word
from runner.process.resources.locks import Lock


def say_ready(sender: Sender) -> None:
    """Send one message."""
    sender.send("ready", **{"from": "afar"})
    sender.close()


def work_afar(page: StatusPage) -> None:
    """Count and name an item."""
    assert page.words[Word.STOP] == 1
    page.add(Word.DONE)
    page.set_item("afar")
    page.close()


def overrun(page: StatusPage, say: object, wait: object) -> None:
    """Say that it is at work, and wait to be released."""
    assert callable(say)
    assert callable(wait)
    page.dump_stacks_on_signal()
    say(b"ready")
    wait()
    say(b"done")


def hold(lock: Lock, told: Connection) -> None:
    """Take a lock, and hold it until told to end."""
    told.send(lock.acquire(timeout=30))
    told.recv()
