"""A real Chromium for tests of what people look at: each visit says what its page asked for and complained of.

MPRUN_BROWSER names the browser, which then has to be there. Without it Debian's `chromium` is taken; where there is
none, or no Playwright, these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LAUNCH_SECONDS = 120
"""A machine whose cores are all busy takes its time."""
QUIET = (
    *("--no-sandbox", "--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass
class Visit:
    """One page in a browser of its own, and all that it has asked for and said since."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """The addresses that it asked for, but its own."""
    complaints: list[str] = field(default_factory=list)
    """What stands in its console: messages, faults of scripts."""


Visitor = Callable[..., Visit]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser that all tests of one process share; each visit is a profile of its own."""
    named = os.environ.get("MPRUN_BROWSER")
    found = shutil.which(named or "chromium")
    if named and not found:
        pytest.fail(f"MPRUN_BROWSER: '{named}' is not there", pytrace=False)
    if not found:
        pytest.skip("there is no chromium here: `apt-get install chromium` has it")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        if named:
            raise
        pytest.skip("there is no Playwright here: pip install -c constraints.txt -e '.[browser]'")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=found, args=list(QUIET), timeout=LAUNCH_SECONDS * 1000
        )
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visitor]:
    """
    Open an address in a profile of its own: `visit(url, width=390, dark=True)`.

    Without `online` there is no network, without `scripts` no JavaScript: what a page is when it is mailed.
    """
    contexts = []

    def open_page(
        url: str,
        *,
        width: int = 1280,
        height: int = 800,
        dark: bool = False,
        scripts: bool = False,
        online: bool = False,
        **options: Any,
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            offline=not online,
            **options,
        )
        contexts.append(context)
        context.set_default_timeout(60_000)
        visited = Visit(context.new_page())
        visited.page.on(
            "request", lambda asked: None if asked.url == url else visited.requests.append(asked.url)
        )
        visited.page.on("console", lambda message: visited.complaints.append(message.text))
        visited.page.on("pageerror", lambda error: visited.complaints.append(str(error)))
        visited.page.goto(url)
        return visited

    yield open_page
    for context in contexts:
        context.close()
