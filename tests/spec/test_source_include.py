"""`include`: what comes in, who wins, and where problems point."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import SpecError
from runner.spec.diagnostics import LocatedDiagnostic
from runner.spec.source.include import include_all
from runner.spec.source.reader import SourceDocument, read


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def included(**files: str) -> tuple[SourceDocument, list[LocatedDiagnostic]]:
    """Write files and read `main.yaml` with all that it includes; `__` in a name is a folder."""
    for name, text in files.items():
        path = Path(name.replace("__", "/") + ".yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return include_all(read(Path("main.yaml")))


@pytest.mark.usefixtures("folder")
def test_a_file_that_includes_nothing_is_left_as_it_is() -> None:
    source, diagnostics = included(main="name: a\n")

    assert ({"name": "a"}, []) == (source.data, diagnostics)


@pytest.mark.usefixtures("folder")
def test_sections_come_in_as_if_they_were_written_in_the_main_file() -> None:
    source, diagnostics = included(
        main="name: a\ninclude: other.yaml\nstages: {eat: {from: q}}\nenv:\n",
        other="stages: {cook: {to: q}}\nqueues: {q: {maxsize: 1}}\nenv: {A: b}\nx-note: 1\n",
    )

    assert [] == diagnostics
    assert {
        "name": "a",
        "stages": {"cook": {"to": "q"}, "eat": {"from": "q"}},
        "queues": {"q": {"maxsize": 1}},
        "env": {"A": "b"},
        "x-note": 1,
    } == source.data


@pytest.mark.usefixtures("folder")
def test_places_are_those_of_the_file_that_says_it() -> None:
    source, _ = included(
        main="include: sub/other.yaml\nstages: {eat: {from: q}}\n", sub__other="\nstages:\n  cook: {to: q}\n"
    )

    cook, eat = source.locate(("stages", "cook", "to")), source.locate(("stages", "eat", "from"))

    assert (str(Path("sub") / "other.yaml"), 3, "  cook: {to: q}") == (
        cook.file,
        cook.span.line,
        cook.snippet,
    )
    assert ("main.yaml", 2) == (eat.file, eat.span.line)


@pytest.mark.usefixtures("folder")
def test_the_including_file_wins_key_by_key_and_the_later_include_over_the_earlier() -> None:
    source, diagnostics = included(
        main="name: main\ninclude: [one.yaml, two.yaml]\nparams: {a: 0}\n",
        one="name: one\nversion: '1'\nparams: {a: 1, b: 1, c: 1}\nlimits: {timeout: 1s}\n",
        two="name: two\nversion: '2'\nparams: {a: 2, b: 2}\n",
    )

    assert [] == diagnostics
    assert {
        "name": "main",
        "version": "2",
        "params": {"a": 0, "b": 2, "c": 1},
        "limits": {"timeout": "1s"},
    } == source.data


@pytest.mark.usefixtures("folder")
def test_a_name_defined_twice_names_both_places() -> None:
    _, diagnostics = included(
        main="include: [one.yaml, two.yaml]\nstages:\n  cook: {to: q}\n",
        one="stages:\n  cook: {to: q}\nqueues: {q: {}}\n",
        two="queues: {q: {}}\n",
    )

    found = [(p.file, p.span.line, p.code, p.message) for p in diagnostics]
    assert [
        ("two.yaml", 1, "defined-twice", "queue 'q' is defined twice; first at one.yaml:3"),
        ("main.yaml", 3, "defined-twice", "stage 'cook' is defined twice; first at one.yaml:2"),
    ] == found


@pytest.mark.usefixtures("folder")
def test_two_files_may_share_a_third() -> None:
    source, diagnostics = included(
        main="include: [b.yaml, c.yaml]\n",
        b="include: d.yaml\nstages: {b: {}}\n",
        c="include: d.yaml\nstages: {c: {}}\n",
        d="stages: {d: {}}\n",
    )

    assert ({"stages": {"d": {}, "b": {}, "c": {}}}, []) == (source.data, diagnostics)


@pytest.mark.usefixtures("folder")
def test_nested_includes_go_from_the_file_that_names_them() -> None:
    source, diagnostics = included(
        main="include: sub/b.yaml\n", sub__b="include: c.yaml\n", sub__c="stages: {c: {}}\n"
    )

    assert ({"stages": {"c": {}}}, []) == (source.data, diagnostics)


@pytest.mark.usefixtures("folder")
def test_a_cycle_is_a_problem_with_its_path() -> None:
    _, (diagnostic,) = included(main="include: b.yaml\n", b="a: 1\ninclude: [./main.yaml]\n")

    assert ("include-cycle", "b.yaml", 2) == (diagnostic.code, diagnostic.file, diagnostic.span.line)
    assert "main.yaml → b.yaml → main.yaml" in diagnostic.message


@pytest.mark.usefixtures("folder")
def test_a_chain_of_files_ends_somewhere() -> None:
    files = {f"f{n}": f"include: f{n + 1}.yaml\n" for n in range(60)}

    _, (diagnostic,) = included(main="include: f0.yaml\n", **files)

    assert "include-depth" == diagnostic.code


@pytest.mark.usefixtures("folder")
def test_a_missing_file_is_a_problem_at_the_line_that_names_it() -> None:
    _, diagnostics = included(main="name: a\ninclude:\n  - comon.yaml\n  - .\n", common="a: 1\n")

    assert [("no-file", 3, 5), ("unreadable", 4, 5)] == [
        (p.code, p.span.line, p.span.column) for p in diagnostics
    ]
    assert "did you mean 'common.yaml'?" == diagnostics[0].help


@pytest.mark.usefixtures("folder")
def test_a_problem_inside_an_included_file_points_into_it() -> None:
    source, diagnostics = included(
        main="include: [bad.yaml, trap.yaml]\n", bad="a: [1\nb: 2\n", trap="a: 1\na: 2\n"
    )

    assert [("bad.yaml", "yaml-syntax")] == [(p.file, p.code) for p in diagnostics]
    assert [("trap.yaml", "duplicate-key")] == [(p.file, p.code) for p in source.traps]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("value", "columns"), [("5", [10]), ("{a: b}", [1]), ("[ok.yaml, 5, '']", [20, 23]), ("", [1])]
)
def test_what_is_no_file_name_is_a_problem(value: str, columns: list[int]) -> None:
    _, diagnostics = included(main=f"include: {value}\n", ok="a: 1\n")

    assert [("include-name", column) for column in columns] == [(p.code, p.span.column) for p in diagnostics]


@pytest.mark.usefixtures("folder")
def test_of_a_file_that_is_no_yaml_by_its_name_nothing_is_read_or_shown() -> None:
    Path("passwords").write_text("root:x:0\n")
    Path("sly.yaml").symlink_to("passwords")

    _, diagnostics = included(main="include: [passwords, sly.yaml]\n")

    assert [("include-name", "main.yaml", 11), ("include-name", "main.yaml", 22)] == [
        (p.code, p.file, p.span.column) for p in diagnostics
    ]
    assert "root" not in str(diagnostics)


@pytest.mark.usefixtures("folder")
def test_a_section_that_is_no_mapping_is_a_problem_where_it_is() -> None:
    source, diagnostics = included(main="include: b.yaml\nstages: {a: {}}\n", b="stages: [x]\n")

    assert [("include-section", "b.yaml")] == [(p.code, p.file) for p in diagnostics]
    assert {"stages": {"a": {}}} == source.data


@pytest.mark.usefixtures("folder")
def test_a_main_file_that_is_missing_still_raises() -> None:
    with pytest.raises(SpecError):
        read(Path("main.yaml"))


@pytest.mark.usefixtures("folder")
def test_a_job_is_changed_key_by_key_by_the_file_that_includes_it() -> None:
    source, diagnostics = included(
        main="include: one.yaml\njobs:\n  a: {env: {X: 1, Y: null}, needs: null, steps: [c]}\n  b: {if: null}\n",
        one="jobs: {a: {needs: b, env: {Y: 2, Z: 3}, run: c}, b: {run: d}}\n",
    )

    assert [] == diagnostics
    assert {"a": {"env": {"Z": 3, "X": 1}, "steps": ["c"]}, "b": {"run": "d", "if": None}} == source.data[
        "jobs"
    ]
    assert ("one.yaml", "main.yaml") == tuple(
        source.locate(("jobs", "a", "env", name)).file for name in ("Z", "X")
    )


@pytest.mark.usefixtures("folder")
def test_what_is_taken_from_a_job_takes_a_default_along() -> None:
    source, _ = included(
        main="include: one.yaml\ndefaults: {job: {timeout: 1m}}\njobs: {a: {timeout: null, needs: null}}\n",
        one="jobs: {a: {timeout: 1s, needs: b}}\n",
    )

    assert {"a": {"timeout": None}} == source.data["jobs"]
