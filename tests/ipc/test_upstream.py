"""Who takes in the supervisor's lines is woken by lines and by the end, and by nothing else."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from runner.ipc.upstream import Upstream

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_it_waits_for_lines_or_its_own_clock(ends: Ends) -> None:
    upstream = Upstream(ends[0], os.getppid())

    silent = upstream.wait(0.0)
    ends[1].sendall(b"a line\n")

    assert (False, True) == (silent, upstream.wait())


def test_it_is_woken_by_the_end_though_nobody_closes_the_stream(ends: Ends) -> None:
    """A worker may hold a copy of the supervisor's end."""
    told, heard = os.pipe()
    supervisor = os.fork()
    if not supervisor:
        if not os.fork():
            upstream = Upstream(ends[0], os.getppid())
            os.write(heard, b"!")
            woken = upstream.wait(20.0)
            os.write(heard, b"+" if woken and upstream.is_orphaned else b"-")
            os._exit(0)
        signal.pause()
    os.read(told, 1)

    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)

    assert b"+" == os.read(told, 1)
    os.close(told)
    os.close(heard)


def test_in_a_burst_it_rests_until_more_has_gathered_or_the_end_is_said(ends: Ends) -> None:
    upstream = Upstream(ends[0], os.getppid())
    upstream.have_read()
    ends[1].sendall(b"a line\n")
    ends[1].shutdown(socket.SHUT_WR)

    upstream.have_read()

    assert b"a line\n" == ends[0].recv(100)
    assert b"" == ends[0].recv(100)
