"""The handlers of crawl.yaml.

begin ──► links ──► fetch ──► pages, missing │ broken
            ▲         │
            └─────────┘ each link of the page that is on the same host
"""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urldefrag, urljoin, urlsplit

from mprun import Route

LINK = re.compile(r'<a\s[^>]*href="([^"]*)"', re.IGNORECASE)
TITLE = re.compile(r"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class Busy(Exception):
    """The server asks to be asked again, later."""


def begin(url: str, patience: float = 10.0) -> Iterator[dict[str, str]]:
    """Yield the first link, once somebody answers there."""
    until = time.monotonic() + patience
    while True:
        try:
            urllib.request.urlopen(url, timeout=patience).close()
        except urllib.error.HTTPError:
            break  # that is an answer too
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            break
    yield link(url, found_on="")


def fetch(item: dict[str, str]) -> Iterator[Route | dict[str, object]]:
    """Get a page: yield its links for the queue of links, and then the page, whose way its status says."""
    status, text = get(item["url"])
    for href in LINK.findall(text):
        url = urldefrag(urljoin(item["url"], href)).url
        if urlsplit(url).netloc == item["host"]:
            yield Route("links", link(url, found_on=item["url"]))
    title = TITLE.search(text)
    yield {**item, "status": status, "title": title[1].strip() if title else None}


def get(url: str) -> tuple[int, str]:
    """Return the status and the text of a page. Raises `Busy`, and OSError where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        if error.code in (429, 503):
            raise Busy(f"{url}: {error.code} {error.reason}") from None
        return error.code, ""


def link(url: str, found_on: str) -> dict[str, str]:
    return {"url": url, "host": urlsplit(url).netloc, "found_on": found_on}
