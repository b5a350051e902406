"""The server's pages: which path shows what, as a page, and as the stream of what changes on it.

GET /runs/3f2a ────────► DashboardPage ──► SharedView ──► frame ──► HTML
GET /stream/runs/3f2a ──► DashboardPage ──► the same SharedView ──► server-sent events
POST /runs/3f2a/stop ───► actions ──► JSON: what was done, or why not
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from runner.errors import MprunError
from runner.render.page.markup import Markup
from runner.web.access import Access, Refusal
from runner.web.actions import Actions, Asked
from runner.web.dashboard import Dashboard, DashboardPage, Find
from runner.web.frame import SCRIPT, SCRIPT_PATH, framed_page, notice
from runner.web.guard import Guard, refuse
from runner.web.streams import (
    LONGEST_SEND,
    QUICK,
    SLOW,
    Draw,
    Seen,
    SharedView,
    SharedViews,
    first_lines,
    stream_event,
)
from runner.web.watched import known_run

METRICS_PATH = "/metrics"
RETRY = 1.0
"""Seconds after which a browser comes back whose stream broke off."""


class Site:
    """All pages of a dashboard, by their paths."""

    def __init__(self, dashboard: Dashboard, access: Access) -> None:
        self._dashboard = dashboard
        self._access = access
        self._views = SharedViews()
        self._actions = Actions(dashboard.stacks, dashboard.taps).by_name

    def routes(self) -> list[Route]:
        """Return all paths."""
        pages = self._dashboard.pages()
        shown = [Route(path, self._shown(find)) for path, find in pages.items()]
        streamed = [Route(f"/stream{path}", self._streamed(find)) for path, find in pages.items()]
        acting = [
            Route(f"/runs/{{run}}/{name}", self._acting(name), methods=["POST"]) for name in self._actions
        ]
        return [Route(SCRIPT_PATH, _script), Route(METRICS_PATH, self._metrics), *streamed, *shown, *acting]

    async def _metrics(self, request: Request) -> Response:
        """Answer a scraper. It brings its token as `Authorization: Bearer`, or in the query."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        token = given if scheme.lower() == "bearer" else request.query_params.get("token", "")
        if not self._access.may_scrape(token.strip(), request.headers.get("cookie")):
            return refuse(Refusal(401, "that is not the token of these metrics"))
        if find_spec("prometheus_client") is None:
            return refuse(Refusal(404, "metrics need an extra: pip install 'mprun[metrics]'"))
        from runner.telemetry.prometheus import exposition

        states = await asyncio.to_thread(lambda: list(self._dashboard.states()))
        kind, text = await asyncio.to_thread(exposition, states, request.headers.get("accept"))
        return Response(text, headers={"Content-Type": kind})

    def _view(self, page: DashboardPage) -> SharedView:
        return self._views.of(page.key, _careful(page.draw))

    def _shown(self, find: Find) -> Callable[[Request], object]:
        async def show(request: Request) -> Response:
            page = await asyncio.to_thread(find, request.path_params, request.query_params)
            fragments, seen = await self._view(page).look()
            return HTMLResponse(framed_page(page.title, page.links, fragments, str(seen)))

        return show

    def _streamed(self, find: Find) -> Callable[[Request], object]:
        async def stream(request: Request) -> Response:
            page = await asyncio.to_thread(find, request.path_params, request.query_params)
            seen = Seen.parse(request.headers.get("last-event-id") or request.query_params.get("seen"))
            pace = SLOW if "hidden" in request.query_params else QUICK
            return EventStream(_events(self._view(page), seen, pace))

        return stream

    def _acting(self, name: str) -> Callable[[Request], object]:
        async def act(request: Request) -> Response:
            run = await asyncio.to_thread(known_run, self._dashboard.runs, request.path_params["run"])
            asked = Asked.parse(await request.body())
            said = await asyncio.to_thread(self._actions[name], run.run_folder, asked)
            return JSONResponse({"said": said})

        return act


class EventStream(StreamingResponse):
    """A response without end. Whoever does not read what was sent is dropped."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def stream_response(self, send: Callable[..., object]) -> None:
        """Send it piece by piece, each within a time."""

        async def send_soon(message: object) -> None:
            await asyncio.wait_for(send(message), LONGEST_SEND)  # type: ignore[arg-type]

        try:
            await super().stream_response(send_soon)
        except TimeoutError:
            return


async def _events(view: SharedView, seen: Seen, pace: float) -> AsyncIterator[bytes]:
    yield first_lines(RETRY)
    async for news, now in view.changes(seen, pace):
        yield stream_event(news, now)


def _careful(draw: Callable[[], Mapping[str, Markup]]) -> Draw:
    """Draw, and where that can't be, say why above what there was."""

    def drawn() -> Mapping[str, str]:
        try:
            found = {"trouble": notice(None), **draw()}
        except MprunError as error:
            found = {"trouble": notice(str(error))}
        return {name: str(html) for name, html in found.items()}

    return drawn


async def _script(_: Request) -> Response:
    return Response(SCRIPT.read_bytes(), media_type="text/javascript")


async def _explain(request: Request, error: Exception) -> Response:
    if request.method == "POST":
        return JSONResponse({"error": str(error)}, status_code=409)
    return refuse(Refusal(404, str(error)))


async def _not_found(_: Request, __: Exception) -> Response:
    return refuse(Refusal(404, "there is no such page"))


def create_app(home: Path, access: Access) -> ASGIApp:
    """Return the application that serves the runs of a home."""
    site = Site(Dashboard(home, may_act=not access.read_only), access)
    handlers = {MprunError: _explain, 404: _not_found}
    app = Starlette(routes=site.routes(), exception_handlers=handlers)
    return Guard(app, access, frozenset({METRICS_PATH}))
