"""Listening sockets: opened once, given to the workers of their stage alone, refused with the reason."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import StartFailed
from runner.handlers.kinds import LISTENER
from runner.handlers.listeners import Listeners
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan


def plan_of(**options: object) -> Plan:
    serve = HandlerRef("serve", "serve", {"handler": "m:talk", **options})
    stages = (
        StageSpec("door", serve, workers=("door-1", "door-2")),
        StageSpec("cook", HandlerRef("python", "m:cook"), workers=("cook-1",)),
    )
    return make_plan(WorkflowSpec("w", Path("w.yaml"), stages))


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    opened = Listeners(plan_of())
    yield opened
    opened.close()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def test_the_port_that_the_system_has_chosen_is_told_and_clients_may_connect_at_once(
    listeners: Listeners,
) -> None:
    (told,) = listeners.listening()

    assert ("door", "127.0.0.1", True) == (told.stage, told.host, told.port > 0)
    connect(told.port).close()


def test_all_workers_of_the_stage_are_given_the_one_socket_and_no_others(listeners: Listeners) -> None:
    resources = {worker.name: listeners.resources_for(worker) for worker in plan_of().workers}
    given = {name: resource[LISTENER].resolve() for name, resource in resources.items() if resource}

    assert {"door-1", "door-2"} == set(given)
    assert given["door-1"] is given["door-2"]
    assert [given["door-1"].fileno()] == list(resources["door-1"][LISTENER].descriptors)  # type: ignore[attr-defined]


def test_once_closed_nobody_is_let_in_any_more(listeners: Listeners) -> None:
    (told,) = listeners.listening()

    listeners.close()
    listeners.close()

    with pytest.raises(ConnectionRefusedError):
        connect(told.port)


@pytest.mark.parametrize(
    ("host", "port", "why"),
    [
        ("127.0.0.1", None, "another program uses that port; choose another, or 0 for any that is free"),
        ("192.0.2.1", 0, "'192.0.2.1' is not an address of this machine"),
        ("no host", 0, "there is no host 'no host'"),
    ],
)
def test_an_address_that_can_t_be_had_is_refused_with_the_reason(
    taken: int, host: str, port: int | None, why: str
) -> None:
    wanted = taken if port is None else port

    with pytest.raises(StartFailed) as refused:
        Listeners(plan_of(host=host, port=wanted))

    assert f"stage 'door' can't listen on {host}:{wanted}: {why}" == str(refused.value)


def test_a_file_without_servers_opens_nothing() -> None:
    plan = make_plan(
        WorkflowSpec(
            "w", Path("w.yaml"), (StageSpec("a", HandlerRef("command", "command", "true"), workers=("a-1",)),)
        )
    )

    assert [] == Listeners(plan).listening()
