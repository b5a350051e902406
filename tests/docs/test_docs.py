"""Every block of README.md and docs/ does what the page says: files are written, commands are run, output is compared.

    ```yaml file=kitchen.yaml      written to the page's own folder; so is any other block with `file=`
    ```console                     each line `$ command` is run there, in order; what follows is what it prints
    ```console unordered           the same, for output of several processes: compared as a set of lines
    ```text, ```sh                 a picture, or a command for a place where tests do not go: not run

A `…` in a page stands for anything: within a line, or for any number of lines where it stands alone. Times, pids,
percentages and the like are made alike before they are compared. `UPDATE_DOCS=1 pytest tests/docs/test_docs.py` writes
what the commands print now into the pages; put the `…` back by hand where it was.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import pty
import re
import shlex
import signal
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner.cli.main import main
from runner.loader.load import check

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "README.zh.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
]
RUN = [page for page in PAGES if page.parent.name != "zh" and page.name != "README.zh.md"]
"""What a page in Chinese shows, one of these does: tests/docs/test_chinese.py holds it to that."""
HOME = "/home/me"
"""What a page calls the folder in which its commands are run."""

MOST_QUICK_RUNS = 5
"""A page with more commands that start processes is left to the slow suite; README never is."""

TIMEOUT = 60.0
# These start no process, so they need none themselves.
IN_PROCESS = re.compile(r"mprun (validate|plan|graph|schema|handlers)\b[^|<>;&$`*]*")
BLOCK = re.compile(r"^```(\S+)?[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

VOLATILE = (
    (r"\x1b\[[0-9;?]*[a-zA-Z]", ""),
    (r"\b\d\d:\d\d:\d\d\b", "12:00:00"),
    (r"\b20\d\d-\d\d-\d\d\b", "2026-11-30"),
    (r"\b[0-9a-f]{8}\b", "3f2a77aa"),
    (r"\b(p?pid[= ])\d+", r"\g<1>1"),
    (r"\b(busy|starved|blocked|seconds)=[\d.e-]+", r"\1=0"),
    (r"\b[\d,]+\.\d+\b", "0.0"),
    (r"<1µs|\b\d+(\.\d+)?[µm]?s\b", "0s"),
    (r"\b\d+%", "0%"),
    (r"\b\d+/(\d+)\b", r"0/\1"),
    (r"\b\d+ cores?\b", "2 cores"),
    (r"─+", "─"),
    # Of two jobs that take about as long, either may be on it.
    (r"^critical path .*", "critical path"),
    (r" +", " "),
    (r" $", ""),
)
"""What differs from run to run, and what it is made to be. In this order."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block is written to, if it is one."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)


@dataclass(slots=True)
class Step:
    """A command of a console block, and what the page says that it prints."""

    command: str
    expected: list[str] = field(default_factory=list)


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1] or "", tuple(found[2].split()), found[3])
        for found in BLOCK.finditer(text)
    ]


def steps_of(block: Block) -> list[Step]:
    steps: list[Step] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:]))
        else:
            steps[-1].expected.append(line)
    return steps


def name_of(page: Path) -> str:
    """What a case is called: `docs/recipes/rate.md` and `docs/README.md` are two pages."""
    return str(page.relative_to(ROOT))


def has_many_runs(page: Path) -> bool:
    """Say whether a page has so many commands that start processes that the quick suite leaves it out."""
    consoles = (block for block in blocks_of(page) if block.language == "console")
    commands = [step.command for block in consoles for step in steps_of(block)]
    return page.name != "README.md" and sum(not IN_PROCESS.fullmatch(c) for c in commands) > MOST_QUICK_RUNS


def run_here(command: str, folder: Path) -> str:
    """Run a command of ours that starts nothing, in this process: a page of errors has many of them."""
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        main(shlex.split(command)[1:])
    return out.getvalue()


