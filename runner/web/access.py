"""Who gets in: what a request must bring before anybody looks at what it asks for. Pure, but for the token's file.

request ──► Host is ours? ──► link with the token? ──► cookie? ──► a change: Origin is ours, and not read-only? ──► in
             no: 400            303 and the cookie       no: 401       no: 403

Other users of the machine reach a loopback port as well as its owner does, and so does every page that is open in the
owner's browser, under a name of its own that it has lead here: against the first there is the token, against the second
the names that we go by, and against forms that others send in the owner's name the Origin.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import socket
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from runner.facts import dataclass
from runner.store.run_folder import make_home, require_private
from runner.text import write_atomically

TOKEN_FILE = "dashboard.token"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
CHANGES = frozenset({"POST"})
LOOKS = frozenset({"GET", "HEAD"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What each answer says, whatever it is."""
COOKIE_SECONDS = 30 * 86400


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not looked at."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class Access:
    """What this server lets in."""

    token: str
    names: frozenset[str]
    """The names of hosts that requests may be addressed to."""
    place: str
    """The port, or what stands for it: browsers send the cookies of all ports of a host to each of them."""
    takes_addresses: bool = False
    """Whether any address in numbers will do: no page of others can have one lead here."""
    read_only: bool = False
    metrics_open: bool = False
    """Whether whoever reaches this server may read the metrics."""

    @property
    def metrics_token(self) -> str:
        """What lets a scraper in: to the metrics alone."""
        return hmac.new(self.token.encode(), b"metrics", hashlib.sha256).hexdigest()[:32]

    def may_scrape(self, given: str, cookies: str | None) -> bool:
        """Say whether somebody may read the metrics who brings this token, and these cookies."""
        is_token = hmac.compare_digest(given.encode(), self.metrics_token.encode())
        return self.metrics_open or is_token or self.is_signed_in(cookies)

    @property
    def cookie_name(self) -> str:
        """The name of the cookie that lets in."""
        return f"mprun-{self.place}"

    @property
    def cookie_value(self) -> str:
        """What it holds: made from the token, so that it lasts as long, and the token can't be had from it."""
        return hmac.new(self.token.encode(), b"cookie", hashlib.sha256).hexdigest()

    def is_token(self, given: str) -> bool:
        """Say whether this is the token, in a time that tells nothing of it."""
        return hmac.compare_digest(given.encode(), self.token.encode())

    def is_signed_in(self, cookies: str | None) -> bool:
        """Say whether a `Cookie` header has ours."""
        given = cookie_of(cookies, self.cookie_name)
        return hmac.compare_digest(given.encode(), self.cookie_value.encode())

    def refuse_host(self, host: str | None) -> Refusal | None:
        """Refuse a request that is addressed to somebody else."""
        name = _name_of(host or "")
        if name in self.names or (self.takes_addresses and _is_address(name)):
            return None
        return Refusal(
            400, "this is no name of this server: open the address that mprun dashboard has printed"
        )

    def refuse_change(self, method: str, headers: Mapping[str, str]) -> Refusal | None:
        """Refuse what would change something and does not come from a page of ours, or is not to be had here."""
        if method not in CHANGES:
            return None if method in LOOKS else Refusal(405, f"nothing here answers to {method}")
        origin = urlsplit(headers.get("origin") or "")
        if origin.scheme not in ("http", "https") or origin.netloc != headers.get("host"):
            return Refusal(403, "only pages of this dashboard may change a run")
        if self.read_only:
            return Refusal(
                403, "this dashboard shows runs, and changes none: it was started with --read-only"
            )
        return None


def cookie_of(header: str | None, name: str) -> str:
    """Return the value of a cookie; nothing where there is none."""
    try:
        found = SimpleCookie(header or "").get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


def host_names(host: str, *, is_remote: bool) -> frozenset[str]:
    """Return the names that requests may be addressed to when we listen on `host`."""
    own = {socket.gethostname(), socket.getfqdn(), host} if is_remote else set()
    return LOOPBACK | {name.lower() for name in own}


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches a host."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "") if "@" not in host else ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def token_of(home: Path, name: str = TOKEN_FILE) -> str:
    """
    Return the token of a home, made at the first time: links and cookies last over restarts.

    Raises:
        UsageError: others may have written it.
        OSError: it can't be read, or written.
    """
    make_home(home)
    file = home / name
    require_private(file)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        write_atomically(file, f"{secrets.token_urlsafe(32)}\n".encode(), mode=0o600)
        return token_of(home, name)  # another dashboard may have been first
    with os.fdopen(descriptor, encoding="ascii") as lines:
        known = lines.read().strip()
    if len(known) < 32:
        file.unlink()
        return token_of(home, name)
    file.chmod(0o600)
    return known
