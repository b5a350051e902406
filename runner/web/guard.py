"""The door of the server: lets through what `Access` lets in, signs in, and answers everything else itself.

A middleware that hands streams on as they are, and adds what every answer says against frames, scripts and guessing.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runner.web.access import COOKIE_SECONDS, HEADERS, Access, Refusal
from runner.web.frame import refusal_page

LOGIN = "/login"
_STRANGER = Refusal(401, "you are not signed in")
MOST_BYTES = 64 * 1024
"""Of what a request sends: actions are short."""


class Guard:
    """Wraps the pages."""

    def __init__(self, app: ASGIApp, access: Access, open_paths: frozenset[str] = frozenset()) -> None:
        """`open_paths` are let through without a cookie, and see to it themselves who gets what."""
        self._app = app
        self._access = access
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._answer(scope, Headers(scope=scope))
        await (answer or self._app)(scope, receive, send_guarded)

    def _answer(self, scope: Scope, headers: Headers) -> Response | None:
        """Answer what is not let through, and who signs in; None for what is."""
        access = self._access
        refusal = access.refuse_host(headers.get("host"))
        if refusal is None and scope["path"] == LOGIN:
            return self._sign_in(scope)
        if refusal is None and scope["path"] in self._open:
            return None
        if refusal is None and not access.is_signed_in(headers.get("cookie")):
            # Led here from another page, a browser keeps back the cookie that it was given: it comes again from ours.
            return refuse(_STRANGER, again=headers.get("sec-fetch-site") == "cross-site")
        refusal = refusal or access.refuse_change(scope["method"], headers) or _refuse_size(headers)
        return None if refusal is None else refuse(refusal)

    def _sign_in(self, scope: Scope) -> Response:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1]
        if scope["method"] not in ("GET", "HEAD") or not self._access.is_token(given):
            return refuse(Refusal(401, "that is not the token of this dashboard"))
        signed_in = RedirectResponse("/", status_code=303)
        signed_in.set_cookie(
            self._access.cookie_name,
            self._access.cookie_value,
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="strict",
        )
        return signed_in


def _refuse_size(headers: Headers) -> Refusal | None:
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not length.isdigit() or int(length) > MOST_BYTES:
        return Refusal(413, f"a request may bring {MOST_BYTES:,} bytes, and says how many they are")
    return None


def refuse(refusal: Refusal, *, again: bool = False) -> Response:
    """Return the page that says why there is none; `again`: and that asks once more."""
    page = refusal_page(refusal.status, refusal.why, again=again)
    return HTMLResponse(page, status_code=refusal.status)
