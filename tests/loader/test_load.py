"""A file from path to spec or problems: whole files in, places and codes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import SpecError
from runner.handlers.registry import built_in_kinds
from runner.loader.load import Checked, check, load
from runner.spec.diagnostics import Severity
from runner.spec.source.reader import read_text

HANDLERS = """
def steam(worker, buns: int, seconds: float = 1.0):
    for number in range(buns):
        yield number

def eat(item, seconds: float = 1.0):
    pass

def wrap(item):
    return item

def tidy():
    pass
"""

KITCHEN = """\
name: baozi
description: Chefs steam, eaters eat.
version: "1"
transport: joinable
x-note: {mine: true}
params:
  buns: {type: integer, minimum: 1, maximum: 99, default: 3, description: How many.}
  word: {type: string, pattern: "^[a-z]+$", minLength: 1, maxLength: 9, enum: [ab, cd], default: ab}
  sizes: {type: array, minItems: 1, maxItems: 3, default: [1]}
env: {KITCHEN: home}
limits: {timeout: 5m, stop_timeout: 1s, max_errors: 1%}
defaults:
  stage: {count: 1, start_method: fork, on_error: fail, nice: 0, cwd: ., daemon: false, env: {A: a}}
  queue: {maxsize: unbounded}
queues:
  steamer: {maxsize: 10, description: Buns.}
  basket: {maxsize: 5}
stages:
  chef:
    run: kitchen:steam
    with: {buns: "${{ params.buns }}", seconds: 0.8}
    names: [neo, alex, egon]
    to: steamer
    env: {WORD: "${{ params.word }}", SIZE: "${{ params.sizes.0 }}"}
  eater:
    run: kitchen:eat
    with: {seconds: 1}
    count: 2
    daemon: true
    from: steamer
    on_error: skip
    start_method: spawn
    cwd: .
    nice: 1
    description: Eats.
  reader:
    run: {lines: {path: in.txt, encoding: utf-8}}
    to: basket
  writer:
    run: {jsonl: {path: out.jsonl}}
    from: basket
  cleaner:
    run: kitchen:tidy
    needs: reader
"""

# Mappings whose keys the user makes up: a slip in one of them is another name, not a mistake.
FREE = {(), ("stages",), ("env",), ("stages", "chef", "env"), ("defaults", "stage", "env"), ("x-note",)}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with handlers, to put workflow files into."""

    path: Path

    def check(self, text: str, *params: str, overrides: tuple[str, ...] = ()) -> Checked:
        file = self.path / "w.yaml"
        file.write_text(text, encoding="utf-8", newline="")
        return check(file, params=params, overrides=overrides)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = tmp_path_factory.mktemp("kitchen")
    (folder / "kitchen.py").write_text(HANDLERS)
    return Folder(folder)


def brief(checked: Checked) -> list[tuple[int, int, str]]:
    return [(p.span.line, p.span.column, p.code) for p in checked.diagnostics]


def test_a_good_file_gives_a_spec_and_no_problem(kitchen: Folder) -> None:
    checked = kitchen.check(KITCHEN)

    assert ((), "baozi") == (checked.diagnostics, checked.spec and checked.spec.name)


def test_params_reach_the_arguments_with_their_type(kitchen: Folder) -> None:
    checked = kitchen.check(KITCHEN, "buns=7")

    assert {"buns": 7, "seconds": 0.8} == (checked.spec and checked.spec.stages[0].arguments)


def test_an_override_changes_any_key(kitchen: Folder) -> None:
    checked = kitchen.check(KITCHEN, overrides=("queues.steamer.maxsize=4", "stages.eater.count=5"))

    assert checked.spec is not None
    assert (4, 5) == (checked.spec.queues[0].maxsize, len(checked.spec.stages[1].workers))


def test_an_override_reads_on_as_the_file_does(kitchen: Folder) -> None:
    checked = kitchen.check(
        KITCHEN, overrides=("transport=leased", "stages.eater.retry={attempts: 3, on: OSError}")
    )

    assert checked.spec is not None, checked.diagnostics
    assert ("OSError",) == tuple(checked.spec.stages[1].retry.on or ())


