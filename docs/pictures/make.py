"""Makes the pictures of docs/watching.md: of one real run, watched by what they show.

    mprun run shop.yaml ──┬── RunWatch ──► the screen of top ──► top.svg
                          ├── mprun dashboard ──► Chromium ──► dashboard.png, dashboard-dark.png
                          └── its end: mprun report ──► Chromium ──► page.png; mprun plot ──► plot.svg

    python docs/pictures/make.py [FOLDER]     into FOLDER instead of beside this file; --items N for a shorter run

Needs the extras `web` and `browser`, and a Chromium: $MPRUN_BROWSER, or Debian's `chromium`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.text import Text

from runner.errors import MprunError
from runner.render.top.drawing import drawn
from runner.render.top.parts import eta_words
from runner.render.top.screens import screen_lines
from runner.render.top.view import Beside, Screen, Surface, View
from runner.watch.client import RunWatch, find_watchable
from runner.watch.state import RunState

HERE = Path(__file__).resolve().parent
COLUMNS, ROWS = 80, 24
ITEMS = 4000
_START_TIMEOUT = 60.0
_BROWSER_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# As `rich` has it, less the font that it would fetch, and with a frame that suits light and dark pages.
_SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="a terminal">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>{lines}</defs>
<rect width="{width}" height="{height}" rx="8" fill="#1c1f24"/>
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g></svg>
"""


def main() -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description="Make the pictures of docs/watching.md.")
    parser.add_argument("folder", type=lambda given: Path(given).resolve(), nargs="?", default=HERE)
    parser.add_argument("--items", type=int, default=ITEMS)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, _browser() as browser:
        shop = Path(work) / "shop"
        shutil.copytree(HERE, shop, ignore=shutil.ignore_patterns("*.svg", "*.png", "make.py", "__pycache__"))
        env = {**os.environ, "MPRUN_HOME": str(shop / ".mprun")}
        with _running(shop, env, asked.items) as run:
            state = _watch(shop / ".mprun", items=asked.items // 2)
            _draw_top(state, asked.folder)
            _picture_dashboard(browser, shop, env, state.run, asked.folder)
            run.wait()
        _picture_page(browser, shop, env, asked.folder)


@contextmanager
def _browser() -> Iterator[Browser]:
    found = shutil.which(os.environ.get("MPRUN_BROWSER", "chromium"))
    if found is None:
        sys.exit("there is no chromium here: `apt-get install chromium` has it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*_BROWSER_FLAGS], timeout=120_000)
        yield browser
        browser.close()


@contextmanager
def _running(shop: Path, env: dict[str, str], items: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the workflow beside all else; whatever goes wrong here ends it."""
    command = [*_mprun(), "run", "shop.yaml", "-q", "--param", f"items={items}"]
    run = subprocess.Popen(command, cwd=shop, env=env, stderr=subprocess.DEVNULL)
    try:
        yield run
    finally:
        if run.poll() is None:
            run.terminate()
        run.wait()


def _mprun() -> list[str]:
    return [sys.executable, "-m", "mprun"]


def _watch(home: Path, items: int) -> RunState:
    """Watch the run until so many items have come to its end."""
    with _attached(home) as watch:
        while not watch.is_over and _done(watch.state) < items:
            watch.wait(0.25)
        return watch.state


def _attached(home: Path) -> RunWatch:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            return RunWatch(find_watchable("shop", home))
        except MprunError:  # it has not begun yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _done(state: RunState) -> int:
    return next((stage.counts["done"] for stage in state.stages() if stage.name == "saver"), 0)


def _draw_top(state: RunState, folder: Path) -> None:
    view = View(chosen={Screen.RUN: "parser"})
    lines = screen_lines(state, view, Surface(COLUMNS, ROWS, state.told), Beside(eta=eta_words(state, None)))
    (folder / "top.svg").write_text(_as_svg(drawn(lines, COLUMNS)), encoding="utf-8")


def _as_svg(lines: list[str]) -> str:
    console = Console(
        record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in lines:
        console.print(Text.from_ansi(line), no_wrap=True, overflow="crop", crop=True)
    return console.export_svg(title="", code_format=_SVG, unique_id="top", font_aspect_ratio=0.61)


def _picture_dashboard(browser: Browser, shop: Path, env: dict[str, str], run: str, folder: Path) -> None:
    command = [*_mprun(), "dashboard", "--port", "0", "--read-only"]
    dashboard = subprocess.Popen(
        command, cwd=shop, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert dashboard.stdout is not None
        link = next(
            found[0] for line in dashboard.stdout if (found := re.search(r"http://\S+/login\S+", line))
        )
        base = link.partition("/login")[0]
        for name, dark in (("dashboard", False), ("dashboard-dark", True)):
            page = browser.new_page(
                viewport={"width": 1280, "height": 900}, color_scheme="dark" if dark else "light"
            )
            page.goto(link)
            page.goto(f"{base}/runs/{run}")
            page.wait_for_selector("svg")
            page.wait_for_timeout(3000)  # some words of the stream
            page.screenshot(path=folder / f"{name}.png")
            page.close()
    finally:
        dashboard.terminate()
        dashboard.wait()


def _picture_page(browser: Browser, shop: Path, env: dict[str, str], folder: Path) -> None:
    html, plot = shop / "shop.html", folder / "plot.svg"
    plot.unlink(missing_ok=True)
    subprocess.run([*_mprun(), "report", "shop", "-o", str(html)], cwd=shop, env=env, check=True)
    subprocess.run([*_mprun(), "plot", "shop", "fill", "-o", str(plot)], cwd=shop, env=env, check=True)
    page = browser.new_page(viewport={"width": 1280, "height": 1500})
    page.goto(html.as_uri())
    page.screenshot(path=folder / "page.png")
    page.close()


if __name__ == "__main__":
    main()