def run_on_terminal(command: str, folder: Path, env: dict[str, str]) -> str:
    """Run a line of shell with a terminal for its output, as whoever reads the page would; kill what does not end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    overdue = threading.Timer(TIMEOUT, lambda: os.killpg(process.pid, signal.SIGKILL))
    overdue.start()
    chunks: list[bytes] = []
    with os.fdopen(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        # A terminal that nobody writes to any more is an error to read, not an end of file.
        while chunk := terminal.read(65536):
            chunks.append(chunk)
    code = process.wait()
    overdue.cancel()
    printed = b"".join(chunks).decode().replace("\r\n", "\n")
    return printed + (f"not done after {TIMEOUT} s\n" if code == -signal.SIGKILL else "")


def alike(text: str) -> str:
    """Make two outputs equal that differ in nothing but what differs from run to run."""
    for pattern, instead in VOLATILE:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text.strip()


def pattern_of(expected: str) -> str:
    """The regular expression of what a page expects, once it is `alike`: `…` stands for anything."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in expected.splitlines()
    ]
    return "".join(lines)


def ended(text: str) -> str:
    return text + "\n" if text else ""


def matches(expected: str, actual: str, *, unordered: bool) -> bool:
    if not unordered:
        return re.fullmatch(pattern_of(alike(expected)), ended(alike(actual))) is not None
    wanted = [line for line in alike(expected).splitlines() if line.strip() not in ("", "…")]
    left = [line for line in alike(actual).splitlines() if line]
    for line in wanted:
        found = next((other for other in left if re.fullmatch(pattern_of(line), other + "\n")), None)
        if found is None:
            return False
        left.remove(found)
    return not left or "…" in expected.splitlines()


@pytest.fixture
def terminal_env(plain_env: dict[str, str], mprun: Path) -> dict[str, str]:
    """A plain terminal of 100 columns, with the commands of this interpreter first on the path."""
    path = os.pathsep.join([str(mprun.parent), plain_env["PATH"]])
    # A page has its own home, in its folder: what its runs leave is what it shows of past runs.
    plain = {key: value for key, value in plain_env.items() if key != "MPRUN_HOME"}
    return {**plain, "PATH": path, "TERM": "dumb", "COLUMNS": "100", "LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] * has_many_runs(page), id=name_of(page)) for page in RUN],
)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, terminal_env: dict[str, str]) -> None:
    wrong: list[str] = []
    for block in blocks_of(page):
        if block.file is not None:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            wrong += played(block, tmp_path, terminal_env)

    assert [] == wrong, "\n" + "\n\n".join(wrong)