def test_a_problem_of_an_override_is_shown_in_the_override(kitchen: Folder) -> None:
    checked = kitchen.check(KITCHEN, overrides=("queues.steamer.maxsize=ten",))

    assert [("--set", 1, 24, "wrong-type")] == [
        (p.file, p.span.line, p.span.column, p.code) for p in checked.diagnostics
    ]


def test_load_raises_with_all_problems(kitchen: Folder) -> None:
    file = kitchen.path / "bad.yaml"
    file.write_text("name: 3\nstages: {a: {run: kitchen:tidy, cuont: 2}}\n")

    with pytest.raises(SpecError) as caught:
        load(str(file))

    assert ["wrong-type", "unknown-key"] == [p.code for p in caught.value.diagnostics]


def test_load_returns_the_spec_of_a_file_with_warnings(kitchen: Folder) -> None:
    file = kitchen.path / "warned.yaml"
    file.write_text("name: w\nparams: {salt: {default: 1}}\nstages: {a: {run: kitchen:tidy}}\n")

    checked = check(file)

    assert [Severity.WARNING] == [p.severity for p in checked.diagnostics]
    assert checked.spec == load(file)


def test_a_missing_file_is_a_problem_and_leaves_no_source(tmp_path: Path) -> None:
    checked = check(tmp_path / "none.yaml")

    assert (None, None, 1) == (checked.spec, checked.source, len(checked.diagnostics))


TEN_MISTAKES = """\
name: 3.10
transport: joinabel
params:
  buns: {type: integr, default: 3}
queues:
  steamer: {maxsise: 10}
stages:
  chef:
    run: kitchen:steem
    with: {buns: "${{ params.buns }}"}
    to: steamer
  eater:
    run: kitchen:eat
    with: {secs: 1}
    daemon: yes
    from: steamer
  cleaner:
    run: kitchen:tidy
    needs: chief
  writer:
    run: {jsnl: {path: x}}
    from: steamer
limits: {timeout: 5 minutes}
"""


def test_ten_mistakes_give_ten_problems_in_file_order_at_once(kitchen: Folder) -> None:
    checked = kitchen.check(TEN_MISTAKES)

    assert [
        (1, 7, "wrong-type"),
        (2, 12, "unknown-value"),
        (4, 16, "unknown-value"),
        (6, 13, "unknown-key"),
        (9, 10, "handler-not-found"),
        (14, 12, "unknown-argument"),
        (15, 13, "wrong-type"),
        (19, 12, "unknown-stage"),
        (21, 11, "unknown-kind"),
        (23, 19, "wrong-format"),
    ] == brief(checked)


def test_no_problem_shows_the_words_of_the_validator(kitchen: Folder) -> None:
    checked = kitchen.check(TEN_MISTAKES)

    shown = " ".join(f"{p.message} {p.help}" for p in checked.diagnostics)

    assert None is re.search(
        r"is not of type|is not one of|does not match|were unexpected|required property", shown
    )


FEEDER = "name: w\nstages:\n  a: {run: kitchen:steam, with: {buns: 1}, to: q}\n"

