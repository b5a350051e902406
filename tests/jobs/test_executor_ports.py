"""Whose a TCP port is."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from runner.jobs.executor.ports import Peer, listeners


def test_a_port_is_the_servers_before_it_is_that_of_what_the_server_has_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whose number is lower, once the machine has begun to count anew."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        subprocess.Popen(["sleep", "600"], pass_fds=[server.fileno()]) as child,
    ):
        monkeypatch.setattr(os, "listdir", lambda _folder: [str(child.pid), str(os.getpid())])

        found = listeners(Peer(*server.getsockname(), is_here=True))

        child.kill()

    assert [os.getpid(), child.pid] == found
