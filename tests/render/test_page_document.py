"""The page of a run: its sections, their order, what they say; that no text in it becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from run_pages import (
    BEGAN,
    chain,
    exited,
    failed,
    finished,
    job_began,
    job_ended,
    page_of,
    pipeline,
    progress,
    spawned,
    started,
    timed,
)

from runner.events.base import Event
from runner.render.page.document import SECTIONS, fragments, is_page, whole_page
from runner.render.page.model import RunPage
from runner.render.page.plots import PLOTS, NothingToPlot, draw_plot
from runner.render.page.svg import is_picture
from runner.spec.model import JobResult

EVIL = "<script>alert(1)</script>"
SHOWN = ["summary", "graph", "stages", "rate", "fill", "workers", "times", "slowest", "failures", "ledger"]


class Elements(HTMLParser):
    """The elements of a page, and the texts of some."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def jobs(evil: str = "lint") -> RunPage:
    happened: list[tuple[float, Event]] = [
        (0.0, started([], jobs=3)),
        (0.1, job_began("包子")),
        (0.2, job_began(evil)),
        (1.0, job_ended(evil, JobResult.FAILED, f"exit code 1 {evil}")),
        (4.0, job_ended("包子")),
        (4.1, job_began("deploy", needs=["包子"])),
        (5.0, job_ended("deploy")),
        (5.1, finished([], 5.1, 0, "1 job failed")),
    ]
    return page_of(happened, "failed")


def test_a_page_has_all_its_sections_in_one_order() -> None:
    text = whole_page(pipeline())

    found = re.findall(r'<section id="run-([\w-]+)"', text)
    assert [*SHOWN, "events", "setup"] == found
    assert [section.name for section in SECTIONS if section.name in found] == found


def test_each_fragment_is_one_element_with_its_own_id_also_where_it_is_empty() -> None:
    for page in (pipeline(), jobs(), page_of([])):
        for name, fragment in fragments(page).items():
            assert str(fragment).startswith(f'<section id="{name}"')
            assert 1 == str(fragment).count("<section")


def test_a_page_asks_for_nothing_and_says_whose_it_is() -> None:
    text = whole_page(pipeline())

    assert "script" not in Elements(text).tags
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    assert "http:" not in text
    assert "https:" not in text
    assert is_page(text.encode())
    assert not is_page(text.replace('content="mprun"', 'content="other"').encode())


def test_the_curve_of_the_run_adds_up_to_the_items_that_were_done() -> None:
    page = pipeline()
    text = str(fragments(page)["run-rate"])

    done = page.report.stage("saver").done
    assert done == pytest.approx(items_under(text), rel=0.01)


def items_under(text: str) -> float:
    """Integrate the first curve of a fragment, by its path and what its picture says of its scales."""
    picture = re.search(r'<svg [^>]*data-chart="rate"[^>]*>', text)
    path = re.search(r'<path d="M0 (\d+)([^"]*)"[^>]*data-curve', text)
    view = re.search(r'viewBox="0 0 ([\d.]+) ', text)
    assert picture is not None
    assert path is not None
    assert view is not None
    scale = {key: float(value) for key, value in re.findall(r'data-(\w+)="([\d.]+)"', picture[0])}
    height, area = float(path[1]), 0.0
    for letter, amount in re.findall(r"([hv])(-?\d+)", path[2]):
        if letter == "v":
            height += float(amount)
        else:
            area += float(amount) * (scale["unit"] - height)
    return area / scale["unit"] * scale["top"] * scale["seconds"] / float(view[1])


def test_a_long_chain_of_stages_is_laid_out_in_rows_that_are_no_wider_than_a_page() -> None:
    names = [f"{n}. stage of a long chain" for n in range(30)]

    graph = str(fragments(pipeline(names, seconds=2))["run-graph"])

    width = int(re.findall(r'<svg width="(\d+)"', graph)[0])
    assert width < 1100
    assert names == re.findall(r"<g><title>(\d+\. [^<]*)</title><rect", graph)
    assert 29 == graph.count("full 50% of the time")


def test_what_is_written_back_is_told_below_the_graph_and_so_is_a_stage_by_itself() -> None:
    stages = chain(["seeds", "fetch", "save"])
    stages[1]["targets"] = ["to save", "to fetch"]
    stages.append({**stages[0], "name": "clock", "to": None, "targets": [], "role": "plain"})

    graph = str(fragments(page_of([(0.0, started(stages)), (1.0, progress(stages, 1.0, 5))]))["run-graph"])

    assert "fetch writes back to to fetch" in graph
    assert "By itself: clock" in graph


def test_queues_in_which_hardly_anything_waits_are_told_in_a_line_where_there_are_many() -> None:
    stages = chain([f"s{n}" for n in range(10)])
    happened: list[tuple[float, Event]] = [(0.0, started(stages))]
    for n in range(1, 9):
        snapshot = progress(stages, n / 4, n)
        for queue in snapshot.queues[1:]:
            queue.update(peak=2, full_seconds=0.0)
        happened.append((n / 4, snapshot))

    fill = str(fragments(page_of(happened))["run-fill"])

    assert 1 == fill.count('data-chart="fill"')
    assert "Never filled by a twentieth: to s2 (2 of 50)" in fill


