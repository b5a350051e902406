"""Pages of a JSON API: the producer's side of the kind `http`.

GET url ──► {"items": [{…}, {…}], "next": "…?page=2"} ──► each item ──► GET the next page
 └── no answer, 429, 5xx ──► once more, later and later      by a link in the page or its head, or by a counter

Where it is, is noted page by page: whoever takes a killed worker's place asks for that page once more, and leaves out
what of it is in. That can be known only where the page is still the same.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from runner.errors import HandlerError
from runner.facts import dataclass
from runner.handlers.kinds import Handler, HandlerKind, Source, WorkerContext
from runner.handlers.sources.counting import wait_until
from runner.spec.model import Role
from runner.units import DURATION_PATTERN, backoff, duration

if TYPE_CHECKING:
    from email.message import Message

_AGENT = "mprun"
_LONGEST_WAIT = 60.0
_PAGE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """One answer."""

    url: str
    body: Any
    links: str
    """The head `Link`, empty where there is none."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The beginning of a page."""

    start: int
    """Items that lie before it, on other pages."""
    page: int
    """How many pages do."""
    url: str
    digest: str = ""
    """What its items come to; empty where that is not known."""


class _Refused(Exception):
    """The server, or the way to it, says no; `again` tells after how many seconds another try is worth it."""

    def __init__(self, why: str, again: float | None) -> None:
        super().__init__(why)
        self.again = again


class _Stopped(Exception):
    """The worker is to end before the next try."""


class HttpPages:
    """Asks for page after page."""

    def __init__(self, options: Mapping[str, Any], context: WorkerContext) -> None:
        self._options = options
        self._context = context
        self._timeout = duration(options.get("timeout", "30s"))
        self._attempts: int = options.get("attempts", 4)
        self._most: int | None = options.get("pages")

    def items(self) -> Iterator[object]:
        """Yield what the pages hold, behind what earlier generations of the worker have put."""
        state = self._context.state
        begin = _Place(**json.loads(state)) if state else _Place(0, 0, self._first_url())
        start, left = begin.start, self._context.offset - begin.start
        for number, page in enumerate(self._pages(begin), begin.page):
            items = self._items_in(page)
            place = _Place(start, number, page.url, _digest(items))
            if left and number == begin.page and begin.digest not in ("", place.digest):
                raise self._changed(page.url, left)
            self._context.note_place(start, json.dumps(asdict(place)).encode())
            yield from items[left:]
            start, left = start + len(items), max(0, left - len(items))
            if self._most is not None:
                self._context.progress(number + 1, self._most)
        if left and not self._context.stopping():
            raise self._changed(begin.url, left)

    @staticmethod
    def _changed(url: str, put: int) -> HandlerError:
        return HandlerError(
            f"{url}: the page has changed since {put:,} of its items were put by a worker that was killed: which of "
            "them are new can't be told"
        )

    def _first_url(self) -> str:
        url, counter = self._options["url"], self._options.get("counter")
        return url if counter is None else self._counted(counter, 0)

    def _pages(self, begin: _Place) -> Iterator[Page]:
        """Yield pages until there is no next one; by a counter, until one is empty."""
        counter, url, seen = self._options.get("counter"), begin.url, set[str]()
        try:
            for number in itertools.count(begin.page):
                if self._context.stopping():
                    return
                if url in seen:
                    raise HandlerError(f"{url}: the pages go round in a circle: this one came before")
                seen.add(url)
                page = self._ask_patiently(url)
                if counter is not None and not self._items_in(page):
                    return
                yield page
                if number + 1 == self._most:
                    return
                following = self._next(page) if counter is None else self._counted(counter, number + 1)
                if following is None:
                    return
                url = following
        except _Stopped:
            return

    def _counted(self, counter: Mapping[str, Any], page: int) -> str:
        number = counter.get("start", 1) + page * counter.get("step", 1)
        return _with_query(self._options["url"], counter["name"], number)

    def _items_in(self, page: Page) -> list[object]:
        where = self._options.get("items", "")
        found = _field(page.body, where)
        if not isinstance(found, list):
            what = f"`{where}`" if where else "the page"
            raise HandlerError(
                f"{page.url}: expected a list in {what}, got {_kind(found)}; `items` says where it is"
            )
        return found

    def _next(self, page: Page) -> str | None:
        where = self._options.get("next")
        link = _link_of(page.links) if where is None else _field(page.body, where)
        if link is None or link == "" or link is False:
            return None
        if not isinstance(link, str):
            raise HandlerError(f"{page.url}: expected a link in `{where}`, got {_kind(link)}")
        following = urljoin(page.url, link)
        _check_scheme(following, f"{page.url}: the link to the next page")
        return following

    def _ask_patiently(self, url: str) -> Page:
        for attempt in range(1, self._attempts + 1):
            try:
                return self._ask(url)
            except _Refused as refused:
                if refused.again is None or attempt == self._attempts:
                    times = f", {attempt} times" if attempt > 1 else ""
                    raise HandlerError(f"{url}: {refused}{times}") from refused
                wait = max(refused.again, backoff(0.5, attempt, _LONGEST_WAIT))
                if not wait_until(time.monotonic() + min(wait, _LONGEST_WAIT), self._context):
                    raise _Stopped from None
        raise AssertionError("there is at least one attempt")

    def _ask(self, url: str) -> Page:
        from http.client import HTTPException, InvalidURL
        from urllib.error import HTTPError, URLError
        from urllib.request import Request, urlopen

        request = Request(url, headers={"Accept": "application/json", "User-Agent": _AGENT})
        if urlsplit(url).netloc == urlsplit(self._options["url"]).netloc:
            # What may be a secret goes to nobody else, whatever a page or a redirect says.
            for name, value in self._options.get("headers", {}).items():
                request.add_unredirected_header(name, value)
        try:
            with urlopen(request, timeout=self._timeout) as answer:
                raw, links = answer.read(_PAGE_BYTES + 1), answer.headers.get("Link") or ""
                missing = answer.length or 0
        except HTTPError as error:
            with error:
                raise _Refused(f"{error.code} {error.reason}", _worth_it(error.code, error.headers)) from None
        except URLError as error:
            raise _Refused(f"no answer: {error.reason}", 0.0) from None
        except TimeoutError:
            raise _Refused(f"no answer within {self._options.get('timeout', '30s')}", 0.0) from None
        except InvalidURL as error:
            raise HandlerError(f"{url}: {error}") from None
        except (HTTPException, OSError) as error:
            raise _Refused(f"the answer is cut short: {error}", 0.0) from None
        if missing and len(raw) <= _PAGE_BYTES:
            raise _Refused(f"the answer is cut short: {missing} bytes of it are missing", 0.0)
        if len(raw) > _PAGE_BYTES:
            raise HandlerError(f"{url}: the page is longer than {_PAGE_BYTES} bytes")
        try:
            return Page(url, json.loads(raw), links)
        except ValueError as error:
            raise HandlerError(f"{url}: the page is not JSON: {error}") from None


