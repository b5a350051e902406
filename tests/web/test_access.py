"""Who gets in: names of hosts, the token, the cookie, and where a change comes from."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.web.access import Access, host_names, is_loopback, token_of

HERE = Access("secret-token", host_names("127.0.0.1", is_remote=False), "8765")
THERE = Access("secret-token", host_names("0.0.0.0", is_remote=True), "8765", takes_addresses=True)


@pytest.mark.parametrize(
    ("host", "is_let_in"),
    [
        ("127.0.0.1:8765", True),
        ("localhost:8765", True),
        ("localhost", True),
        ("LOCALHOST:9", True),
        ("[::1]:8765", True),
        ("evil.example", False),
        ("localhost.evil.example:8765", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example@localhost", False),
        ("localhost@evil.example", False),
        ("10.0.0.5:8765", False),
        ("", False),
        (None, False),
        ("[", False),
    ],
)
def test_only_our_own_names_are_let_in(host: str | None, is_let_in: bool) -> None:
    refusal = HERE.refuse_host(host)

    assert is_let_in == (refusal is None)
    assert refusal is None or 400 == refusal.status


def test_from_elsewhere_any_address_in_numbers_is_let_in_and_no_foreign_name() -> None:
    assert THERE.refuse_host("10.0.0.5:8765") is None
    assert THERE.refuse_host("[fd00::5]:8765") is None
    assert THERE.refuse_host("evil.example:8765") is not None


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8765", None),
        ("http://localhost:8766", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("file://localhost:8765", 403),
        ("", 403),
    ],
)
def test_a_change_comes_from_our_own_pages(origin: str, status: int | None) -> None:
    refusal = HERE.refuse_change("POST", {"host": "localhost:8765", "origin": origin})

    assert status == (None if refusal is None else refusal.status)


def test_a_read_only_dashboard_changes_nothing() -> None:
    access = Access("secret-token", HERE.names, "8765", read_only=True)
    own = {"host": "localhost:8765", "origin": "http://localhost:8765"}

    assert access.refuse_change("GET", own) is None
    refusal = access.refuse_change("POST", own)
    assert refusal is not None and "--read-only" in refusal.why


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_nothing_but_looks_and_changes_is_answered(method: str) -> None:
    refusal = HERE.refuse_change(method, {"host": "localhost", "origin": "http://localhost"})

    assert refusal is not None and 405 == refusal.status


def test_the_cookie_lets_in_and_is_not_the_token() -> None:
    assert HERE.is_signed_in(f"other=1; mprun-8765={HERE.cookie_value}")
    assert not HERE.is_signed_in(f"mprun-8766={HERE.cookie_value}")
    assert not HERE.is_signed_in("mprun-8765=secret-token")
    assert not HERE.is_signed_in("mprun-8765=")
    assert not HERE.is_signed_in("\x00;=;;")
    assert not HERE.is_signed_in(None)
    assert "secret" not in HERE.cookie_value


def test_the_token_is_kept_for_its_owner_alone_and_stays_the_same(tmp_path: Path) -> None:
    home = tmp_path / "home"

    first = token_of(home)

    assert first == token_of(home)
    assert 0o600 == stat.S_IMODE((home / "dashboard.token").stat().st_mode)
    assert 0o700 == stat.S_IMODE(home.stat().st_mode)
    assert "*\n" == (home / ".gitignore").read_text()
    assert first != token_of(tmp_path / "other")


def test_a_token_that_others_may_have_written_is_refused(tmp_path: Path) -> None:
    token_of(tmp_path)
    (tmp_path / "dashboard.token").chmod(0o666)

    with pytest.raises(UsageError, match="can be written by others"):
        token_of(tmp_path)


def test_a_token_that_is_too_short_is_made_anew(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "dashboard.token").write_text("a\n")
    (tmp_path / "dashboard.token").chmod(0o600)

    assert len(token_of(tmp_path)) >= 32


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.com", False),
    ],
)
def test_it_is_known_what_other_machines_reach(host: str, expected: bool) -> None:
    assert expected == is_loopback(host)