def test_the_death_of_a_worker_is_a_red_tick_that_tells_why_and_its_restart_a_black_one() -> None:
    text = str(fragments(pipeline())["run-workers"])

    assert 1 == text.count('data-tick="death"')
    assert 1 == text.count('data-tick="restart"')
    assert "saver-1 died" in text
    assert "SIGKILL" in text
    assert 4 == text.count("data-row=")


def test_more_workers_than_there_is_room_for_are_drawn_by_stage() -> None:
    stages = chain(["lister", "parser"], workers=40)
    happened: list[tuple[float, Event]] = [(0.0, started(stages))]
    happened += [(0.1, spawned(s["name"], f"{s['name']}-{n}")) for s in stages for n in range(40)]
    happened += [(n / 4, progress(stages, n / 4, n)) for n in range(1, 40)]

    text = str(fragments(page_of(happened, "running"))["run-workers"])

    assert 2 == text.count("data-row=")
    assert "parser ×40" in text


def test_failures_are_told_by_kind_with_the_most_frequent_first() -> None:
    text = str(fragments(pipeline())["run-failures"])

    assert "21 failures of 3 kinds" in text  # one of them is the worker that died
    assert ["10", "10", "1"] == re.findall(r'<b class="n c-bad">(\d+)</b>', text)


def test_a_run_that_goes_on_and_one_that_was_killed_say_so_on_top() -> None:
    for outcome, words in (("running", "running for"), ("killed", "killed after")):
        stages = chain(["lister", "parser"])
        page = page_of([(0.0, started(stages)), (2.0, progress(stages, 2.0, 7))], outcome)

        head = str(fragments(page)["run-summary"])

        assert words in head
        assert "Exit code" not in head


def test_a_run_of_jobs_has_a_row_for_each_job_and_shows_what_held_up_its_end() -> None:
    found = fragments(jobs())

    assert 3 == str(found["run-gantt"]).count("data-job=")
    assert 2 == str(found["run-gantt"]).count("data-critical=")
    assert "包子 → deploy" in str(found["run-critical-path"])
    assert "exit code 1" in str(found["run-logs"])
    assert str(found["run-stages"]) == '<section id="run-stages" hidden="true"></section>'


def evil_run(text: str) -> RunPage:
    stages = chain([text, f"包子{text}"])
    last = stages[1]["name"]
    happened: list[tuple[float, Event]] = [
        (0.0, started(stages, workflow=text)),
        (0.1, spawned(last, text)),
        *((n / 4, progress(stages, n / 4, n)) for n in range(1, 40)),
        (10.0, failed(last, text, text, f"{text}: {text}", f'  File "{text}", line 1, in {text}')),
        (10.1, exited(last, text, died=True)),
        (10.2, timed(last)),
        (11.0, finished(stages, 11.0, 40, f"it was {text}")),
    ]
    facts = {"argv": ["mprun", text], "cwd": text, "host": text, "params": [text], "overrides": [text]}
    facts |= {"text": text, "included": {text: text}, "versions": {text: text}, "modules": [text]}
    return page_of(happened, "failed", facts)


def test_what_a_user_calls_things_never_becomes_markup() -> None:
    plain, evil = whole_page(evil_run("text")), whole_page(evil_run(EVIL))

    assert sorted(set(Elements(plain).tags)) == sorted(set(Elements(evil).tags))
    assert "<script" not in evil
    assert EVIL in "".join(Elements(evil).texts)
    assert "<script" not in whole_page(jobs(EVIL))
    assert all("<script" not in draw_plot(evil_run(EVIL), what) for what in PLOTS)


@pytest.mark.slow
def test_the_page_of_a_big_run_is_bounded() -> None:
    stages = chain([f"stage-{n}" for n in range(8)], workers=25)
    happened: list[tuple[float, Event]] = [(0.0, started(stages))]
    happened += [(0.1, spawned(s["name"], f"{s['name']}-{n}")) for s in stages for n in range(25)]
    happened += [(float(n), progress(stages, float(n), n * (n % 7))) for n in range(1, 5000)]
    trace = '  File "shop.py", line 1, in parse\n' * 60
    for n in range(5000):
        error = f"ValueError: of kind {'x' * (n % 70)} {n}"
        happened.append((5000.0 + n / 100, failed("stage-3", "stage-3-1", f"item {n} " * 10, error, trace)))
    happened += [(5060.0, timed(stage["name"])) for stage in stages]
    happened += [
        (5060.0, exited(s["name"], f"{s['name']}-{n}", died=True)) for s in stages for n in range(25)
    ]
    facts = {"text": "stages: {}\n" * 100_000}

    text = whole_page(page_of(happened, "killed", facts))

    assert 50_000 < len(text.encode()) < 1 << 20


def test_a_plot_is_a_file_of_its_own_and_is_known_as_ours() -> None:
    for what in PLOTS:
        drawn = draw_plot(pipeline(), what)

        assert is_picture(drawn.encode())
        assert "shop" in drawn


def test_what_a_run_has_nothing_of_is_not_plotted_but_said() -> None:
    page = page_of([(0.0, started(chain(["lister", "parser"])))])

    for what in PLOTS:
        with pytest.raises(NothingToPlot, match=r"\w"):
            draw_plot(page, what)


def test_a_page_of_nothing_is_a_page() -> None:
    text = whole_page(page_of([], "unknown"))

    assert is_page(text.encode())
    assert BEGAN  # no event had a moment: nothing is divided by no time
