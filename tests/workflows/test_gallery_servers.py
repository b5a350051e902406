"""The gallery's server, with real clients. Each test checks the point of its file."""

from __future__ import annotations

import json
import os
import queue
import resource
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from gallery import GALLERY

PATIENCE = 60.0
ECHO = GALLERY / "echo-server.yaml"

Serve = Callable[..., "Running"]


class Running:
    """A run that goes on until it is told to stop; its events are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.strange: list[str] = []
        """Lines of stderr that are no events: there should be none."""
        self._coming: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.port: int = self.wait_for("server.listening")["port"]
        for _ in range(3):
            self.wait_for("worker.ready")

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for the next event of this name and with these fields."""
        while True:
            found = self._coming.get(timeout=PATIENCE)
            assert found is not None, f"the run ended without {event}: {self.events}"
            self.events.append(found)
            if found["event"] == event and fields.items() <= found.items():
                return found

    def of(self, event: str) -> list[dict[str, Any]]:
        """The events of this name that have been waited past, in order."""
        return [each for each in self.events if each["event"] == event]

    def connect(self) -> socket.socket:
        """Come as a client."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def wait_until_refused(self) -> None:
        """Wait until nobody gets in any more; whoever does before that has come in time."""
        while True:
            try:
                self.connect().close()
            except ConnectionError:
                return

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the run and wait for its end; return its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(timeout=PATIENCE)
        self._reader.join(PATIENCE)
        while (left := self._coming.get_nowait()) is not None:
            self.events.append(left)
        return code

    def dispose(self) -> None:
        """Whatever the test has done, leave nothing."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        assert [] == self.strange

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("{"):
                self._coming.put(json.loads(line))
            else:
                self.strange.append(line)
        self._coming.put(None)


@pytest.fixture
def serve(mprun: Path, plain_env: dict[str, str]) -> Iterator[Serve]:
    with ExitStack() as left:

        def start(*options: str, transport: str = "leased") -> Running:
            command = [mprun, "run", ECHO, "--param", "port=0", "--transport", transport, *options]
            command += ["--log", "json", "--log-level", "debug"]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8", env=plain_env)
            running = Running(process)
            left.callback(running.dispose)
            return running

        yield start


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for a thousand clients in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ask(client: socket.socket, text: str) -> str:
    client.sendall(text.encode())
    return client.recv(1024).decode()


def children_of(pid: int) -> set[int]:
    return {
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    }


@pytest.mark.parametrize("transport", ["leased", "joinable"])
@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.quick("leased")
def test_five_hundred_clients_at_once_are_all_answered_by_no_more_processes(
    transport: str, serve: Serve
) -> None:
    running = serve(transport=transport)
    workers = {event["pid"] for event in running.of("worker.spawned")}
    with ExitStack() as guests:
        clients = [guests.enter_context(running.connect()) for _ in range(500)]
        for number, client in enumerate(clients):
            client.sendall(f"client {number}".encode())
        answers = [client.recv(1024).decode() for client in clients]
        alive = workers & children_of(running.process.pid)
        grandchildren = set().union(*map(children_of, workers))

    assert [f"CLIENT {number}" for number in range(500)] == answers
    assert (3, workers, set()) == (len(workers), alive, grandchildren)
    assert 128 + signal.SIGTERM == running.end()
    assert 3 == len(running.of("worker.spawned"))