def played(block: Block, folder: Path, env: dict[str, str]) -> Iterator[str]:
    """Run a console block; yield what it prints otherwise than its page says, or write that into the page."""
    printed: list[str] = []
    differs = False
    for step in steps_of(block):
        here = IN_PROCESS.fullmatch(step.command) is not None
        actual = run_here(step.command, folder) if here else run_on_terminal(step.command, folder, env)
        actual = actual.replace(str(folder), HOME)
        printed += [f"$ {step.command}", *actual.rstrip().splitlines()]
        if matches("\n".join(step.expected), actual, unordered="unordered" in block.words):
            continue
        differs = True
        if not os.environ.get("UPDATE_DOCS"):
            yield (
                f"{block.page.name}:{block.line}: $ {step.command}\nprints\n{actual}\nand not\n"
                + "\n".join(step.expected)
            )
    if differs and os.environ.get("UPDATE_DOCS"):
        text = block.page.read_text(encoding="utf-8")
        block.page.write_text(text.replace(block.text, "\n".join(printed) + "\n", 1), encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_that_could_be_tested_is_left_out(page: Path) -> None:
    """A block without `file=` is an extract, and only pictures, shell for elsewhere and output may be that."""
    loose = [
        f"line {block.line}: {block.language or 'no language'}"
        for block in blocks_of(page)
        if block.file is None and block.language not in ("console", "text", "sh")
    ]

    assert [] == loose


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    broken = [link for link in links if not leads_somewhere(page, link)]

    assert [] == broken


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or anchor in anchors_of(target)


def anchors_of(page: Path) -> set[str]:
    """The names by which the headings of a page can be linked to, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# ── the page of errors ──

ERRORS = ROOT / "docs" / "errors.md"
CHECKS = (
    *("spec/source/*.py", "spec/references.py", "spec/expressions/*.py", "jobs/matrix.py", "jobs/files.py"),
    "jobs/contexts/given.py",
    *(
        "loader/contexts.py",
        "loader/load.py",
        "loader/limits.py",
        "loader/parameters.py",
        "loader/recovery.py",
        "loader/templates.py",
        "loader/checks/*.py",
    ),
    "loader/schema/validate.py",
)
CODE = re.compile(r"[a-z]+[0-9]?(-[a-z]+[0-9]?)+")
CODES_OF_ONE_WORD = {"cycle", "unreadable"}
KEYS_LIKE_CODES = {"idle-timeout", "max-backoff", "max-parallel", "working-directory"}
WORDS_LIKE_CODES = {"docker-compose", "podman-compose", "port-forward", "redis-server", "self-hosted"}
FILES_OF_OTHERS = {"noxfile.py"}
OUT_OF_REACH = {"missing-library", "wrong-value"}
"""No file that uses the built-in kinds alone can have these, or none where all libraries are there."""


def codes_in_the_source() -> set[str]:
    """Every text in the modules that check which has the shape of a code."""
    modules = [path for glob in CHECKS for path in (ROOT / "runner").glob(glob)]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in modules]
    texts = {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return (
        {t for t in texts if CODE.fullmatch(t) or t in CODES_OF_ONE_WORD} - KEYS_LIKE_CODES - WORDS_LIKE_CODES
    )


def test_every_code_is_explained_once_and_in_order() -> None:
    explained = re.findall(r"^### `([a-z0-9-]+)`$", ERRORS.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(codes_in_the_source()) == explained


def test_every_explained_code_is_shown_as_it_is_printed() -> None:
    parts = re.split(r"^### `([a-z0-9-]+)`$", ERRORS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    codes = zip(parts[::2], parts[1::2], strict=True)
    unseen = [code for code, part in codes if f"[{code}]" not in part and code not in OUT_OF_REACH]

    assert [] == unseen


# ── the page of the design ──

DESIGN = ROOT / "docs" / "design.md"


def layers_in_the_table() -> str:
    """The packages that tests/test_layers.py holds imports to, top to bottom."""
    tree = ast.parse((ROOT / "tests" / "test_layers.py").read_text(encoding="utf-8"))
    (table,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PACKAGES"
    )
    return textwrap.fill(" · ".join(ast.literal_eval(table)), 110) + "\n"


def test_the_layers_of_the_design_are_those_that_hold() -> None:
    (block,) = (block for block in blocks_of(DESIGN) if "layers" in block.words)
    if os.environ.get("UPDATE_DOCS"):
        text = DESIGN.read_text(encoding="utf-8")
        was, is_now = (f"```text layers\n{inner}```" for inner in (block.text, layers_in_the_table()))
        DESIGN.write_text(text.replace(was, is_now), encoding="utf-8")
        (block,) = (block for block in blocks_of(DESIGN) if "layers" in block.words)

    assert layers_in_the_table() == block.text


def test_every_module_that_a_page_names_is_there() -> None:
    named = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"`((?:[\w]+/)*[\w*]+\.py)`", BLOCK.sub("", page.read_text(encoding="utf-8")))
    }
    homes = (ROOT / "runner", ROOT)
    lost = sorted(
        (page, name)
        for page, name in named
        if name not in FILES_OF_OTHERS and not any(any(h.glob(name)) for h in homes)
    )

    assert [] == lost


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_workflow_of_a_page_keeps_what_a_death_would_lose(page: Path, tmp_path: Path) -> None:
    """But for the one that shows the warning: who recommends a class recommends what to say of its state too."""
    blocks = [block for block in blocks_of(page) if block.file is not None]
    for block in blocks:
        written = tmp_path / str(block.file)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(block.text, encoding="utf-8")
    files = [str(block.file) for block in blocks if str(block.file).endswith(".yaml")]
    warned = [
        file
        for file in files
        if any(diagnostic.code == "stateful-handler" for diagnostic in check(tmp_path / file).diagnostics)
    ]

    assert [file for file in files if file == "stateful-handler.yaml"] == warned