def _digest(items: list[object]) -> str:
    return sha256(json.dumps(items).encode()).hexdigest()


def _worth_it(code: int, heads: Message) -> float | None:
    """Return the seconds after which to ask again; None where that is of no use."""
    if code not in (408, 425, 429) and code < 500:
        return None
    after = heads.get("Retry-After") or ""
    return float(after) if after.isdecimal() else 0.0


def _with_query(url: str, name: str, value: int) -> str:
    parts = urlsplit(url)
    query = [
        *(each for each in parse_qsl(parts.query, keep_blank_values=True) if each[0] != name),
        (name, str(value)),
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _field(body: Any, path: str) -> Any:
    """Return what is at `data.items` in a page; None if it is not there."""
    for step in filter(None, path.split(".")):
        body = body.get(step) if isinstance(body, dict) else None
    return body


def _link_of(head: str) -> str | None:
    """Return the link to the next page in a head such as `<https://…?page=2>; rel="next"`."""
    for part in head.split(","):
        target, _, more = part.partition(";")
        if 'rel="next"' in more.replace(" ", "") or "rel=next" in more.replace(" ", ""):
            return target.strip().removeprefix("<").removesuffix(">")
    return None


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "a truth value", type(None): "nothing"}
    return names.get(type(value), "a number")


def _check_scheme(url: str, what: str) -> None:
    """Raise `HandlerError` for what is no address on the web: a page must not make us read a file."""
    if not url.lower().startswith(("http://", "https://")):
        raise HandlerError(f"{what}: expected http://… or https://…, got '{url}'")


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    _check_scheme(options["url"], "`url`")
    return Source(HttpPages(options, context).items)


HTTP = HandlerKind(
    name="http",
    summary=(
        "Make an item of each entry of the pages of a JSON API, page after page: by a link to the next one, or a "
        "counter. A page that does not come is asked for again."
    ),
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": "object",
        "properties": {
            "url": {"type": "string", "minLength": 1, "description": "The first page."},
            "items": {
                "type": "string",
                "default": "",
                "description": "Where in a page its items are: `data.results`, say; without it, a page is their list.",
            },
            "next": {
                "type": "string",
                "description": (
                    "Where in a page the link to the next one is, such as `links.next`; without it, and without "
                    "`counter`, the head `Link` says so. Where there is none, that page is the last."
                ),
            },
            "counter": {
                "type": "object",
                "properties": {
                    "name": {
                        "type": "string",
                        "minLength": 1,
                        "description": "What it is called in the URL: `page`.",
                    },
                    "start": {
                        "type": "integer",
                        "default": 1,
                        "description": "The number of the first page.",
                    },
                    "step": {
                        "type": "integer",
                        "default": 1,
                        "description": "What it grows by.",
                    },
                },
                "required": ["name"],
                "additionalProperties": False,
                "description": "A number in the URL that says which page it is. The first without items ends it.",
            },
            "pages": {
                "type": "integer",
                "minimum": 1,
                "description": "The most pages to ask for; without it, all.",
            },
            "headers": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "default": {},
                "description": "What goes along with each request, such as `Authorization`.",
            },
            "timeout": {
                "type": "string",
                "pattern": DURATION_PATTERN,
                "title": "a duration such as 500ms, 1.5s or 2m",
                "default": "30s",
                "description": "How long the server may take to answer, and to go on.",
            },
            "attempts": {
                "type": "integer",
                "minimum": 1,
                "default": 4,
                "description": (
                    "How often a page is asked for where there is no answer, or one that says to try again: 408, 425, "
                    "429 and 5xx. The waits between grow from half a second; a `Retry-After` is heeded, up to a minute."
                ),
            },
        },
        "required": ["url"],
        "additionalProperties": False,
    },
    example="""\
stages:
  issues:
    run: {http: {url: "https://api.example.com/issues", items: data, next: links.next}}
    to: issues
""",
    build=_build,
    unshared=lambda _options: "a page tells where the next one is, and each would ask for all",
    resumes=lambda _options: True,
)
