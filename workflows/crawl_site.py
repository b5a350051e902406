"""A site to crawl: pages that link to each other, back and to themselves, slow ones, some that are missing, and some
that say 503 the first time, or always. `python crawl_site.py 8765 200` serves it by itself.

page n ──► 2n+1, 2n+2, n/2, n, /missing-n for each tenth, /down for each fiftieth
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW, FLAKY, BROKEN_LINK, TO_THE_DOWN = 7, 5, 10, 50
"""Each how manyth page is slow, says 503 at first, links to one that is missing, and to one that is always down."""
DELAY = 0.1


def serve(port: int, pages: int) -> None:
    """Serve for ever."""
    Site(port, pages).serve_forever()


class Site(ThreadingHTTPServer):
    """The pages, and how often each was asked for."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, pages: int) -> None:
        super().__init__(("127.0.0.1", port), _Page)
        self.pages = pages
        self.asked: Counter[str] = Counter()

    def answer(self, path: str) -> tuple[int, str]:
        """Return the status and the text of a page."""
        self.asked[path] += 1
        number = number_of(path)
        if path == "/down":
            return 503, ""
        if number is None or number >= self.pages:
            return 404, ""
        if number % SLOW == SLOW - 1:
            time.sleep(DELAY)
        if number % FLAKY == FLAKY - 1 and self.asked[path] == 1:
            return 503, ""
        links = "".join(f'<li><a href="{each}">there</a></li>' for each in links_of(number, self.pages))
        return 200, f"<title>Page {number} 第{number}页</title><ul>{links}</ul>"


class _Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        status, text = self.server.answer(self.path)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Whoever runs the crawl has enough to read."""


def number_of(path: str) -> int | None:
    """Return the number of a page; None where a path is none of one."""
    name = path.removeprefix("/")
    return int(name or 0) if name == "" or name.isdecimal() else None


def links_of(number: int, pages: int) -> list[str]:
    """Return what a page links to."""
    near = [each for each in (2 * number + 1, 2 * number + 2, number // 2, number) if each < pages]
    more = [f"/missing-{number}"] if number % BROKEN_LINK == 0 else []
    return [*map(str, near), *more, *(["/down#now"] if number % TO_THE_DOWN == 0 else [])]


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