# One file for each way in which a mistake could cause complaints about what only follows from it.
FOLLOW_UPS = {
    "a misspelt section is checked as if it had its right name": (
        "name: w\nstagse:\n  a: {run: kitchen:tidy, cuont: 2}\n",
        [(2, 1, "unknown-key"), (3, 26, "unknown-key")],
    ),
    "a misspelt `from` still joins its queue": (
        FEEDER + "  b: {run: kitchen:eat, form: q}\n",
        [(4, 25, "unknown-key")],
    ),
    "a stage that is no mapping may have been the reader": (
        FEEDER + "  b: kitchen:eat\n",
        [(4, 6, "wrong-type")],
    ),
    "a key that nobody understands may have been meant for `from`": (
        FEEDER + "  b: {run: kitchen:eat, x_y_z: q}\n",
        [(4, 25, "unknown-key")],
    ),
    "a `to` of the wrong type is not known": (
        "name: w\nstages:\n  a: {run: kitchen:steam, with: {buns: 1}, to: 7}\n"
        "  b: {run: kitchen:eat, from: q}\n",
        [(3, 48, "wrong-type")],
    ),
    "a bad reference has no type": (
        "name: w\nstages:\n  a: {run: kitchen:tidy, count: '${{ params.n }}'}\n",
        [(3, 38, "unknown-reference")],
    ),
    "a bad reference among the arguments says nothing about the argument": (
        "name: w\nstages:\n  a: {run: kitchen:steam, with: {buns: '${{ params.n }}'}, to: q}\n"
        "  b: {run: kitchen:eat, from: q}\n",
        [(3, 45, "unknown-reference")],
    ),
    "a param that is declared wrongly is not known": (
        "name: w\nparams: {n: {type: integr, default: x}}\n"
        "stages:\n  a: {run: kitchen:tidy, count: '${{ params.n }}'}\n",
        [(2, 20, "unknown-value")],
    ),
    "a stage without `run` still joins its queue": (
        "name: w\nstages:\n  a: {to: q}\n  b: {run: kitchen:eat, from: q}\n",
        [(3, 3, "missing-key")],
    ),
    "a misspelt `needs` is still played through": (
        "name: w\nstages:\n  a: {run: kitchen:tidy, neds: b}\n",
        [(3, 26, "unknown-key"), (3, 32, "unknown-stage")],
    ),
    "two ends that miss each other are one mistake if one name is declared": (
        "name: w\nqueues: {steamer: {}}\nstages:\n"
        "  a: {run: kitchen:steam, with: {buns: 1}, to: steamer}\n"
        "  b: {run: kitchen:eat, from: steamr}\n",
        [(5, 31, "queue-without-writer")],
    ),
    "a slip among the arguments is one problem": (
        "name: w\nstages:\n  a: {run: kitchen:steam, with: {bunz: 1}, to: q}\n"
        "  b: {run: kitchen:eat, from: q}\n",
        [(3, 34, "unknown-argument")],
    ),
}


@pytest.mark.parametrize(("text", "expected"), FOLLOW_UPS.values(), ids=FOLLOW_UPS)
def test_nothing_is_said_that_only_follows(
    kitchen: Folder, text: str, expected: list[tuple[int, int, str]]
) -> None:
    checked = kitchen.check(text)

    assert expected == brief(checked)


# What a stage runs, wrong in each way that there is; the file has another slip in its last line.
BROKEN_RUNS = {
    "{kafka: {path: x}}": (3, 13, "unknown-kind"),
    "{unknown: {}}": (3, 13, "unknown-kind"),
    "{command: 'seq ${{ params.n }}'}": (3, 31, "unknown-reference"),
    "{command: 'echo ${{ itme }}'}": (3, 32, "unknown-reference"),
    "{command: 'echo ${{ item | up }}'}": (3, 32, "reference-syntax"),
    "{command: [cat, '${{ env.MISSING_HERE }}']}": (3, 33, "unknown-reference"),
    "{serve: {handler: 'kitchen:eat', port: '${{ params.n }}'}}": (3, 56, "unknown-reference"),
    "{serve: {handler: 'kitchen:eat', host: '${{ params.n }}', port: 80}}": (3, 56, "unknown-reference"),
    "{serve: }": (3, 13, "wrong-type"),
    "{}": (3, 7, "out-of-range"),
    "5": (3, 12, "wrong-type"),
}


@pytest.mark.parametrize(("run", "expected"), BROKEN_RUNS.items(), ids=BROKEN_RUNS)
def test_a_run_that_is_wrong_in_any_way_hides_no_other_problem(
    kitchen: Folder, run: str, expected: tuple[int, int, str]
) -> None:
    served = "  b: {run: {serve: {handler: 'kitchen:eat', port: 80}}, nise: 3}\n"

    checked = kitchen.check(f"name: w\nstages:\n  a: {{run: {run}}}\n{served}")

    assert checked.spec is None
    assert [expected, (4, 57, "unknown-key")] == brief(checked)


@pytest.mark.parametrize("kind", sorted(built_in_kinds()))
@pytest.mark.quick("parquet")
def test_of_a_handler_kind_that_is_guessed_nothing_is_said_that_only_follows_from_the_guess(
    kitchen: Folder, kind: str
) -> None:
    for options in ("{}", "{path: 5}", "{nosuch: 1}", "x", "[1]"):
        for ends in ("", ", to: q", ", from: q", ", from: q, to: z"):
            checked = kitchen.check(
                f"name: w\nstages:\n  a: {{run: {{{kind}{kind[-1]}: {options}}}{ends}}}\n"
            )

            about = {(each.span.line, each.span.column, each.code) for each in checked.diagnostics}
            of_the_wiring = {each for each in about if each[2].startswith("queue-")}
            assert {(3, 13, "unknown-kind")} == about - of_the_wiring, (options, ends)