@pytest.mark.slow
def test_a_client_that_says_nothing_or_breaks_off_harms_nobody(serve: Serve) -> None:
    running = serve("--param", "idle=300ms")
    with running.connect() as silent, running.connect() as rude, running.connect() as polite:
        assert "BUN" == ask(rude, "bun")
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, and no farewell
        rude.close()
        assert "BUN" == ask(polite, "bun")
        assert b"" == silent.recv(1024)
        for message in ("connection.broken", "connection.idle"):
            assert any(
                event["message"] == message for event in running.of("worker.logged")
            ) or running.wait_for("worker.logged", message=message)
    with running.connect() as next_one:
        assert "MORE" == ask(next_one, "more")

    running.end()
    assert {"finished"} == {event["outcome"] for event in running.of("worker.exited")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.quick("15")
def test_a_signal_lets_open_conversations_finish_and_nobody_in(number: signal.Signals, serve: Serve) -> None:
    running = serve()
    with running.connect() as guest:
        assert "BUN" == ask(guest, "bun")
        running.process.send_signal(number)
        running.wait_until_refused()

        assert "MORE" == ask(guest, "more")
        for _ in range(2):  # those who have nobody to talk to
            running.wait_for("worker.exited", outcome="finished")
        assert "AND MORE" == ask(guest, "and more")

    assert 128 + number == running.wait()
    assert ["finished"] * 3 == [event["outcome"] for event in running.of("worker.exited")]


@pytest.mark.slow
def test_who_does_not_finish_in_time_is_hung_up_on(serve: Serve) -> None:
    running = serve("--set", "limits.stop_timeout=200ms")
    with running.connect() as guest:
        assert "BUN" == ask(guest, "bun")
        running.process.send_signal(signal.SIGTERM)

        assert b"" == guest.recv(1024)

    assert 128 + signal.SIGTERM == running.wait()


@pytest.mark.parametrize("transport", ["leased", "joinable"])
@pytest.mark.quick("leased")
def test_a_worker_that_is_killed_leaves_the_port_to_the_others_and_to_its_successor(
    transport: str, serve: Serve
) -> None:
    running = serve(transport=transport)
    first = running.of("worker.spawned")[0]
    os.kill(first["pid"], signal.SIGKILL)
    assert 2 == running.wait_for("worker.spawned", worker=first["worker"])["generation"]

    with ExitStack() as guests:
        clients = [guests.enter_context(running.connect()) for _ in range(20)]
        assert ["BUN"] * 20 == [ask(client, "bun") for client in clients]
    assert 128 + signal.SIGTERM == running.end()


@pytest.mark.slow
def test_more_workers_share_the_port_and_those_that_are_too_many_let_their_clients_finish(
    serve: Serve, run_mprun: Any
) -> None:
    running = serve()
    run = running.of("run.started")[0]["run"]

    more = run_mprun("scale", run, "server=4")
    assert (0, "server-4") == (more.returncode, running.wait_for("worker.ready")["worker"]), more.stderr
    with ExitStack() as guests:
        clients = [guests.enter_context(running.connect()) for _ in range(20)]
        assert ["BUN"] * 20 == [ask(client, "bun") for client in clients]
        fewer = run_mprun("scale", run, "server=1")
        assert ["MORE"] * 20 == [ask(client, "more") for client in clients]
    for _ in range(3):
        assert "finished" == running.wait_for("worker.exited")["outcome"]
    with running.connect() as guest:
        assert "STILL HERE" == ask(guest, "still here")

    assert (0, 128 + signal.SIGTERM) == (fewer.returncode, running.end())


@pytest.mark.slow
def test_workers_that_are_spawned_serve_the_one_port_too(serve: Serve) -> None:
    running = serve("--set", "stages.server.start_method=spawn")

    with ExitStack() as guests:
        clients = [guests.enter_context(running.connect()) for _ in range(10)]
        assert ["BUN"] * 10 == [ask(client, "bun") for client in clients]

    assert 128 + signal.SIGTERM == running.end()


@pytest.mark.slow
def test_a_port_in_use_is_refused_before_anything_starts(serve: Serve, run_mprun: Any) -> None:
    running = serve()

    refused = run_mprun("run", ECHO, "--param", f"port={running.port}")

    assert (
        1,
        "",
        f"mprun: stage 'server' can't listen on 127.0.0.1:{running.port}: "
        "another program uses that port; choose another, or 0 for any that is free\n",
    ) == (refused.returncode, refused.stdout, refused.stderr)


def test_nothing_is_left_on_the_port_when_the_supervisor_is_killed(serve: Serve) -> None:
    running = serve()
    with running.connect() as guest:
        assert "BUN" == ask(guest, "bun")
        running.process.kill()

        assert b"" == guest.recv(1024)
    running.process.wait()
