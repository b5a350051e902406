"""A notebook that uses mprun, run by a kernel of its own: what its cells show, and that an interrupt leaves nothing."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

CHILDREN = """
import pathlib
[p for task in pathlib.Path("/proc/self/task").iterdir() for p in (task / "children").read_text().split()]
"""


class Notebook:
    """A kernel, and the cells that it was given."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client

    def run(self, text: str) -> Any:
        """Run one cell; return it with its outputs."""
        cell = nbformat.v4.new_code_cell(text.strip())
        self._client.nb.cells.append(cell)
        return self._client.execute_cell(cell, len(self._client.nb.cells) - 1)

    def interrupt_once(self, text: str) -> Any:
        """Run one cell, and interrupt the kernel once the cell has printed something."""

        def interrupt() -> None:
            cell = self._client.nb.cells[-1]
            while not cell.get("outputs"):
                time.sleep(0.01)
            self._client.km.provisioner.process.send_signal(2)

        thread = threading.Timer(0.5, interrupt)
        thread.start()
        try:
            return self.run(text)
        finally:
            thread.join()


def text_of(cell: Any) -> str:
    """What a cell has printed."""
    return "".join(each["text"] for each in cell.outputs if each["output_type"] == "stream")


def result_of(cell: Any) -> Any:
    """What the last line of a cell has given, by kind of data."""
    return next(each["data"] for each in cell.outputs if each["output_type"] == "execute_result")


def error_of(cell: Any) -> tuple[str, str]:
    """The exception that ended a cell: its name, and the whole traceback without colours."""
    found = next(each for each in cell.outputs if each["output_type"] == "error")
    return found["ename"], re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(found["traceback"]))


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=120, allow_errors=True)
    with client.setup_kernel():
        opened = Notebook(client)
        opened.run("import threading, time, mprun\nimport numpy as np")
        yield opened
        assert "[]" == result_of(opened.run(CHILDREN))["text/plain"]


def test_a_flow_of_closures_prints_into_its_cell_and_shows_its_report(notebook: Notebook) -> None:
    cell = notebook.run("""
factor = 3
def load(x):
    print("loading", x)
    return x * factor
flow = mprun.Flow("<prep>").source(range(4)).stage(load, count=2).batch(4).sink(lambda b: print(sorted(b)))
report = mprun.Flow("prep").source(range(4)).stage(load, count=2).sink({"null": {}}).run(progress=True)
report
""")

    assert ["loading 0", "loading 1", "loading 2", "loading 3"] == sorted(text_of(cell).split("\n"))[1:]
    shown = result_of(cell)
    assert "<table" in shown["text/html"]
    assert "prep: done after" in shown["text/plain"]
    progress = [each for each in cell.outputs if each["output_type"] == "display_data"]
    assert 1 == len(progress)
    assert "prep  done after" in progress[0]["data"]["text/plain"]


def test_imap_sees_arrays_of_the_notebook(notebook: Notebook) -> None:
    cell = notebook.run("""
weights = np.arange(1_000_000)
[y for y in mprun.imap(lambda i: int(weights[i]) + factor, range(3), workers=2)]
""")

    assert "[3, 4, 5]" == result_of(cell)["text/plain"]


def test_what_fails_shows_the_line_of_the_cell_that_raised(notebook: Notebook) -> None:
    name, traceback = error_of(
        notebook.run("""
def fail(x):
    raise ValueError("<b>no</b>")
list(mprun.imap(fail, range(3), workers=2))
""")
    )

    assert "ValueError" == name
    assert "in fail" in traceback
    assert 'raise ValueError("<b>no</b>")' in traceback


def test_a_failed_run_shows_its_report_with_what_is_of_users_escaped(notebook: Notebook) -> None:
    cell = notebook.run("""
mprun.Flow("f").source(range(3)).sink(fail).run(check=False)
""")

    assert "&lt;b&gt;no&lt;/b&gt;" in result_of(cell)["text/html"]
    assert "<b>no</b>" not in result_of(cell)["text/html"]


@pytest.mark.parametrize(
    "loop",
    [
        "for _ in mprun.imap(wait, range(9), workers=2): pass",
        "mprun.Flow('w', {'limits': {'stop_timeout': '100ms', 'close_timeout': '100ms'}})"
        ".source(range(9)).sink(wait, count=2).run()",
    ],
)
def test_an_interrupt_of_the_cell_ends_it_and_leaves_no_process(notebook: Notebook, loop: str) -> None:
    cell = notebook.interrupt_once(f"""
def wait(x):
    print("waiting", flush=True)
    time.sleep(600)
{loop}
""")

    assert "KeyboardInterrupt" == error_of(cell)[0]
    assert "[]" == result_of(notebook.run(CHILDREN))["text/plain"]


def test_problems_of_a_workflow_are_shown_with_their_lines(notebook: Notebook) -> None:
    name, traceback = error_of(
        notebook.run("mprun.run({'name': 'x', 'stages': {'a': {'run': fail, 'froom': 'q'}}})")
    )

    assert "SpecError" == name
    assert "help: did you mean 'from'?" in traceback