def test_an_include_under_a_misspelt_key_still_comes_in(kitchen: Folder) -> None:
    (kitchen.path / "more.yaml").write_text("stages:\n  b: {run: kitchen:eat, from: q}\n")

    checked = kitchen.check(
        "name: w\ninlcude: more.yaml\nstages:\n  a: {run: kitchen:steam, with: {buns: 1}, to: q}\n"
    )

    assert [(2, 1, "unknown-key")] == brief(checked)


def test_a_problem_of_an_included_file_names_that_file(kitchen: Folder) -> None:
    (kitchen.path / "part.yaml").write_text("stages:\n  b: {run: kitchen:tidy, nise: 3}\n")

    checked = kitchen.check("name: w\ninclude: part.yaml\n")

    assert [(str(kitchen.path / "part.yaml"), 2)] == [(p.file, p.span.line) for p in checked.diagnostics]


def test_an_unknown_variable_is_a_problem_at_its_name(kitchen: Folder) -> None:
    checked = kitchen.check(
        "name: w\nenv: {HOUSE: x}\nstages:\n  a: {run: kitchen:tidy, cwd: '${{ env.HOUZE }}'}\n"
    )

    assert [(4, 36, "unknown-reference", "did you mean 'env.HOUSE'?")] == [
        (p.span.line, p.span.column, p.code, p.help) for p in checked.diagnostics
    ]


def test_more_workers_than_can_be_are_refused_before_they_are_named(kitchen: Folder) -> None:
    stages = "".join(f"  s{n}: {{run: kitchen:tidy}}\n" for n in range(20))

    checked = kitchen.check(f"name: w\ndefaults: {{stage: {{count: 10000}}}}\nstages:\n{stages}")

    assert [(14, 3, "too-many-workers")] == brief(checked)


# ── one slip in any key ──


