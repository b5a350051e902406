"""workflows/crawl.yaml: each page that can be reached, once, whoever is killed, and whatever the site answers."""

from __future__ import annotations

import importlib.util
import json
import socket
from collections import Counter
from pathlib import Path
from types import ModuleType
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from shipped import CHECKOUT
from storms import Storm

from runner.composition import run_file
from runner.events.report import Report

WORKFLOW = CHECKOUT / "workflows" / "crawl.yaml"


def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("crawl_site", WORKFLOW.with_name("crawl_site.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def reachable(start: str, pages: int) -> dict[str, str]:
    """Return what each page that can be reached is: pages, missing, or broken."""
    it, found, waiting = site(), dict[str, str](), [start]
    while waiting:
        url = waiting.pop()
        if url in found:
            continue
        path = urlsplit(url).path
        number = it.number_of(path)
        found[url] = "broken" if path == "/down" else "missing" if number is None else "pages"
        if number is not None:
            waiting += [urldefrag(urljoin(url, link)).url for link in it.links_of(number, pages)]
    return found


def written(folder: Path) -> Counter[tuple[str, str]]:
    """Count what the sinks have, by kind and address."""
    found: Counter[tuple[str, str]] = Counter()
    for kind in ("pages", "missing", "broken"):
        for line in (folder / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines():
            page = json.loads(line)
            found[kind, page.get("item", page)["url"]] += 1
    return found


def crawled(folder: Path, pages: int, storm: Storm | None = None, **more: object) -> tuple[Report, str]:
    port = free_port()
    start = f"http://127.0.0.1:{port}/"
    params = {"start": start, "port": port, "pages": pages, "folder": str(folder), "rate": 1000}
    overrides = [f"{name}={value}" for name, value in more.items()]
    observers = [] if storm is None else [storm]
    return run_file(WORKFLOW, params=params, overrides=overrides, observers=observers), start


@pytest.mark.slow
def test_each_page_is_had_once_and_what_is_missing_or_broken_is_apart(tmp_path: Path) -> None:
    report, start = crawled(tmp_path / "out", 30)

    expected = Counter((kind, url) for url, kind in reachable(start, 30).items())
    assert (0, expected) == (report.exit_code, written(tmp_path / "out")), report.reason
    (links,) = (queue for queue in report.queues if queue.name == "links")
    assert links.put == links.done + links.dropped + links.duplicates
    assert (len(expected), 1) == (links.done + links.dropped, links.dropped)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_so_it_is_whoever_is_killed(tmp_path: Path, seed: int) -> None:
    storm = Storm(seed, ["fetch", "pages", "missing", "broken"], most=15)

    with storm.blowing():
        more = {f"stages.{name}.restart": "{max: 1000}" for name in ("fetch", "pages", "missing", "broken")}
        more["stages.fetch.retry.attempts"] = "30"
        more["stages.fetch.retry.max_backoff"] = "60ms"
        report, start = crawled(tmp_path / "out", 120, storm, **more)

    expected = Counter((kind, url) for url, kind in reachable(start, 120).items())
    assert (0, True) == (report.exit_code, storm.kills > 0), report.reason
    assert expected == written(tmp_path / "out")
