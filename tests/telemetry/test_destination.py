"""Where metrics go: what `--metrics` may say, and what is found out before anything runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.telemetry.destination import (
    MetricsAddress,
    MetricsFile,
    bound_address,
    is_open_to_others,
    listen,
    parse_destination,
    require_writable,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9464", MetricsAddress("127.0.0.1", 9464)),
        ("localhost:0", MetricsAddress("localhost", 0)),
        ("[::1]:9464", MetricsAddress("::1", 9464)),
        ("run.prom", MetricsFile(Path("run.prom"))),
        ("/var/lib/a:1/run.prom", MetricsFile(Path("/var/lib/a:1/run.prom"))),
    ],
)
def test_an_address_and_a_file_are_told_apart(text: str, expected: MetricsAddress | MetricsFile) -> None:
    assert expected == parse_destination(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9464", "did you mean 127.0.0.1:9464?"),
        (":9464", "127.0.0.1:9464 is for this machine alone"),
        ("::1:9464", "stands in brackets, as in [::1]:9464"),
        ("run.txt", "did you mean 'run.prom'?"),
        ("out/metrics", "did you mean 'out/metrics.prom'?"),
        ("127.0.0.1:99999", "expected a port of at most 65535, got 99999"),
        ("127.0.0.1", "expected an address such as 127.0.0.1:9464"),
        ("http://127.0.0.1:9464", "did you mean 127.0.0.1:9464?"),
        ("127.0.0.1:9464/metrics", "did you mean 127.0.0.1:9464?"),
        ("http://[::1]:9464/metrics", "did you mean [::1]:9464?"),
        ("127.0.0.1:-1", "got '127.0.0.1:-1'"),
        ("[::1:9464", "got '[::1:9464'"),
        ("127.0.0.1:\u0663", "expected an address such as 127.0.0.1:9464"),
        ("", "expected an address such as 127.0.0.1:9464"),
    ],
)
def test_what_is_neither_is_refused_with_what_was_meant(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_destination(text)

    assert "--metrics: " in str(refused.value) and expected in str(refused.value)
    assert ".prom'?" not in str(refused.value) or ".prom'?" in expected
    assert "[[" not in str(refused.value)


def test_what_listens_has_a_number_that_no_standard_stream_has() -> None:
    with listen(MetricsAddress("127.0.0.1", 0)) as listener:
        assert listener.fileno() > 2 and not os.get_inheritable(listener.fileno())
        with socket.create_connection(listener.getsockname(), timeout=5):
            pass


@pytest.mark.parametrize(
    ("host", "others"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("::", True)],
)
def test_whoever_lets_others_ask_is_known(host: str, others: bool) -> None:
    if ":" in host and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    with listen(MetricsAddress(host, 0)) as listener:
        bound = bound_address(listener)

    assert others == is_open_to_others(bound)
    assert str(bound).rpartition(":")[2].isdecimal()


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_an_address_that_is_taken_or_not_here_is_refused() -> None:
    taken = listen(MetricsAddress("127.0.0.1", 0))
    with taken, pytest.raises(UsageError, match="another process does already; choose another port"):
        listen(bound_address(taken))
    with pytest.raises(UsageError, match=r"203\.0\.113\.9:9464: this machine has no such address"):
        listen(MetricsAddress("203.0.113.9", 9464))
    with pytest.raises(UsageError, match="there is no host of this name"):
        listen(MetricsAddress("no-such-host.invalid", 9464))


def test_a_file_that_cannot_be_put_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dir.prom").mkdir()
    (tmp_path / "plain").touch()

    require_writable(MetricsFile(tmp_path / "run.prom"))
    for path, why in (
        ("dir.prom", "Is a directory"),
        ("no/run.prom", "No such file or directory"),
        ("plain/run.prom", "Not a directory"),
    ):
        with pytest.raises(UsageError, match=f"'.*{path}' can't be written: {why}"):
            require_writable(MetricsFile(tmp_path / path))