def keys_of(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in data.items() if isinstance(data, dict) else ():
        yield (*path, key)
        yield from keys_of(value, (*path, key))


def slips(word: str) -> set[str]:
    """What becomes of a word by one letter left out, swapped with its neighbour or mistaken for another."""
    left_out = {word[:i] + word[i + 1 :] for i in range(len(word))}
    swapped = {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    mistaken = {word[:i] + ("q" if word[i] != "q" else "z") + word[i + 1 :] for i in range(len(word))}
    return (left_out | swapped | mistaken) - {word, ""}


MEANT = [path for path in keys_of(read_text(KITCHEN, "").data) if path[:-1] not in FREE or path[:-1] == ()]
MEANT = [path for path in MEANT if path != ("x-note",)]


@pytest.mark.parametrize("every", [12, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("path", MEANT, ids=".".join)
def test_a_slip_in_any_key_is_pointed_at_and_put_right(
    kitchen: Folder, path: tuple[str, ...], every: int
) -> None:
    """The quick suite makes every sixth slip, beginning elsewhere for each key; the slow one makes all."""
    key = path[-1]
    span = read_text(KITCHEN, "").locate(path, "key").span
    lines = KITCHEN.split("\n")
    line = lines[span.line - 1]

    missed = []
    made = sorted(slips(key))
    for slip in made[MEANT.index(path) % min(every, len(made)) :: every]:
        lines[span.line - 1] = line[: span.column - 1] + slip + line[span.column - 1 + len(key) :]
        diagnostics = kitchen.check("\n".join(lines)).diagnostics
        at_key = [p for p in diagnostics if (p.span.line, p.span.column) == (span.line, span.column)]
        if not any(p.severity is Severity.ERROR and f"'{key}'" in (p.help or "") for p in at_key):
            missed.append((slip, diagnostics))

    assert [] == missed


# ── any text at all ──

PIECES = [
    *KITCHEN.split("\n"),
    "",
    "  ",
    "- a",
    ": ",
    "${{ ",
    " }}",
    "{",
    "]",
    "!!x",
    "&a",
    "*a",
    "null",
    "\t",
    "'",
]

VALUES = ["3", "-1", "[]", "{}", "~", "x: y", "1e400", ".nan", "'${{ item }}'", "0s", "9" * 400 + "h"]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Return the kitchen with lines lost, doubled and moved, and with values and characters replaced."""
    lines = KITCHEN.split("\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["lose", "put", "value", "cut", "shift"])):
            case "lose":
                lines[at] = ""
            case "put":
                lines.insert(at, draw(st.sampled_from(PIECES)))
            case "value":
                value = draw(
                    st.sampled_from(["3", "-1", "[]", "{}", "~", "x: y", "1e400", ".nan", "'${{ item }}'"])
                )
                lines[at] = re.sub(r":.*", f": {value}", lines[at], count=1)
            case "cut":
                start = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:start] + draw(st.text(max_size=3)) + lines[at][start + 1 :]
            case "shift":
                lines[at] = draw(st.sampled_from(["", " ", "    "])) + lines[at].lstrip()
    return "\n".join(lines)


def test_a_handler_is_looked_up_where_the_file_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's finders remember a relative folder by its first meaning."""
    for folder, handler in (("one", "def go(): ..."), ("two", "def come(): ...")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "walk_home.py").write_text(handler, encoding="utf-8")
        (tmp_path / folder / "walk.yaml").write_text("name: walk\nstages: {a: {run: 'walk_home:go'}}")
    monkeypatch.chdir(tmp_path / "one")
    here = check(Path("walk.yaml"))

    monkeypatch.chdir(tmp_path / "two")
    there = check(Path("walk.yaml"))

    assert ([], ["handler-not-found"]) == tuple([p.code for p in each.diagnostics] for each in (here, there))


_TIRELESS: Any = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=200, **_TIRELESS)
@given(text=mutated())
def test_no_file_makes_the_check_raise(kitchen: Folder, text: str) -> None:
    check_that_it_is_judged(kitchen, text)


@pytest.mark.slow
@settings(max_examples=2000, **_TIRELESS)
@given(text=mutated())
def test_no_file_of_two_thousand_makes_the_check_raise(kitchen: Folder, text: str) -> None:
    check_that_it_is_judged(kitchen, text)


def check_that_it_is_judged(kitchen: Folder, text: str) -> None:
    """A file is right or has errors, each in some place and in some words; nothing else comes of checking it."""
    checked = kitchen.check(text.encode("utf-8", "replace").decode())

    assert (checked.spec is None) == any(p.severity is Severity.ERROR for p in checked.diagnostics)
    assert all(p.span.line >= 1 and p.span.column >= 1 and p.message for p in checked.diagnostics)


def test_a_kind_that_can_not_be_loaded_is_told_where_it_is_used_and_harms_no_other_file(
    kitchen: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mprun.handlers]\nxls = no_such_module:XLS\nxml = builtins:int\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    found = kitchen.check(
        "name: w\nstages:\n  a: {run: {xls: {}}}\n  b: {run: {xml: {}}}\n  c: {run: {kafka: {}}}\n"
    )

    assert [
        "the handler kind 'xls' can't be loaded: ModuleNotFoundError: No module named 'no_such_module'",
        "the handler kind 'xml' can't be loaded: it is a type",
        "there is no handler kind 'kafka'",
    ] == [diagnostic.message for diagnostic in found.diagnostics]


@pytest.mark.parametrize(
    "stage",
    [
        "{run: {command: {run: 'true', timeout: 5s}}, from: q}",
        "{run: {command: {run: 'true', answer-timeout: 5s}}, from: q}",
        "{run: {command: 'true'}, from: q, batchs: {size: 0x}, ordr: keep}",
        "{run: {command: 'true'}, from: q, shard-by: item, untl: source}",
    ],
)
def test_a_key_that_is_none_gets_one_problem_and_none_as_the_key_it_is_taken_for(
    tmp_path: Path, stage: str
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(
        f"name: w\nstages:\n  source: {{run: {{range: {{stop: 3}}}}, to: q}}\n  eater: {stage}\n", "utf-8"
    )

    places = [(found.span.line, found.span.column) for found in check(file).diagnostics]

    assert places and len(places) == len(set(places))
